"""Overhear what the parts of a model give out while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from amphid.dynamics import Neuron

Hear = Callable[[str, nn.Module, Any], None]
Named = tuple[str, nn.Module]

METHODS = ("forward", "run")


def fires(module: nn.Module) -> bool:
    """Whether it is a neuron that spikes, or a module built around one as its `neuron`."""
    neuron = module if isinstance(module, Neuron) else getattr(module, "neuron", None)
    return isinstance(neuron, Neuron) and neuron.output in ("spike", "output")


def cells_of(model: nn.Module, chosen: Callable[[nn.Module], bool] = fires) -> Iterator[Named]:
    """The outermost parts that are cells that fire, or those chosen otherwise."""

    def found(name: str, module: nn.Module) -> Iterator[Named]:
        if chosen(module):
            yield name, module
            return
        for key, child in module.named_children():
            yield from found(f"{name}.{key}" if name else key, child)

    return found("", model)


class Call(NamedTuple):
    """One call of a part of a model, which `go` makes."""

    name: str
    module: nn.Module
    method: str  # "forward", or "run", which gives a state too
    go: Callable[..., Any]

    def output(self, result: Any) -> Any:
        """What the part gave out, of what the call gave."""
        return result[0] if self.method == "run" else result


Around = Callable[..., Any]
"""Called with a `Call` and its arguments; gives its result."""


@contextmanager
def overheard(parts: Iterable[Named], hear: Hear) -> Iterator[None]:
    """Within the block, `hear` is called with whatever each of these modules gives out."""

    def told(call: Call, *args: Any, **kwargs: Any) -> Any:
        result = call.go(*args, **kwargs)
        hear(call.name, call.module, call.output(result))
        return result

    with surrounded(parts, told):
        yield


@contextmanager
def surrounded(parts: Iterable[Named], around: Around) -> Iterator[None]:
    """Within the block, calls of these modules go through `around`.

    Both `forward` and `run` are listened to, which forward hooks of torch are not enough for: a
    container calls `run` of its parts. Of calls of a module within one another the outer counts.
    """
    heard: dict[nn.Module, str] = {}
    for name, module in parts:
        heard.setdefault(module, name)  # one that is there twice is heard once
    before = [(module, dict(vars(module))) for module in heard]
    try:
        for module, name in heard.items():
            _listen(name, module, around)
        yield
    finally:
        for module, held in before:
            for method in METHODS:
                vars(module).pop(method, None)
                if method in held:  # somebody else listens
                    vars(module)[method] = held[method]


def _listen(name: str, module: nn.Module, around: Around) -> None:
    inside = [False]

    def surround(call: Call) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            if inside[0]:
                return call.go(*args, **kwargs)
            inside[0] = True
            try:
                return around(call, *args, **kwargs)
            finally:
                inside[0] = False

        return called

    # set past nn.Module, so that nothing but a call is different while it lasts
    for method in METHODS:
        if callable(go := getattr(module, method, None)):
            vars(module)[method] = surround(Call(name, module, method, go))


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in a tensor, tuple, mapping or tree of them."""
    from torch.utils import _pytree as pytree

    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
