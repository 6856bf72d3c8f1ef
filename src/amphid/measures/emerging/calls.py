"""Which operations of torch a module is made of, as it runs: by `TorchFunctionMode`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Slot:
    """The place of a followed tensor among the arguments of a call."""

    number: int


@dataclass(frozen=True, eq=False)
class Call:
    """One operation on followed tensors.

    name: of the operation, without the underscores of its variants. args, kwargs: what it was
    called with, a `Slot` in the place of each of `inputs`, which are numbers of tensors. outputs:
    numbers of what came out, and `shapes` of these.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: tuple[torch.Size, ...]

    def filled(self, tensors: Iterable[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Its arguments with tensors in the slots."""
        given = list(tensors)

        def put(leaf: Any) -> Any:
            return given[leaf.number] if isinstance(leaf, Slot) else leaf

        return pytree.tree_map(put, (self.args, dict(self.kwargs)), is_leaf=_is_slot)

    @property
    def held(self) -> list[Tensor]:
        """The tensors among its arguments that are not followed, such as weights."""
        leaves = pytree.tree_leaves((self.args, dict(self.kwargs)), is_leaf=_is_slot)
        return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


Heard = Callable[[Call, list[Tensor]], None]
Parts = Mapping[str, Callable[..., Any]]
"""By the name of an operation, the same made of several."""


class Following(TorchFunctionMode):
    """Within the block, operations on given tensors, and on what comes of them, are told.

    heard: called with every operation and the tensors that came of it. also: names of operations
    that are told of, and followed from there, on whatever tensors: a function with a backward of
    its own loses what it is given. parts: operations that are done, and told, part by part.
    """

    def __init__(
        self,
        tensors: Iterable[Tensor],
        heard: Heard,
        *,
        also: Collection[str] = (),
        parts: Parts | None = None,
    ) -> None:
        super().__init__()
        self.heard, self.also, self.parts, self.count = heard, also, parts or {}, 0
        self.numbers: dict[int, int] = {}
        self.kept: list[Tensor] = []  # so that no other tensor takes over an id
        for tensor in tensors:
            self._number(tensor)

    def number(self, tensor: Tensor) -> int | None:
        """The number of a tensor, None where it does not come of those that are followed."""
        return self.numbers.get(id(tensor))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do the operation, and tell of it."""
        kwargs = kwargs or {}
        if (parts := self.parts.get(_name(func))) is not None:
            with self:
                return parts(*args, **kwargs)
        inputs, (slotted, named) = self._slots(args, kwargs)
        result = func(*args, **kwargs)
        if inputs or (self.also and _name(func) in self.also):
            self._tell(func, slotted, named, inputs, result)
        return result

    def _slots(self, args: Any, kwargs: Any) -> tuple[list[int], Any]:
        found: list[int] = []

        def replace(leaf: Any) -> Any:
            number = self.number(leaf) if isinstance(leaf, Tensor) else None
            if number is None:
                return leaf
            found.append(number)
            return Slot(len(found) - 1)

        slotted = pytree.tree_map(replace, (args, kwargs))
        return found, slotted

    def _tell(self, func: Any, args: Any, kwargs: Any, inputs: list[int], result: Any) -> None:
        tensors = [
            leaf
            for leaf in pytree.tree_leaves(result)
            if isinstance(leaf, Tensor) and leaf.is_floating_point()
        ]
        if not tensors:
            return
        outputs = tuple(self._number(tensor) for tensor in tensors)
        shapes = tuple(tensor.shape for tensor in tensors)
        call = Call(_name(func), func, args, kwargs, tuple(inputs), outputs, shapes)
        self.heard(call, tensors)

    def _number(self, tensor: Tensor) -> int:
        self.kept.append(tensor)
        self.numbers[id(tensor)] = self.count
        self.count += 1
        return self.count - 1


def asked(model: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """What a model gives out; ValueError where it does not take what it is given."""
    try:
        return model(*arguments)
    except (RuntimeError, IndexError, TypeError, AssertionError) as error:
        leaves = pytree.tree_leaves(arguments)
        shapes = [str(list(leaf.shape)) for leaf in leaves if isinstance(leaf, Tensor)]
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"the model does not run on inputs of shape {', '.join(shapes)}: {first}"
        ) from error


def _name(function: Any) -> str:
    """The name of an operation, one for its variants: "add" of `torch.add`, `+`, `+=`, `add_`."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        name = function.__self__.__name__
    name = name.strip("_")
    for prefix in ("i", "r"):  # __iadd__, __radd__
        if name[1:] in ("add", "sub", "mul", "truediv", "matmul") and name.startswith(prefix):
            name = name[1:]
    return name


def _is_slot(leaf: Any) -> bool:
    return isinstance(leaf, Slot)
