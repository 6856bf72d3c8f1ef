"""Overhear what the parts of a model give out while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from amphid.dynamics import Neuron

Hear = Callable[[str, nn.Module, Any], None]
Named = tuple[str, nn.Module]


def fires(module: nn.Module) -> bool:
    """Whether it is a neuron that spikes, or a module built around one as its `neuron`."""
    neuron = module if isinstance(module, Neuron) else getattr(module, "neuron", None)
    return isinstance(neuron, Neuron) and neuron.output in ("spike", "output")


def cells_of(model: nn.Module) -> Iterator[Named]:
    """The outermost parts that are cells that fire."""

    def found(name: str, module: nn.Module) -> Iterator[Named]:
        if fires(module):
            yield name, module
            return
        for key, child in module.named_children():
            yield from found(f"{name}.{key}" if name else key, child)

    return found("", model)


@contextmanager
def overheard(parts: Iterable[Named], hear: Hear) -> Iterator[None]:
    """Within the block, `hear` is called with whatever each of these modules gives out.

    Both `forward` and `run` are listened to, which forward hooks of torch are not enough for: a
    container calls `run` of its parts. Of calls of a module within one another the outer counts.
    """
    heard: dict[nn.Module, str] = {}
    for name, module in parts:
        heard.setdefault(module, name)  # one that is there twice is heard once
    try:
        for module, name in heard.items():
            _listen(name, module, hear)
        yield
    finally:
        for module in heard:
            for method in ("forward", "run"):
                module.__dict__.pop(method, None)


def _listen(name: str, module: nn.Module, hear: Hear) -> None:
    inside = [False]

    def around(method: Callable[..., Any], tell: Callable[[Any], Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            if inside[0]:
                return method(*args, **kwargs)
            inside[0] = True
            try:
                result = method(*args, **kwargs)
            finally:
                inside[0] = False
            hear(name, module, tell(result))
            return result

        return called

    # set past nn.Module, so that nothing but a call is different while it lasts
    module.__dict__["forward"] = around(module.forward, lambda result: result)
    if callable(run := getattr(module, "run", None)):
        module.__dict__["run"] = around(run, lambda result: result[0])


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in a tensor, tuple, mapping or tree of them."""
    from torch.utils import _pytree as pytree

    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
