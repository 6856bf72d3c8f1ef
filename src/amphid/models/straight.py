"""A model that is a chain of layers, run in machine code past torch's calls of modules."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from amphid.dynamics.sequence import settings_of
from amphid.kernels import Chain, ChainGradient, Events, Given, UnknownOperation, events, is_watched
from amphid.models.chain import REMEMBERED, WIDE, Part, code_of, links_of, pieces_of
from amphid.models.folding import is_untouched
from amphid.models.marks import Mark

MANY = 2**24  # products of all steps, above which those of matrices are faster

_known: weakref.WeakKeyDictionary[nn.Module, dict[Any, Straight]] = weakref.WeakKeyDictionary()


def straight(model: nn.Sequential, x: object, dt: float, *, back: bool = False) -> Straight | None:
    """How layers run one after another on sequences like x [T, *B, I] in machine code, of any T.

    They are linear maps, gains and cells and nothing else, and nobody listens to them. None for any
    other, and for inputs that torch must see. dt: ms. back: with a gradient of weights and biases,
    and None where one is asked for anything else. It is remembered, and made again once a layer, a
    setting of a cell or a number of it has changed.
    """
    if type(x) is not Tensor or x.dim() < 2 or not x.numel() or x.requires_grad or is_watched(x):
        return None
    known = _known.setdefault(model, {})
    key = x.shape[1:], x.dtype, dt
    if (found := known.get(key)) is not None and found.holds():
        return None if back and found.learns_cells else found
    if back and _learns_cells(model):
        return None
    known.pop(key, None)
    if (made := _made(model, x, dt)) is not None:
        while len(known) >= REMEMBERED:
            known.pop(next(iter(known)))
        known[key] = made
    return made


def _learns_cells(model: nn.Module) -> bool:
    """Whether a gradient is asked for anything but weights and biases of linear maps."""
    return any(
        own is not None and own.requires_grad
        for module in model.modules()
        if type(module) is not nn.Linear
        for own in (*module._parameters.values(), *module._buffers.values())
    )


@dataclass(eq=False)
class Straight:
    """The layers of a model as a chain, and what they were when it was made.

    parts: one for each linear map. names: of weight and bias of each in the model. given: the
    numbers of each, without weights. marks: what the model was.
    """

    parts: Sequence[Part]
    names: Sequence[tuple[str, str]]
    given: Sequence[Given]
    marks: Sequence[Mark]
    codes: dict[Any, Chain | None] = field(default_factory=dict)
    gradient: ChainGradient | None = None
    last: tuple[Tensor, int, Events] | None = None  # an input and what was found in it

    def holds(self) -> bool:
        """Whether the model is still what this was made of."""
        return not torch.is_autocast_enabled("cpu") and all(mark.holds() for mark in self.marks)

    @property
    def learns_cells(self) -> bool:
        """Whether a gradient is asked for anything but weights and biases."""
        return any(number.requires_grad for mark in self.marks for number in mark.numbers)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Weights and biases by their names in the model."""
        found = {}
        for part, (weight, bias) in zip(self.parts, self.names, strict=True):
            found[weight] = part.link.linear.weight
            if part.link.linear.bias is not None:
                found[bias] = part.link.linear.bias
        return found

    @cached_property
    def widest(self) -> int:
        """The number of cells of the largest layer."""
        return max(part.link.linear.out_features for part in self.parts)

    def takes(self, held: Mapping[str, Tensor]) -> bool:
        """Whether these are weights and biases of it, [S, *shape] or [1, *shape] each."""
        own = self.parameters
        return all(
            name in own and each.shape[1:] == own[name].shape and each.dtype == own[name].dtype
            for name, each in held.items()
        )

    def members(self, x: Tensor, held: Mapping[str, Tensor]) -> Tensor | None:
        """Outputs [S, T, *B, N] for an input [T, *B, I] of members with these weights and biases.

        held: [S, *shape] or [1, *shape] each; those that are not given are those of the model.
        None where machine code cannot be had.
        """
        given = [self._given(place, held) for place in range(len(self.parts))]
        found, copies = x, math.prod(x.shape[1:-1])
        for piece in pieces_of(given, 1):
            code = self._code(piece, given, x.dtype)
            if code is None:
                return None
            shape = (1, len(x), copies, found.shape[-1])
            heard = self._heard(x) if found is x else events(found)
            found = code.run(shape, heard, given[piece])
        return found.view(len(found), *x.shape[:-1], -1)

    def differentiable(self, x: Tensor, held: Mapping[str, Tensor]) -> Tensor | None:
        """Outputs [T, *B, N] for an input [T, *B, I] with these weights and biases.

        held: those that are not given are those of the model; gradients lead to all of them, and
        to nothing else. None where something else is held, where machine code cannot be had, or
        where a product of matrices costs less.
        """
        copies = math.prod(x.shape[1:-1])
        if self.products * len(x) * copies > MANY or (code := self._both_ways(x)) is None:
            return None
        own = self.parameters
        for name, each in held.items():
            if name not in own or each.shape != own[name].shape or each.dtype != own[name].dtype:
                return None
            own[name] = each
        weights = [own[weight] for weight, _ in self.names]
        biases = [
            own.get(bias, nothing)
            for nothing, (_, bias) in zip(self.nothing, self.names, strict=True)
        ]
        output = code(x.reshape(len(x), copies, -1), weights, biases)
        return output.view(*x.shape[:-1], -1)

    @cached_property
    def nothing(self) -> list[Tensor]:
        """Biases of layers that have none."""
        weights = [part.link.linear.weight for part in self.parts]
        return [own.new_zeros(len(own), requires_grad=False) for own in weights]

    @cached_property
    def products(self) -> int:
        """Products of a weight and what arrives, in one step of one copy."""
        return sum(part.link.linear.weight.numel() for part in self.parts)

    def _both_ways(self, x: Tensor) -> ChainGradient | None:
        if self.gradient is None:
            sizes = [x.shape[-1], *(part.link.linear.out_features for part in self.parts)]
            stages = [part.stage(own) for part, own in zip(self.parts, self.given, strict=True)]
            cells, copies = [own.cells for own in self.given], math.prod(x.shape[1:-1])
            try:
                self.gradient = ChainGradient(stages, cells, sizes, copies, x.dtype)
            except (UnknownOperation, ModuleNotFoundError):
                self.products = MANY + 1
        return self.gradient

    def _heard(self, x: Tensor) -> Events:
        """The events of an input, of the last one without looking again."""
        if (last := self.last) is None or last[0] is not x or last[1] != x._version:
            self.last = last = x, x._version, events(x)
        return last[2]

    def _given(self, place: int, held: Mapping[str, Tensor]) -> Given:
        linear, (weight, bias) = self.parts[place].link.linear, self.names[place]
        own = held.get(weight)
        own = linear.weight[None] if own is None else own
        also = held.get(bias)
        if also is None and linear.bias is not None:
            also = linear.bias[None]
        return self.given[place]._replace(weight=own, bias=also)

    def _code(self, piece: slice, given: Sequence[Given], dtype: torch.dtype) -> Chain | None:
        key = piece.start, piece.stop
        if key not in self.codes:
            # nothing that is remembered for a model may keep it alive
            owner = self.parts[0].link.linear
            self.codes[key] = code_of(owner, self.parts[piece], given[piece], dtype)
        return self.codes[key]


def _made(model: nn.Module, x: Tensor, dt: float) -> Straight | None:
    layers: list[Any] = [*model._modules.values()]
    links = [] if x.shape[-1] > WIDE or not is_untouched(model) else links_of(layers, x.shape[-1])
    if not links or sum(link.layers for link in links) != len(layers):
        return None
    every = [own for layer in layers for own in layer.parameters()]
    if len(set(map(id, every))) < len(every) or any(map(_draws, layers)):
        return None
    before = torch.get_rng_state()
    parts = [Part.of(link, x.shape[1:-1], x.dtype, dt) for link in links]
    if not torch.equal(before, torch.get_rng_state()):
        torch.set_rng_state(before)
        return None
    if not all(part.fits(x.dtype) for part in parts):
        return None
    copies = math.prod(x.shape[1:-1])
    given = [part.given([own.detach()[None] for own in part.tensors], copies) for part in parts]
    places = [sum(link.layers for link in links[:k]) for k in range(len(links))]
    keys = [*model._modules]
    names = [(f"{keys[place]}.weight", f"{keys[place]}.bias") for place in places]
    return Straight(parts, names, given, [Mark(own) for own in model.modules()])


def _draws(layer: nn.Module) -> bool:
    """Whether it holds what random numbers are drawn from."""
    return any(isinstance(own[-1], torch.Generator) for own in settings_of(layer))
