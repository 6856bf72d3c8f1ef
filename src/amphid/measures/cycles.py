"""The cycle that a deterministic run of finitely many states must end in, found exactly.

Where what is seen of a run begins to repeat itself, the state is asked whether it does: two equal
states go on alike, so the answer does not rest on what is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S")
Array = NDArray[np.int64]
Codes = NDArray[np.uint64]
MULTIPLES = 256  # of the period of what is seen that are tried for the whole state
MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of the generator splitmix64
STEP = 0x9E3779B97F4A7C15


@dataclass(frozen=True, eq=False)
class Stretch(Generic[S]):
    """What happens in some ticks.

    tick, cell: [K] of each spike, ticks from 0, in their order. state: where it ends. codes:
    [ticks] numbers for what is seen in each, such as `spike_codes`: where states repeat, so do
    they.
    """

    tick: Array
    cell: Array
    state: S
    codes: Codes


class Course(Protocol[S]):
    """A run that can be taken up at any state, and whose states can be compared."""

    def run(self, state: S, ticks: int) -> Stretch[S]:
        """What happens in so many ticks from there."""
        ...

    def key(self, state: S) -> bytes:
        """A digest of all that the next tick depends on."""
        ...

    def ended(self, state: S) -> bool:
        """Whether it is known that no cell will fire any more."""
        ...


@dataclass(frozen=True, eq=False)
class Cycle(Generic[S]):
    """What a run repeats for ever.

    start: ticks until the state is one that comes again. period: ticks until it does, the least.
    tick, cell: [K] the spikes of one period, counted from some state of the cycle. state: that one.
    """

    start: int
    period: int
    tick: Array
    cell: Array
    state: S


def cycle(course: Course[S], state: S, longest: int) -> Cycle[S] | None:
    """The cycle that a run from there ends in; None where none shows within so many ticks.

    The second half of what was followed must look the same at least twice; the state is then asked
    after one of these periods, and after up to 256 of them where they last. A run that has ended is
    a cycle of period 0 that starts with the tick after which no signal is under way.
    """
    states, codes, period, tries = {0: state}, np.zeros(0, np.uint64), 0, 0
    while (now := len(codes)) < longest and not course.ended(state):
        done = course.run(state, min(max(now, 64), longest - now))
        codes, state = np.concatenate([codes, done.codes]), done.state
        states[len(codes)] = state
        before, period = period, least_period(codes[len(codes) // 2 :])
        tries = tries + 1 if period == before else 0
        if period and not course.ended(state):
            found = _proven(course, state, period, min(now // period + 1, 4**tries, MULTIPLES))
            if found:
                return Cycle(_first(course, states, partial(_repeats, course, found[0])), *found)
    if not course.ended(state):
        return None
    none = np.zeros(0, np.int64)
    return Cycle(_first(course, states, course.ended), 0, none, none, state)


def spike_codes(tick: Array, cell: Array, ticks: int) -> Codes:
    """A number [ticks] for the set of cells that fire in each tick; 0 for none."""
    total = np.zeros(ticks, np.uint64)
    np.add.at(total, tick, scattered(cell))
    return total


def scattered(number: Array) -> Codes:
    """Numbers all over 64 bits for small ones, by the generator splitmix64."""
    code = (number.astype(np.uint64) + np.uint64(1)) * np.uint64(STEP)
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        code = (code ^ (code >> np.uint64(shift))) * np.uint64(multiplier)
    return code ^ (code >> np.uint64(31))


def least_period(codes: Codes) -> int:
    """The least number of steps by which the sequence repeats itself at least twice; 0 for none.

    By the longest border of each prefix (Knuth, Morris & Pratt 1977, doi 10.1137/0206024).
    """
    sequence, border, borders = codes.tolist(), 0, [0]
    for code in sequence[1:]:
        while border and sequence[border] != code:
            border = borders[border - 1]
        border += sequence[border] == code
        borders.append(border)
    period = len(sequence) - border
    return period if 2 * period <= len(sequence) else 0


def _proven(
    course: Course[S], state: S, period: int, most: int
) -> tuple[int, Array, Array, S] | None:
    """The least period of the state, if it is a multiple of that one, and the spikes within it."""
    multiple = _multiple(course, state, period, most)
    if not multiple:
        return None
    period *= multiple
    done = course.run(state, period)
    for part in (part for part in range(1, period // 2 + 1) if period % part == 0):
        alike = np.array_equal(done.codes, np.roll(done.codes, part))
        if alike and _repeats(course, part, state):
            within = done.tick < part
            return part, done.tick[within], done.cell[within], state
    return period, done.tick, done.cell, state


def _multiple(course: Course[S], state: S, period: int, most: int) -> int:
    """How many periods of what is seen the state takes to come again; 0 where no more than `most`.

    A silent cell may be reached, and hold still for a time, in a rhythm of its own.
    """
    start, here = course.key(state), state
    for multiple in range(1, most + 1):
        here = course.run(here, period).state
        if course.key(here) == start:
            return multiple
    return 0


def _repeats(course: Course[S], period: int, state: S) -> bool:
    return course.key(course.run(state, period).state) == course.key(state)


def _first(course: Course[S], states: dict[int, S], holds: Callable[[S], bool]) -> int:
    """The first tick whose state has a property that all states after it have; the last one does.

    states: some states by their tick, the first and the last among them.
    """
    ticks = sorted(states)
    late = next(k for k, tick in enumerate(ticks) if holds(states[tick]))
    if late == 0:
        return 0
    low, high = ticks[late - 1], ticks[late]
    state = states[low]
    while high - low > 1:
        ahead = (high - low) // 2
        middle = course.run(state, ahead).state
        if holds(middle):
            high = low + ahead
        else:
            low, state = low + ahead, middle
    return high
