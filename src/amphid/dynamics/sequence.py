"""Cells over a whole sequence: machine code where it can be had, else one step after another."""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from amphid.kernels import (
    Compiled,
    Scan,
    TritonLoop,
    UnknownOperation,
    common_shape,
    is_mapped,
    is_watched,
    over_copies,
)

if TYPE_CHECKING:
    from amphid.dynamics.neuron import Neuron

REMEMBERED = 16  # kernels of a neuron: of several step widths, shapes and types

# what every module has, and a method that somebody listens to: they change nothing
_OTHER = frozenset((*vars(nn.Module()), "forward", "run"))

_log = logging.getLogger(__name__)
_scans: weakref.WeakKeyDictionary[nn.Module, dict[Any, Scan | None]] = weakref.WeakKeyDictionary()


def run_sequence(neuron: Neuron[Any], current: Tensor, state: Any, dt: float) -> tuple[Tensor, Any]:
    """Output [T, *B, N] under a current [T, *B, N] in pA, and the state after it."""
    if is_mapped(current) and current.numel():
        return run_mapped(neuron, current, state, dt)
    if is_watched(current, "cuda") or not current.numel():
        return run_plainly(neuron, current, state, dt)
    leaves, structure = pytree.tree_flatten(state)
    named = {name: own for name, own in tensors_of(neuron) if own.is_floating_point()}
    try:
        shape = common_shape(
            current.shape[1:], *(tensor.shape for tensor in (*leaves, *named.values()))
        )
    except ValueError:  # values of some of the cells only, as in a mixture
        return run_plainly(neuron, current, state, dt)
    leaves, wide = [leaf.expand(shape) for leaf in leaves], current.expand(-1, *shape)
    known, key = _kept(neuron, named, leaves, structure, wide, dt)
    try:
        if key not in known:
            known[key] = _made(neuron, named, leaves, structure, wide, dt)
        if (scan := known[key]) is None:
            return run_plainly(neuron, current, state, dt)
        output, *after = scan([*named.values()], leaves, wide)
    except (UnknownOperation, ModuleNotFoundError) as reason:
        _log.warning("%s is run step by step: %s", type(neuron).__name__, reason)
        known[key] = None
        return run_plainly(neuron, current, state, dt)
    return output, pytree.tree_unflatten(after, structure)


def run_plainly(neuron: Neuron[Any], current: Tensor, state: Any, dt: float) -> tuple[Tensor, Any]:
    """The same, one step after another in torch: the reference, and what transforms see."""
    outputs = []
    for present in current.unbind(0):
        state, given = neuron.step(state, present, dt)
        outputs.append(given)
    return torch.stack(outputs), state


def run_mapped(neuron: Neuron[Any], current: Tensor, state: Any, dt: float) -> tuple[Tensor, Any]:
    """The same within vmap: all its copies side by side, as one more axis of the batch.

    Values, state and current may be the same in all copies or differ.
    """
    leaves, structure = pytree.tree_flatten(state)
    named = {name: own for name, own in tensors_of(neuron) if own.is_floating_point()}
    running, axes = _Running(neuron), current.dim()

    def run(current: Tensor, *rest: Tensor) -> list[Tensor]:
        own, values = (
            list(map(aligned, part)) for part in (rest[: len(leaves)], rest[len(leaves) :])
        )
        inside = {f"neuron.{name}": value for name, value in zip(named, values, strict=True)}
        arguments = (current.movedim(1, 0), pytree.tree_unflatten(own, structure), dt)
        output, after = functional_call(running, inside, arguments)
        return [output.movedim(0, 1), *pytree.tree_leaves(after)]

    def aligned(value: Tensor) -> Tensor:
        """[S, ...] as it broadcasts to cells [S, *B, N]."""
        return value.reshape(len(value), *[1] * (axes - value.dim()), *value.shape[1:])

    output, *after = over_copies(run, (current, *leaves, *named.values()))
    return output, pytree.tree_unflatten(after, structure)


def _kept(
    neuron: Neuron[Any],
    named: dict[str, Tensor],
    leaves: list[Tensor],
    structure: Any,
    current: Tensor,
    dt: float,
) -> tuple[dict[Any, Scan | None], Any]:
    """What is remembered of a neuron, with room for more, and what its machine code hangs on now.

    None is remembered where there can be none.
    """
    known = _scans.setdefault(neuron, {})
    cells = [leaf.dtype for leaf in leaves], structure, current.shape[1:], current.dtype
    values = [(name, own.shape, own.dtype) for name, own in named.items()]
    key = (dt, current.device, *settings_of(neuron), str(cells), str(values))
    while key not in known and len(known) >= REMEMBERED:
        known.pop(next(iter(known)))
    return known, key


def why_unsteady(neuron: nn.Module) -> str:
    """Why the state of cells grows from step to step, or "" where it is always as large."""
    return next((why for part in neuron.modules() if (why := getattr(part, "unsteady", ""))), "")


def tensors_of(neuron: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name."""
    yield from neuron.named_parameters()
    yield from neuron.named_buffers()


def settings_of(neuron: nn.Module) -> Iterator[Any]:
    """What a neuron is made of besides its real numbers, so that a change of it is seen."""
    for name, own in tensors_of(neuron):
        if not own.is_floating_point():
            yield name, id(own), own._version
    for module in neuron.modules():
        for name, value in vars(module).items():
            if name in _OTHER:
                continue
            if isinstance(value, Tensor):
                yield name, id(value), value._version
            elif type(value).__hash__ is None or isinstance(value, tuple):
                yield name, repr(value)
            else:
                yield name, value


def _made(
    neuron: Neuron[Any],
    named: dict[str, Tensor],
    leaves: list[Tensor],
    structure: Any,
    current: Tensor,
    dt: float,
) -> Scan:
    if why := why_unsteady(neuron):
        raise UnknownOperation(why)
    stepping, names = _Stepping(neuron), [f"neuron.{name}" for name in named]

    def step(*given: Tensor) -> list[Tensor]:
        values, (*state, present) = given[: len(names)], given[len(names) :]
        arguments = (pytree.tree_unflatten(state, structure), present, dt)
        after, output = functional_call(stepping, dict(zip(names, values, strict=True)), arguments)
        return [*pytree.tree_leaves(after), output]

    loop = Compiled if current.device.type == "cpu" else TritonLoop
    return Scan(step, [*named.values()], leaves, current[0], loop)


class _Stepping(nn.Module):
    """A neuron whose call is one step."""

    def __init__(self, neuron: Neuron[Any]) -> None:
        super().__init__()
        # a copy, of the same parameters: what is remembered for a neuron must not keep it alive
        self.neuron = copy.copy(neuron)
        for method in ("forward", "run"):  # of a listener
            vars(self.neuron).pop(method, None)

    def forward(self, state: Any, current: Tensor, dt: float) -> Any:
        return self.neuron.step(state, current, dt)


class _Running(nn.Module):
    """A neuron whose call is a whole sequence."""

    def __init__(self, neuron: Neuron[Any]) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, current: Tensor, state: Any, dt: float) -> tuple[Tensor, Any]:
        return run_sequence(self.neuron, current, state, dt)
