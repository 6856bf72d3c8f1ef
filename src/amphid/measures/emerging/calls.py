"""Which operations of torch a module is made of, as it runs: by `TorchFunctionMode`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

RESHAPING = {
    "view", "reshape", "flatten", "unflatten", "getitem", "unsqueeze", "squeeze", "expand",
    "transpose", "permute", "t", "T", "mT", "clone", "contiguous", "detach", "to", "long", "int",
    "type", "cpu", "repeat", "cat", "stack", "chunk", "split", "unbind", "select", "narrow", "flip",
    "roll", "pad",
}  # fmt: skip
"""What numbers of words, or of other things, go through on the way to where they are looked up."""
COMPARING = {"gt", "ge", "lt", "le", "greater", "greater_equal", "less", "less_equal"}
"""What cells fire by: whether they are above a threshold."""
CREATING = {
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros",
    "new_ones", "new_full", "new_empty", "new_tensor",
}  # fmt: skip
"""What takes a shape from a tensor and nothing else."""
SHAPED_LIKE = {"expand_as", "view_as", "reshape_as", "type_as", "to"}
"""What takes a shape, or a type, from its second operand."""
WRITING = "setitem"
LOOKING_UP = {"getitem", "index_select", "gather", "take", "take_along_dim"}


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
        """Its arguments with tensors in the slots, and all others on the CPU, where counts are."""
        given = list(tensors)

        def put(leaf: Any) -> Any:
            if isinstance(leaf, Slot):
                return given[leaf.number]
            return leaf.cpu() if isinstance(leaf, Tensor) else leaf

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

    Whole numbers are followed through what moves them to where something is looked up by them,
    which is told as an embedding, and comparisons to where they become numbers, which is told as a
    step; beside an activity both only say which of it is taken.
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
        name = _name(func)
        found, (slotted, named) = self._slots(name, args, kwargs)
        result = func(*args, **kwargs)
        if found or name in self.also:
            name, passed = _followed(name, found, args[0] if name == WRITING else result)
            self._tell((name, func), slotted, named, found, passed)
        return result

    def _slots(self, name: str, args: Any, kwargs: Any) -> tuple[list[Tensor], Any]:
        """The followed tensors among arguments, activities alone where there are any."""
        leaves = pytree.tree_leaves(_read(name, args, kwargs))
        known = [leaf for leaf in leaves if isinstance(leaf, Tensor) and id(leaf) in self.numbers]
        found = [leaf for leaf in known if is_activity(leaf)] or known
        places = {id(leaf) for leaf in found}
        count = iter(range(len(found)))

        def replace(leaf: Any) -> Any:
            return Slot(next(count)) if id(leaf) in places else leaf

        return found, pytree.tree_map(replace, (args, kwargs))

    def _tell(
        self, of: tuple[str, Any], args: Any, kwargs: Any, found: list[Tensor], passed: list[Tensor]
    ) -> None:
        if not passed:
            return
        inputs = tuple(self.numbers[id(leaf)] for leaf in found)
        outputs = tuple(self._number(tensor) for tensor in passed)
        call = Call(*of, args, kwargs, inputs, outputs, tuple(tensor.shape for tensor in passed))
        self.heard(call, passed)

    def _number(self, tensor: Tensor) -> int:
        self.kept.append(tensor)
        self.numbers[id(tensor)] = self.count
        self.count += 1
        return self.count - 1


def is_activity(leaf: Any) -> bool:
    """Whether it is a tensor of what units give out: no whole numbers, no mask."""
    return isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())


def _read(name: str, args: Any, kwargs: Any) -> Any:
    """Those arguments of an operation whose values go into what it gives out."""
    if name in CREATING:
        return ()
    return args[:1] if name in SHAPED_LIKE else (args, kwargs)


def _followed(name: str, found: list[Tensor], result: Any) -> tuple[str, list[Tensor]]:
    """What is followed of what came of an operation on tensors, and what it does to them."""
    tensors = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
    activities = [leaf for leaf in tensors if is_activity(leaf)]
    if not found or is_activity(found[0]):
        return name, tensors if name in COMPARING else activities
    if not activities:
        return name, tensors if name in RESHAPING else []
    if found[0].dtype == torch.bool:
        return "heaviside", activities  # a comparison that is used as a number
    return "embedding" if name in LOOKING_UP else name, activities


class ByName(nn.Module):
    """A module that takes in order what it else takes by name; what is no tensor stays as it is."""

    def __init__(self, own: nn.Module, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.own = own
        self.fixed = {key: x for key, x in arguments.items() if not isinstance(x, Tensor)}
        self.names = [key for key in arguments if key not in self.fixed]

    def forward(self, *given: Any) -> Any:
        """What the module gives out."""
        return self.own(**self.fixed, **dict(zip(self.names, given, strict=True)))


def in_order(model: nn.Module, inputs: Any) -> tuple[nn.Module, list[Any]]:
    """A model and its arguments in order: of a batch, a tuple of arguments or some by name.

    A mapping whose names the model does not take is one argument.
    """
    if isinstance(inputs, Mapping) and takes_by_name(model, inputs):
        named = ByName(model, inputs)
        return named, [inputs[key] for key in named.names]
    return model, list(inputs) if isinstance(inputs, tuple | list) else [inputs]


def takes_by_name(model: nn.Module, arguments: Mapping[str, Any]) -> bool:
    """Whether a model has arguments of those names."""
    try:
        inspect.signature(model.forward).bind(**arguments)
    except TypeError:
        return False
    return True


def asked(model: Callable[..., Any], arguments: Sequence[Any], what: str = "inputs") -> Any:
    """What a model gives out; ValueError where it does not take what it is given, called `what`."""
    try:
        with _as_written():
            return model(*arguments)
    except (RuntimeError, IndexError, TypeError, AssertionError) as error:
        leaves = pytree.tree_leaves(arguments)
        shapes = [str(list(leaf.shape)) for leaf in leaves if isinstance(leaf, Tensor)]
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"the model does not run on {what} of shape {', '.join(shapes)}: {first}"
        ) from error


def _as_written() -> AbstractContextManager[Any]:
    """Within the block what was compiled runs as it was written, each operation for itself."""
    compiled = "torch._dynamo" in sys.modules  # which is slow to import
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def _name(function: Any) -> str:
    """The name of an operation, one for its variants: "add" of `torch.add`, `+`, `+=`, `add_`."""
    if isinstance(function, torch._ops.OpOverload):  # torch.ops.aten.relu.default, or one's own
        return function.name().removeprefix("aten::").partition(".")[0]
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
