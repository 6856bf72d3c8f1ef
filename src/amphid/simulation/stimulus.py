"""What goes into a network: currents into chosen cells over time, and sources of spikes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from amphid.kernels import common_shape
from amphid.simulation.sources import Source, side_by_side


@dataclass(frozen=True, eq=False)
class Stimulus:
    """Currents into chosen cells over time; two of them add up, and `stimulus[a:b]` is a stretch.

    current: [T, *B, K] pA. cells: [K] indices of the driven cells. size: N, the cells of the
    network. dt: ms per step. sources: what is drawn or read step by step on top of the current,
    which may have no columns then, but still has T rows.
    """

    current: Tensor
    cells: Tensor
    size: int
    dt: float
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        check_positive("dt", self.dt)
        if self.current.dim() < 2 or self.current.shape[-1] != len(self.cells):
            raise ValueError(
                f"current must be [T, *B, K] with one entry for each of {len(self.cells)} driven "
                f"cells, got shape {list(self.current.shape)}."
            )
        for source in self.sources:
            self._check(source)

    def __len__(self) -> int:
        return len(self.current)

    def __repr__(self) -> str:
        shape = list(self.current.shape)
        held = [f"{shape} pA into {len(self.cells)} of {self.size} cells"]
        if self.sources and not len(self.cells):
            held = [f"{len(self)} steps, {self.size} cells"]
        return f"Stimulus({', '.join((*held, *map(repr, self.sources)))}, dt={self.dt:g})"

    def __getitem__(self, steps: slice) -> Stimulus:
        """The steps first:last, where sources go on as in the whole."""
        if not isinstance(steps, slice) or steps.step not in (None, 1):
            raise TypeError(
                f"a stimulus is cut by a range of steps, such as [:100]; got {steps!r}."
            )
        first, _, _ = steps.indices(len(self))
        sources = tuple(source.later(first) for source in self.sources)
        return replace(self, current=self.current[steps], sources=sources)

    @property
    def duration(self) -> float:
        """How long it lasts, ms."""
        return len(self) * self.dt

    @property
    def batch(self) -> torch.Size:
        """The axes *B of its trials."""
        leads = (source.batch for source in self.sources)
        return common_shape(self.current.shape[1:-1], *leads)

    @property
    def driven(self) -> Tensor:
        """Indices of all cells that get anything, in order."""
        return torch.unique(torch.cat((self.cells, *(source.cells for source in self.sources))))

    def active(self) -> Tensor:
        """In which steps [T, *B] any cell gets anything, or may."""
        on = (self.current != 0).any(-1)
        for source in self.sources:
            on, more = _aligned(on[..., None], source.active(len(self))[..., None])
            on = (on | more)[..., 0]
        return on

    def dense(self) -> Tensor:
        """The current into every cell [T, *B, N] in pA."""
        return spread(self.current, self.cells, self.size, self.sources)

    def to(self, like: Tensor) -> Stimulus:
        """The same in the type and on the device of a tensor."""
        return replace(
            self,
            current=self.current.to(like),
            cells=self.cells.to(like.device),
            sources=tuple(source.to(like) for source in self.sources),
        )

    def __add__(self, other: Stimulus) -> Stimulus:
        if not isinstance(other, Stimulus):
            return NotImplemented
        if (self.size, self.dt, len(self)) != (other.size, other.dt, len(other)):
            raise ValueError(
                "stimuli that are added must have the same cells, steps and dt: got "
                f"{self!r} and {other!r}."
            )
        cells = torch.unique(torch.cat((self.cells, other.cells)))
        one, two = _aligned(_columns(self, cells), _columns(other, cells))
        return replace(self, current=one + two, cells=cells, sources=self.sources + other.sources)

    def _check(self, source: Source) -> None:
        if not math.isclose(source.dt, self.dt):
            raise ValueError(
                f"a source must have the dt of its stimulus: got {source.dt:g} ms in one of "
                f"{self.dt:g} ms."
            )
        cells = source.cells
        if len(cells) and not 0 <= int(cells.min()) <= int(cells.max()) < self.size:
            raise ValueError(
                f"a source must drive cells of the network, 0 to {self.size - 1}: got indices "
                f"{int(cells.min())} to {int(cells.max())}."
            )


def spread(
    current: Tensor,
    cells: Tensor | None,
    size: int,
    sources: Sequence[Source],
    first: int = 0,
) -> Tensor:
    """The current into every cell [S, *B, N] in pA, of a stretch that begins at a step.

    current: [S, *B, K] into the cells [K], or into all in order when None.
    """
    if cells is not None:
        nothing = current.new_zeros(*current.shape[:-1], size)
        current = nothing.index_add(-1, cells, current)
    for source in sources:
        drawn = source.current(first, first + len(current))
        current, drawn = _aligned(current, drawn)
        batch = common_shape(current.shape[:-1], drawn.shape[:-1])
        wide = current.expand(*batch, size)
        current = wide.index_add(-1, source.cells, drawn.expand(*batch, drawn.shape[-1]))
    return current


def compact(current: Tensor) -> Tensor:
    """A current [T, ...], or its first row alone [1, ...] where one stays that was expanded."""
    return current if current.stride(0) else current[:1]


def batch(*stimuli: Stimulus) -> Stimulus:
    """Several stimuli side by side: [T, K] each become one of [T, B, K], a trial each.

    Raises ValueError when they differ in cells, steps or dt.
    """
    if not stimuli or len({(s.size, s.dt, len(s)) for s in stimuli}) != 1:
        raise ValueError(
            "a batch needs stimuli of the same network, steps and dt: got "
            f"{', '.join(map(repr, stimuli)) or 'none'}."
        )
    cells = torch.unique(torch.cat([s.cells for s in stimuli]))
    return replace(
        stimuli[0],
        current=torch.stack([_columns(s, cells) for s in stimuli], 1),
        cells=cells,
        sources=side_by_side([s.sources for s in stimuli]),
    )


def _aligned(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Two currents [T, *B, K] with as many axes of trials each."""
    most = max(one.dim(), two.dim())
    missing = ((1,) * (most - current.dim()) for current in (one, two))
    return (
        one.reshape(len(one), *next(missing), *one.shape[1:]),
        two.reshape(len(two), *next(missing), *two.shape[1:]),
    )


def _columns(stimulus: Stimulus, cells: Tensor) -> Tensor:
    """The currents of a stimulus [T, *B, K] into those cells."""
    place = torch.searchsorted(cells, stimulus.cells)
    wide = stimulus.current.new_zeros(*stimulus.current.shape[:-1], len(cells))
    return wide.index_add(-1, place, stimulus.current)


def check_finite(current: Tensor, cells: Tensor | None) -> None:
    """Raise ValueError where a current [T, *B, K] into cells [K], or all, holds nan or infinity.

    Inside a transform of torch.func, which hides the numbers, nothing is looked at.
    """
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return
    if bool(current.detach().sum().isfinite()) or bool(current.isfinite().all()):
        return
    first = (~current.isfinite()).nonzero()[0].tolist()
    cell = first[-1] if cells is None else int(cells[first[-1]])
    trial = f", trial {', '.join(map(str, first[1:-1]))}" if first[1:-1] else ""
    raise ValueError(
        f"stimulus must hold finite numbers, in pA, got {float(current[tuple(first)])} in step "
        f"{first[0]}{trial}, cell {cell}. torch.nan_to_num replaces what is missing."
    )


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless a time is a positive number of ms."""
    if not (isinstance(value, (int, float)) and 0 < value < math.inf):
        raise ValueError(f"{name} must be a positive number of ms, got {value!r}.")
