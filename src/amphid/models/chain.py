"""Layers one after another in machine code, for all members that vmap stands for."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from amphid.dynamics import Neuron
from amphid.dynamics.sequence import settings_of, tensors_of
from amphid.kernels import Cells, Chain, Given, Stage, UnknownOperation, is_mapped, over_copies
from amphid.models.folding import is_untouched
from amphid.models.gain import Gain

REMEMBERED = 16  # kernels of an owner
WIDE, DENSE = (
    64,
    0.2,
)  # inputs, and share of them that are not zero, above which a product is faster

Taken = tuple[Tensor, int]

_chains: weakref.WeakKeyDictionary[nn.Module, dict[Any, Chain | None]] = weakref.WeakKeyDictionary()

_rests: weakref.WeakKeyDictionary[nn.Module, dict[str, Any]] = weakref.WeakKeyDictionary()


def run_chain(owner: nn.Module, layers: Sequence[nn.Module], x: Tensor, dt: float) -> Taken | None:
    """What the first layers give for a sequence x [T, *B, I] within vmap, and how many they are.

    They are linear maps, each with gains and cells behind it. None where only one layer after
    another will do, or where a gradient is asked for.
    """
    if not is_mapped(x) or torch.is_grad_enabled() or x.dim() < 2 or not x.numel():
        return None
    links = links_of(layers, x.shape[-1])
    parts = [Part.of(link, x.shape[1:-1], x.dtype, dt) for link in links]
    if not parts or not all(part.fits(x.dtype) for part in parts):
        return None
    given = over_copies(
        lambda x, *tensors: _run(owner, parts, x, list(tensors)),
        (x, *(own for part in parts for own in part.tensors)),
    )
    return (given[0], sum(link.layers for link in links)) if given else None


def _run(owner: nn.Module, parts: Sequence[Part], x: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """The output [S, T, *B, N] of an input [S, T, *B, I]; nothing where machine code cannot be had.

    Parts that are the same for all members go ahead, once.
    """
    if x.shape[-1] > WIDE and int(torch.count_nonzero(x)) > DENSE * x.numel():
        return []
    shape, copies = x.shape[1:-1], math.prod(x.shape[2:-1])
    given = [part.given([tensors.pop(0) for _ in part.tensors], copies) for part in parts]
    x = x.reshape(len(x), len(x[0]), copies, -1)
    for piece in pieces_of(given, len(x)):
        code = code_of(owner, parts[piece], given[piece], x.dtype)
        if code is None:
            return []
        x = code(x, given[piece])
    return [x.view(len(x), *shape, -1)]


def pieces_of(given: Sequence[Given], inputs: int) -> list[slice]:
    """The parts of a chain that run together: those that are the same for all members go ahead.

    inputs: how many inputs there are, one where all members share it.
    """
    alike = 0 if inputs > 1 else next((k for k, own in enumerate(given) if own.members > 1), None)
    return [slice(0, alike), slice(alike, None)] if alike else [slice(None)]


def code_of(
    owner: nn.Module, parts: Sequence[Part], given: Sequence[Given], dtype: torch.dtype
) -> Chain | None:
    """The machine code of these parts as they are now, or None where there can be none."""
    known = _chains.setdefault(owner, {})
    kinds = [
        (part.dt, part.settings, part.structure, [own.shape[1] for own in numbers.cells.values])
        for part, numbers in zip(parts, given, strict=True)
    ]
    key = str((dtype, kinds))
    if key not in known:
        while len(known) >= REMEMBERED:
            known.pop(next(iter(known)))
        try:
            stages = [part.stage(own) for part, own in zip(parts, given, strict=True)]
            known[key] = Chain(stages, dtype)
        except (UnknownOperation, ModuleNotFoundError):
            known[key] = None
    return known[key]


@dataclass(frozen=True, eq=False)
class Link:
    """A linear map, and the cells that it drives through gains."""

    linear: nn.Linear
    driven: Driven

    @property
    def layers(self) -> int:
        """How many layers it is made of."""
        return 2 + len(self.driven.gains)


class Driven(nn.Module):
    """Gains and the cells behind them, whose call is one step."""

    def __init__(self, gains: Sequence[nn.Module], neuron: Neuron[Any]) -> None:
        super().__init__()
        self.gains, self.neuron = nn.ModuleList(gains), neuron

    def forward(self, state: Any, drive: Tensor, dt: float) -> Any:
        """One step of dt ms."""
        for gain in self.gains:
            drive = gain(drive)
        return self.neuron.step(state, drive, dt)


def links_of(layers: Sequence[nn.Module], size: int) -> list[Link]:
    """The links that a sequence of layers starts with, as many as there are."""
    found: list[Link] = []
    while layers and type(linear := layers[0]) is nn.Linear and linear.in_features == size:
        count = 1
        while count < len(layers) and type(layers[count]) is Gain:
            count += 1
        cells = layers[count] if count < len(layers) else None
        if not isinstance(cells, Neuron) or not all(map(is_untouched, layers[: count + 1])):
            break
        found.append(Link(linear, Driven(layers[1:count], cells)))
        layers, size = layers[count + 1 :], linear.out_features
        if size > WIDE and cells.output != "spike":
            break
    return found


def at_rest(neuron: Neuron[Any], cells: Tensor, made_of: Sequence[Any]) -> tuple[list[Tensor], Any]:
    """The state at rest; remembered where it follows from what the cells are made of alone."""
    known = _rests.setdefault(neuron, {})
    own = [(id(one), one._version) if isinstance(one, Tensor) else one for one in made_of]
    key = str((own, cells.shape, cells.dtype))
    if key in known:
        return known[key]
    before = torch.get_rng_state()
    found = pytree.tree_flatten(neuron.init(cells))
    mapped = any(
        map(_is_batched, [*found[0], *(one for one in made_of if isinstance(one, Tensor))])
    )
    drawn = "Generator object" in key or not torch.equal(before, torch.get_rng_state())
    if not (mapped or drawn):
        while len(known) >= REMEMBERED:
            known.pop(next(iter(known)))
        known[key] = found
    return found


_is_batched: Any = torch._C._functorch.is_batchedtensor


@dataclass(frozen=True, eq=False)
class Part:
    """The numbers of one link, as vmap sees them."""

    link: Link
    dt: float
    settings: tuple[Any, ...]  # what the cells are made of besides their numbers
    names: Sequence[str]  # of the values
    structure: Any  # of the state
    states: int
    shape: torch.Size  # of the cells [*B, N]
    tensors: Sequence[Tensor]  # weight, bias where there is one, values, state

    @staticmethod
    def of(link: Link, shape: torch.Size, dtype: torch.dtype, dt: float) -> Part:
        """Those of a link whose cells start at rest, in copies [*B]."""
        linear, named = link.linear, dict(tensors_of(link.driven))
        named = {name: own for name, own in named.items() if own.is_floating_point()}
        settings = tuple(settings_of(link.driven))
        cells = torch.zeros(*shape, linear.out_features, dtype=dtype)
        leaves, structure = at_rest(link.driven.neuron, cells, [settings, *named.values()])
        bias = [] if linear.bias is None else [linear.bias]
        tensors = [linear.weight, *bias, *named.values(), *leaves]
        return Part(link, dt, settings, [*named], structure, len(leaves), cells.shape, tensors)

    def fits(self, dtype: torch.dtype) -> bool:
        """Whether all are real numbers of one type, one for each cell or one for all of a kind."""
        size, state = self.link.linear.out_features, self.tensors[-self.states :]
        values = self.tensors[-self.states - len(self.names) : -self.states]
        fitting = all(own.shape in ((), (1,), (size,)) for own in values)
        fitting = fitting and all(own.shape == self.shape for own in state)
        return fitting and all(
            own.dtype == dtype for own in self.tensors if own.is_floating_point()
        )

    def given(self, tensors: Sequence[Tensor], copies: int) -> Given:
        """The same once each has a first axis for the members."""
        weight, *rest = tensors
        bias = None if self.link.linear.bias is None else rest.pop(0)
        values = [own.reshape(len(own), -1) for own in rest[: len(self.names)]]
        state = [own.reshape(len(own), copies, -1) for own in rest[len(self.names) :]]
        return Given(weight, bias, Cells(values, state))

    def stage(self, given: Given) -> Stage:
        """What machine code is made of."""
        stepping, structure, dt = self.link.driven, self.structure, self.dt

        def step(*tensors: Tensor) -> list[Tensor]:
            values, (*state, drive) = tensors[: len(self.names)], tensors[len(self.names) :]
            named = dict(zip(self.names, values, strict=True))
            arguments = (pytree.tree_unflatten(state, structure), drive, dt)
            after, output = functional_call(stepping, named, arguments)
            return [*pytree.tree_leaves(after), output]

        single = [own.shape[1] == 1 for own in given.cells.values]
        return Stage(step, single, [own.dtype for own in given.cells.state])
