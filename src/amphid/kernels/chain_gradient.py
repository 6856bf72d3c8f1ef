"""Layers of cells in a chain and the gradient of all their weights, each way one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from amphid.kernels.chain import Cells, Stage
from amphid.kernels.chain_gradient_source import Wired, write_ahead, write_back
from amphid.kernels.object_code import ObjectCode, numbers
from amphid.kernels.scan import Compiled, Layout, Scan
from amphid.kernels.sequence import constants
from amphid.kernels.watched import refuse_twice

ROOMS = 4  # sets of arrays that are kept for further runs
PART = 8  # cells side by side: a layer is filled up to a whole number of these


class ChainGradient:
    """Stages one after another over T steps of B copies, and the way back to their weights.

    Of the same layers as a `Chain` of one member, whose cells and input need no gradient. The
    arrays that lead from the way there to the way back are made once, and lent to one run after
    another.

    cells: the numbers of each stage. sizes: of the input and of each stage. copies: B.

    Raises UnknownOperation, naming it, for a step that cannot be turned into machine code.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        cells: Sequence[Cells],
        sizes: Sequence[int],
        copies: int,
        dtype: torch.dtype,
    ) -> None:
        self.sizes, self.copies, self.dtype = sizes, copies, dtype
        parts = zip(stages, cells, sizes[:-1], sizes[1:], strict=True)
        self.layers = [
            _Layer(stage, own, (before, size), copies, dtype) for stage, own, before, size in parts
        ]
        wired = [layer.wired(k) for k, layer in enumerate(self.layers)]
        exact = dtype is not torch.float32
        self.ahead = _Code("ahead", write_ahead(wired), exact=exact)
        self.back = _Code("back", write_back(wired), exact=exact)
        self._free: list[_Room] = []

    def __call__(self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
        """What the last stage gives out [T, B, N] for an input [T, B, I].

        weights: [N, I] of each stage. biases: [N] of each.
        """
        output: Tensor = _Run.apply(self, x, *weights, *biases)  # type: ignore[no-untyped-call]
        return output

    def lend(self, steps: int) -> _Lent:
        """Arrays for a run of so many steps, back in place as soon as nobody holds them."""
        free = self._free
        place = next((k for k, room in enumerate(free) if room.steps == steps), None)
        return _Lent(free, _Room(self, steps) if place is None else free.pop(place))


class _Code:
    """A function, called with arrays of the caller and, behind them, with arrays that last."""

    def __init__(self, name: str, source: str, *, exact: bool) -> None:
        self.name, self.code = name, ObjectCode(source, exact=exact)
        self.function: Callable[..., int] | None = None
        self.own: dict[int, list[int]] = {}  # the numbers of the caller's arrays, by steps
        self.places: list[int] = []  # those among them that say where an array is

    def __call__(self, own: Sequence[Any], arrays: Sequence[Any], known: Sequence[int]) -> None:
        """own: steps first, all else of the same shapes. known: the numbers of what lasts."""
        if own[0] not in self.own:
            self.own = {own[0]: numbers(own)}
        if self.function is None:
            self.function = self.code.function(self.name, *own, *arrays)
            sizes = [0 if type(each) is int else each.dim() for each in own]
            self.places = [k + sum(sizes[:k]) for k, size in enumerate(sizes) if size]
        given = self.own[own[0]].copy()
        arrived = [each.data_ptr() for each in own if type(each) is not int]
        for place, address in zip(self.places, arrived, strict=True):
            given[place] = address
        self.function(*given, *known)


class _Lent:
    """Arrays that somebody uses until nobody refers to this."""

    def __init__(self, free: list[_Room], room: _Room) -> None:
        self.free, self.room = free, room

    def __del__(self) -> None:
        self.free.append(self.room)
        del self.free[:-ROOMS]


class _Room:
    """The arrays of one run, as machine code takes them behind those of the caller."""

    def __init__(self, chain: ChainGradient, steps: int) -> None:
        self.steps = steps
        made = [layer.arrays(steps) for layer in chain.layers]
        self.ahead = [own for ahead, _ in made for own in ahead]
        self.back = [own for _, back in made for own in back]
        self.numbers_ahead, self.numbers_back = numbers(self.ahead), numbers(self.back)
        self.unused = [torch.empty(size, dtype=chain.dtype) for size in chain.sizes[1:]]


class _Layer:
    """One stage: its code, and the arrays that it takes."""

    def __init__(
        self,
        stage: Stage,
        cells: Cells,
        sizes: tuple[int, int],
        copies: int,
        dtype: torch.dtype,
    ) -> None:
        self.before, self.size = sizes
        self.cells, self.copies, self.dtype = cells, copies, dtype
        like = torch.zeros(self.copies, self.size, dtype=dtype)
        state = [own[0].expand(like.shape) for own in cells.state]
        self.scan = Scan(stage.step, [own[0] for own in cells.values], state, like, Compiled)
        self.adjoint = self.scan.adjoint((self.scan.values + self.scan.states,))
        self.there, self.back = self.scan.layout(self.adjoint), self.adjoint.layout

    def wired(self, k: int) -> Wired:
        """What its source is written of, as the layer k of several."""
        scan, adjoint = self.scan, self.adjoint
        values = [f"V{p}_{k}" for p in range(scan.values)]
        states = [f"S{v}_{k}" for v in range(scan.states)]
        saved = [f"SAVED{p}_{k}" for p in range(len(adjoint.saved))]
        moving = [f"G{p}_{k}" for p in range(len(adjoint.through))]
        inputs = [*values, *states, f"DRIVE_{k}", *moving, f"GIVEN_{k}", *saved]
        ahead = [*values, *states, f"DRIVE_{k}", *_named(self.there, f"C{{}}_{k}")]
        back = [*(inputs[place] for place in adjoint.used), *_named(self.back, f"D{{}}_{k}")]
        return Wired(
            ahead=self.there,
            back=self.back,
            ahead_names=[*ahead, f"OUT_{k}", *saved],
            back_names=[*back, f"FOUND_{k}"],
            rests=[f"REST{v}_{k}" for v in range(scan.states)],
            kept=[scan.values + v in adjoint.keep for v in range(scan.states)],
            states=states,
            moving=moving,
        )

    def arrays(self, steps: int) -> tuple[list[Any], list[Any]]:
        """New arrays for so many steps, in the order of those names."""
        adjoint, first, dtype = self.adjoint, self.scan.values, self.dtype
        values = [own[0] if len(own[0]) == 1 else self._filled(own[0]) for own in self.cells.values]
        rest = [self._filled(own[0]) for own in self.cells.state]
        states = [
            self._rows(own.dtype, steps + 1) if first + v in adjoint.keep else own.clone()
            for v, own in enumerate(rest)
        ]
        drive, output, given, found = (self._rows(dtype, steps) for _ in range(4))
        saved = [self._rows(symbol.dtype, steps) for symbol in adjoint.saved]
        moving = [torch.zeros_like(drive[0]) for _ in adjoint.through]
        inputs = [*values, *states, drive, *moving, given, *saved]
        sizes, width = [self.size, len(drive[0]) // self.copies], -(-self.before // PART) * PART
        turned, filled, sums, total = (
            torch.zeros(*shape, sizes[1], dtype=dtype) for shape in [(self.before,), ()] * 2
        )
        ahead = [*values, *states, drive, *self._constants(self.there), output, *saved]
        back = [*(inputs[place] for place in adjoint.used), *self._constants(self.back), found]
        wide = torch.zeros(sizes[1], width, dtype=dtype)
        rows = steps * self.copies
        events = [torch.zeros(rows + 1, dtype=torch.int64), torch.zeros(rows * self.before + 1)]
        events[1] = events[1].to(torch.int32)
        return (
            [*sizes, *events, turned, filled, *rest, *ahead],
            [*sizes, *events, wide, sums, total, output, *back],
        )

    def _constants(self, layout: Layout) -> list[Tensor]:
        parts = (layout.parted.single, layout.parted.each, layout.parted.every)
        held = {symbol: own for part in parts for symbol, own in part.constants}
        return [
            held[s].reshape(1) if s.shared else self._filled(held[s])
            for s in constants(layout.parted)
        ]

    def _filled(self, own: Tensor) -> Tensor:
        """[B * L] of [B, N] or of what broadcasts to it: cells that are none are like the last."""
        own = own.detach().expand(self.copies, self.size)
        missing = own[:, -1:].expand(-1, -self.size % PART)
        return torch.cat((own, missing), 1).reshape(-1)

    def _rows(self, dtype: torch.dtype, rows: int) -> Tensor:
        return torch.zeros(rows, self.copies * -(-self.size // PART) * PART, dtype=dtype)


def _named(layout: Layout, pattern: str) -> list[str]:
    """Names for the constants of a sequence."""
    return [pattern.format(place) for place in range(len(constants(layout.parted)))]


class _Run(torch.autograd.Function):
    """A chain with the way back to its weights and biases."""

    @staticmethod
    def forward(ctx: Any, chain: ChainGradient, x: Tensor, *held: Tensor) -> Tensor:
        steps, copies = len(x), chain.copies
        lent, rows = chain.lend(steps), x.reshape(steps, -1).contiguous()
        output = torch.empty(steps, copies * chain.sizes[-1], dtype=chain.dtype)
        own = [steps, copies, chain.sizes[0], rows, output, *(each.contiguous() for each in held)]
        chain.ahead(own, lent.room.ahead, lent.room.numbers_ahead)
        ctx.chain, ctx.lent = chain, lent
        ctx.save_for_backward(rows, *held[: len(chain.layers)])
        return output.view(steps, copies, chain.sizes[-1])

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        refuse_twice()
        chain, room, (rows, *weights) = ctx.chain, ctx.lent.room, ctx.saved_tensors
        steps, copies = room.steps, chain.copies
        found = [torch.empty(own.shape, dtype=chain.dtype) for own in weights]
        asked = ctx.needs_input_grad[2 + len(weights) :]
        biases = [
            torch.empty(size, dtype=chain.dtype) if needed else unused
            for size, needed, unused in zip(chain.sizes[1:], asked, room.unused, strict=True)
        ]
        own = [steps, copies, chain.sizes[0], rows, given.reshape(steps, -1).contiguous()]
        own += [*(each.contiguous() for each in weights), *found, *biases]
        chain.back(own, room.back, room.numbers_back)
        return None, None, *found, *biases
