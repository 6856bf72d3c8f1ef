"""What a cell does while nothing reaches it and it cannot fire: found from its step, for any cell.

Below threshold, without input, the state of many cells follows a linear map: k steps are its k-th
power, and a bound on the way tells whether a threshold is ever met. Such a cell need not be stepped
until something reaches it. The state after k steps is the same up to rounding, and so are the
spikes. Any other cell can only be left alone where a step changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.kernels import Affine, Condition, NotAffine, affine_near
from amphid.simulation.compiled.parts import Steps

Numbers = NDArray[np.float64]

SHORT = 512  # steps whose powers are kept one by one; longer sleeps take two
LONGEST = 1024  # times SHORT: the sleep after which a map must have come to an end
SAFETY = 1e-5  # of the way from rest to threshold: far more than what rounding moves
SMALLEST, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Quiet:
    """How the state of a cell moves on while it is left alone, and until when it may be.

    names: arrays of the state, S of them. rest: [S, 1] or [S, N] the state that stays as it is.
    moving: pairs (s, c): after k steps s holds the sum over c of power[k][s, c] times the distance
    of c from its rest. short, long: [SHORT, M] and [J, M] powers k and SHORT k of those M pairs.
    settled: states that a step takes to their rest at once, where they must stand to begin with.
    inputs: arrays of what arrives in a step, I of them. matrix: [S, S] and push: [S, I] the next
    distance from rest by this one and by the inputs.
    slack: [C, 1] or [C, N] what may be lost of margins at rest, less than 0 of cells that cannot be
    left alone. now: [C, S] and once: [C, I] what distances from rest
    and inputs add to a margin in the step itself. fall, rise: [C, S] by how much a unit above, or
    below, rest can take from a margin at the worst of all times.
    """

    names: tuple[str, ...]
    rest: Numbers
    moving: tuple[tuple[int, int], ...]
    short: Numbers
    long: Numbers
    settled: tuple[int, ...]
    inputs: tuple[str, ...]
    matrix: Numbers
    push: Numbers
    slack: Numbers
    now: Numbers
    once: Numbers
    fall: Numbers
    rise: Numbers

    def share(self) -> float:
        """Share of the cells that are left alone at rest."""
        return float((self.slack >= 0).all(0).mean())

    def tables(self) -> dict[str, Numbers]:
        """What the loop reads, by name."""
        return {
            "POWER": self.short,
            "FAR": self.long,
            "REST": self.rest,
            "MATRIX": self.matrix,
            "PUSH": self.push,
            "NOW": self.now,
            "ONCE": self.once,
            "SLACK": self.slack,
            "FALL": self.fall,
            "RISE": self.rise,
        }


def quiet_near(
    steps: Steps,
    point: dict[str, Tensor],
    *,
    given: str = "GIVEN",
    without: Sequence[str] = (),
    settling: bool = True,
) -> Quiet:
    """What a step of cells does without input near a state, arrays by name; the rest is zero.

    given: the array of what they give out. without: arrays that hold nothing all the while.
    settling: whether states that a step takes to their rest at once stand there to begin with.
    Raises NotAffine where that is no linear map that comes to an end, or where cells fire.
    """
    state = [name for name in dict.fromkeys(steps.read) if name in point]
    near = [point.get(name, torch.zeros(1)) for name in steps.read]
    step = affine_near(steps.traced, near, [name in without for name in steps.read])
    if not _silent(step.outputs[steps.write.index(given)]):
        raise NotAffine("cells that give out something at rest")
    inputs = [name for name in dict.fromkeys(steps.read) if name not in point]
    own, others = ([steps.read.index(name) for name in names] for names in (state, inputs))
    rows = [step.outputs[steps.write.index(name)] for name in state]
    matrix = np.array([row.slope[own] for row in rows])
    rest = _fixed_point(matrix, _side_by_side([row.offset for row in rows]))
    settled = tuple(int(s) for s in np.flatnonzero(~matrix.any(1) & settling))
    binding = _that_may_break(_binding(step.conditions, own, rest), [own[s] for s in settled])
    slopes = np.array([slope for slope, _ in binding]).reshape(-1, len(steps.read))
    powers = _powers(matrix)
    fall, rise = _worst(slopes[:, own], matrix, powers)
    moving = _moving(matrix, powers, settled)
    pairs = tuple(np.array(moving, dtype=np.int64).reshape(-1, 2).T)
    return Quiet(
        names=tuple(state),
        rest=rest,
        moving=moving,
        short=powers[:SHORT, pairs[0], pairs[1]],
        long=_far_powers(matrix, powers)[:, pairs[0], pairs[1]],
        settled=settled,
        inputs=tuple(inputs),
        matrix=matrix,
        push=np.array([row.slope[others] for row in rows]),
        slack=_side_by_side([torch.from_numpy(margin) for _, margin in binding]),
        now=slopes[:, own],
        once=slopes[:, others],
        fall=fall,
        rise=rise,
    )


def _moving(
    matrix: Numbers, powers: Numbers, settled: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Which states depend on which after some steps, or none, but for those that stand still."""
    depends = np.abs(powers).max(0) > 0
    depends[(matrix == np.eye(len(matrix))).all(1)] = False
    depends[list(settled)] = False
    return tuple((int(s), int(c)) for s, c in np.argwhere(depends))


def _silent(given: Affine) -> bool:
    """Whether cells give out nothing."""
    return given.constant and not bool(given.offset.any())


def _side_by_side(values: Sequence[Tensor]) -> Numbers:
    """[S, 1], or [S, N] where one of them differs between cells."""
    rows = [value.double().numpy().reshape(-1) for value in values]
    return np.stack(np.broadcast_arrays(*rows)) if rows else np.zeros((0, 1))


def _fixed_point(matrix: Numbers, offset: Numbers) -> Numbers:
    """A state [S, 1] or [S, N] that the map leaves as it is."""
    away = np.eye(len(matrix)) - matrix
    try:
        found = np.linalg.solve(away, offset)  # a state without an offset rests at 0 exactly
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(away, offset, rcond=1e-14)[0]
    rest = np.asarray(found, dtype=np.float64)
    settled = ~matrix.any(1)
    rest[settled] = offset[settled]  # what a step takes there stands there to the bit
    if not np.allclose(away @ rest, offset, rtol=1e-9, atol=1e-12):
        raise NotAffine("a state that drifts without end")
    return rest


def _that_may_break(
    binding: Iterator[tuple[Numbers, Numbers]], at_rest: list[int]
) -> list[tuple[Numbers, Numbers]]:
    """All but what hangs on settled states alone, which holds as long as they are at rest."""
    return [
        (slope, margin)
        for slope, margin in binding
        if np.delete(slope, at_rest).any() or (margin < 0).any()
    ]


def _binding(
    conditions: Sequence[Condition], own: list[int], rest: Numbers
) -> Iterator[tuple[Numbers, Numbers]]:
    """Slope by all that is read and what may be lost [1] or [N] of the margin at rest, each once.

    Of parallel conditions the tightest stands for all, cell by cell.
    """
    tightest: dict[tuple[float, ...], tuple[Numbers, Numbers]] = {}
    others = np.zeros(1)
    for condition in conditions:
        slope = condition.margin.slope
        margin = slope[own] @ rest + condition.margin.offset.double().numpy()
        size = np.abs(slope).max()
        if not size:  # it tells which cells the map is not that of
            others = np.minimum(others, margin)
            continue
        slope, slack = slope / size, _slack(margin / size, strict=condition.strict)
        key = tuple(slope.round(12))
        slope, before = tightest.get(key, (slope, slack))
        tightest[key] = slope, np.minimum(before, slack)
    yield from tightest.values()
    if others.any():
        yield np.zeros_like(conditions[0].margin.slope), others


def _slack(margin: Numbers, *, strict: bool) -> Numbers:
    """What may be lost of a margin [1] or [N]: all but a share of it, or of that of most cells."""
    size = np.abs(np.atleast_1d(margin))
    finite = np.isfinite(size)
    usual = np.median(size[finite]) if finite.any() else 0.0
    least = SAFETY * np.where(finite, np.maximum(size, usual), 0.0)
    left = margin - np.where(least > 0, least, SMALLEST if strict else 0.0)
    return np.clip(left, -LARGEST, LARGEST)


def _powers(matrix: Numbers) -> Numbers:
    """[SHORT + 1, S, S] powers 0 to SHORT."""
    powers = [np.eye(len(matrix))]
    for _ in range(SHORT):
        powers.append(powers[-1] @ matrix)
    return np.stack(powers)


def _far_powers(matrix: Numbers, powers: Numbers) -> Numbers:
    """[J, S, S] powers of SHORT, until they no longer change."""
    far = [powers[0]]
    for _ in range(LONGEST):
        far.append(far[-1] @ powers[SHORT])
        if np.abs(far[-1] - far[-2]).max() < 1e-16:
            return np.stack(far)
    raise NotAffine("a state that does not come to an end")


def _worst(slopes: Numbers, matrix: Numbers, powers: Numbers) -> tuple[Numbers, Numbers]:
    """How far [C, S] a unit of each state above, or below, rest takes a margin down, ever."""
    slopes = slopes.reshape(-1, len(matrix))
    fall, rise = np.zeros((2, *slopes.shape))
    for far in _far_powers(matrix, powers):
        ahead = np.einsum("cs,sa,kab->kcb", slopes, far, powers[:SHORT], optimize=True)
        fall, rise = np.maximum(fall, (-ahead).max(0)), np.maximum(rise, ahead.max(0))
    return fall, rise
