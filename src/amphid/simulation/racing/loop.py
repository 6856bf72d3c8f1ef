"""The loop over ticks of a race. Its text, from the constants on, is compiled to machine code.

Signals under way lie in a ring of slots, one for each tick to come; a slot is a chain of chunks of
one pool. A tick takes its slot, adds what reaches each cell that is not refractory, then lets the
cells that were reached decide, then sends off what they send. The order of signals in a slot is of
no account. Every function takes the arrays of a `Workspace` that it needs, by the same names.
"""

from typing import Any

import numpy as np

from amphid.kernels.elementary import exp_f8

CHUNK = 128  # signals
FAR = 1073741824  # a tick after all others
DONE = 0
MORE_SIGNALS = 1
MORE_SPIKES = 2

# what the clock tells
TICK = 0
END = 1
NEXT = 2  # event from outside
LAST = 3
FLYING = 4  # signals under way
FREE = 5  # first chunk of those that are
SPARE = 6  # chunks
WRITTEN = 7  # spikes
WAITING = 8  # whether cells have been reached in this tick, but have not decided
REACHED = 9  # cells
ARRIVED = 10  # signals in all
LOST = 11
SILENCED = 12  # whether inhibition makes cells refractory
TRIAL = 13
BEGUN = 14  # whether the trial has

# rows of `marks`: when each cell is ready again, fired, had its sums, was reached; who was reached
READY = 0
FIRED = 1
SEEN = 2
STAMP = 3
TOUCHED = 4
# rows of `spans` and of `levels`: see `Reception`
PERIOD = 0
MEMORY = 1
THRESHOLD = 0
RAISED = 1
RECOVERY = 2


def race_many(
    clock: Any, start: Any, lag: Any, onto: Any, spans: Any, levels: Any, share: Any, rate: Any,
    marks: Any, sums: Any, arriving: Any, head: Any, end: Any, following: Any, signals: Any,
    starts: Any, tick: Any, struck: Any, force: Any, blocked: Any,
    firsts: Any, counts: Any, spike_tick: Any, spike_cell: Any,
) -> Any:  # fmt: skip
    """Trials one after another, from the one at hand, until there is not room enough for one."""
    while clock[TRIAL] < len(firsts):
        trial = clock[TRIAL]
        if clock[BEGUN] == 0:
            begin(clock, marks, sums, head, end, following, firsts[trial], counts[trial])
            if len(blocked) > 0:
                for cell in range(len(arriving)):
                    marks[READY, cell] = blocked[trial, cell]
            clock[NEXT] = starts[trial]
            clock[LAST] = starts[trial + 1]
            clock[BEGUN] = 1
        status = race_on(
            clock, start, lag, onto, spans, levels, share, rate, marks, sums, arriving, head, end,
            following, signals, tick, struck, force, firsts[trial], counts[trial], spike_tick,
            spike_cell,
        )  # fmt: skip
        if status != DONE:
            return status
        clock[BEGUN] = 0
        clock[TRIAL] += 1
    return DONE


def begin(
    clock: Any, marks: Any, sums: Any, head: Any, end: Any, following: Any, first: Any, count: Any
) -> None:
    """Everything at rest and nothing under way, at tick 0."""
    for cell in range(len(first)):
        marks[READY, cell] = 0
        marks[FIRED, cell] = -FAR
        marks[SEEN, cell] = 0
        marks[STAMP, cell] = -1
        first[cell] = -1
        count[cell] = 0
        for mode in range(sums.shape[1]):
            sums[cell, mode] = 0.0
    if clock[FLYING] > 0:
        for slot in range(len(head)):
            if head[slot] >= 0:
                give_back(slot, clock, head, end, following)
    clock[TICK] = 0
    clock[FLYING] = 0
    clock[WRITTEN] = 0
    clock[WAITING] = 0
    clock[REACHED] = 0


def give_back(slot: Any, clock: Any, head: Any, end: Any, following: Any) -> None:
    """Empty a slot that holds something: its chunks are free."""
    last = (end[slot] - 1) // CHUNK
    chunk = head[slot]
    clock[SPARE] += 1
    while chunk != last:
        clock[SPARE] += 1
        chunk = following[chunk]
    following[last] = clock[FREE]
    clock[FREE] = head[slot]
    head[slot] = -1
    end[slot] = 0


def race_on(
    clock: Any, start: Any, lag: Any, onto: Any, spans: Any, levels: Any, share: Any, rate: Any,
    marks: Any, sums: Any, arriving: Any, head: Any, end: Any, following: Any, signals: Any,
    tick: Any, struck: Any, force: Any, first: Any, count: Any, spike_tick: Any, spike_cell: Any,
) -> Any:  # fmt: skip
    """Go on with a trial until its end, or until there is not room enough; which of these."""
    while clock[TICK] < clock[END]:
        if clock[FLYING] + clock[WAITING] == 0:
            clock[TICK] = upcoming(clock, tick)
            if clock[TICK] == clock[END]:
                return DONE
        if clock[WAITING] == 0:
            slot = clock[TICK] % len(head)
            if head[slot] >= 0:
                arrive(slot, clock, spans, marks, sums, arriving, head, end, following, signals)
                give_back(slot, clock, head, end, following)
            strike(clock, marks, arriving, tick, struck, force)
            clock[WAITING] = 1
        status = room(clock, start, marks, head, spike_tick)
        if status != DONE:
            return status
        for number in range(clock[REACHED]):
            cell = marks[TOUCHED, number]
            fires = decide(
                cell, clock, spans, levels, share, rate, marks, sums, arriving, head, end,
                following, signals,
            )  # fmt: skip
            if fires:
                fire(cell, clock, start, lag, onto, head, end, following, signals)
                write(cell, clock, first, count, spike_tick, spike_cell)
        clock[WAITING] = 0
        clock[REACHED] = 0
        clock[TICK] += 1
    return DONE


def upcoming(clock: Any, tick: Any) -> Any:
    """The tick of the next event from outside, or the end."""
    found = clock[END]
    if clock[NEXT] < clock[LAST]:
        found = min(found, tick[clock[NEXT]])
    return clock[TICK] if found < clock[TICK] else found


def arrive(
    slot: Any, clock: Any, spans: Any, marks: Any, sums: Any, arriving: Any, head: Any, end: Any,
    following: Any, signals: Any,
) -> None:  # fmt: skip
    """Add what reaches each cell in this tick, take back what is forgotten."""
    chunk = head[slot]
    last = (end[slot] - 1) // CHUNK
    left = 1
    while left > 0:
        upper = end[slot] if chunk == last else (chunk + 1) * CHUNK
        for place in range(chunk * CHUNK, upper):
            cell = signals[place] >> 32
            if cell >= 0:
                reach(cell, weight_of(signals[place]), clock, marks, arriving)
            else:
                forget(~cell, weight_of(signals[place]), clock, spans, marks, sums)
        clock[FLYING] -= upper - chunk * CHUNK
        left = 0 if chunk == last else 1
        chunk = following[chunk]


def reach(cell: Any, weight: Any, clock: Any, marks: Any, arriving: Any) -> None:
    """Add a signal to what arrives at a cell; at one that is refractory it is lost."""
    now = clock[TICK]
    clock[ARRIVED] += 1
    if marks[READY, cell] > now:
        clock[LOST] += 1
    else:
        if marks[STAMP, cell] != now:
            marks[STAMP, cell] = now
            arriving[cell] = 0.0
            marks[TOUCHED, clock[REACHED]] = cell
            clock[REACHED] += 1
        arriving[cell] += weight


def forget(cell: Any, weight: Any, clock: Any, spans: Any, marks: Any, sums: Any) -> None:
    """Take back what arrived a memory ago, unless the cell has fired since."""
    if clock[TICK] - spans[MEMORY, cell] > marks[FIRED, cell]:
        sums[cell, 0] -= weight


def strike(clock: Any, marks: Any, arriving: Any, tick: Any, struck: Any, force: Any) -> None:
    """Add the events of this tick from outside."""
    stop = clock[NEXT]
    while (stop < clock[LAST]) & (tick[stop] <= clock[TICK]):  # there is one behind the last
        reach(struck[stop], np.float64(force[stop]), clock, marks, arriving)
        clock[ARRIVED] -= 1
        stop += 1
    clock[NEXT] = stop


def room(clock: Any, start: Any, marks: Any, head: Any, spike_tick: Any) -> Any:
    """Whether there is room enough if all cells that were reached fire."""
    if (len(spike_tick) > 0) & (clock[WRITTEN] + clock[REACHED] > len(spike_tick)):
        return MORE_SPIKES
    total = clock[REACHED]
    for number in range(clock[REACHED]):
        cell = marks[TOUCHED, number]
        total += start[cell + 1] - start[cell]
    if total // CHUNK + min(total, len(head)) > clock[SPARE]:
        return MORE_SIGNALS
    return DONE


def decide(
    cell: Any, clock: Any, spans: Any, levels: Any, share: Any, rate: Any, marks: Any, sums: Any,
    arriving: Any, head: Any, end: Any, following: Any, signals: Any,
) -> Any:  # fmt: skip
    """Whether a cell that was reached fires; else it falls silent or keeps what arrived."""
    now = clock[TICK]
    net = arriving[cell]
    if spans[MEMORY, cell] > 0:
        net = np.float64(np.float32(net))  # as it will be taken back
    total = net
    if len(share) > 0:
        total = gathered(cell, net, now - marks[SEEN, cell], share, rate, sums)
        marks[SEEN, cell] = now
    fires = (net > 0.0) & (total >= limit(cell, now, spans, levels, marks))
    if fires:
        marks[FIRED, cell] = now
        for mode in range(len(share)):
            sums[cell, mode] = 0.0
    elif spans[MEMORY, cell] > 0:
        send(now + spans[MEMORY, cell], signal_of(~cell, net), clock, head, end, following, signals)
    if fires | ((clock[SILENCED] > 0) & (net < 0.0)):
        marks[READY, cell] = now + spans[PERIOD, cell]
    return fires


def limit(cell: Any, now: Any, spans: Any, levels: Any, marks: Any) -> Any:
    """The threshold, raised after a spike."""
    if levels[RAISED, cell] > 0.0:
        age = np.float64(now - marks[FIRED, cell] - spans[PERIOD, cell])
        raised = 1.0 + levels[RAISED, cell] * vanishing(age * levels[RECOVERY, cell])
        return levels[THRESHOLD, cell] * raised
    return levels[THRESHOLD, cell]


def gathered(cell: Any, net: Any, age: Any, share: Any, rate: Any, sums: Any) -> Any:
    """What is left of all that arrived, and of what arrives now."""
    total = 0.0
    for mode in range(len(share)):
        left = sums[cell, mode]
        if rate[cell, mode] > 0.0:
            left *= vanishing(age * rate[cell, mode])
        left += share[mode] * net
        sums[cell, mode] = left
        total += left
    return total


def vanishing(age: Any) -> Any:
    """e to the minus age, and nothing after 40: so that what is past comes to an end."""
    return exp_f8(-age) if age < 40.0 else 0.0


def write(cell: Any, clock: Any, first: Any, count: Any, spike_tick: Any, spike_cell: Any) -> None:
    """Write a spike down."""
    if first[cell] < 0:
        first[cell] = clock[TICK]
    count[cell] += 1
    if len(spike_tick) > 0:
        spike_tick[clock[WRITTEN]] = clock[TICK]
        spike_cell[clock[WRITTEN]] = cell
        clock[WRITTEN] += 1


def fire(
    cell: Any, clock: Any, start: Any, lag: Any, onto: Any, head: Any, end: Any, following: Any,
    signals: Any,
) -> None:  # fmt: skip
    """Send the signals of a cell off."""
    here = clock[TICK] % len(head)
    for edge in range(start[cell], start[cell + 1]):
        slot = here + lag[edge]
        slot = slot - len(head) if slot >= len(head) else slot
        place = end[slot]
        if place % CHUNK == 0:
            place = longer(slot, clock, head, end, following)
        signals[place] = onto[edge]
        end[slot] = place + 1
    clock[FLYING] += start[cell + 1] - start[cell]


def send(
    when: Any, signal: Any, clock: Any, head: Any, end: Any, following: Any, signals: Any
) -> None:
    """Put one signal under way."""
    slot = when % len(head)
    place = end[slot]
    if place % CHUNK == 0:
        place = longer(slot, clock, head, end, following)
    signals[place] = signal
    end[slot] = place + 1
    clock[FLYING] += 1


def longer(slot: Any, clock: Any, head: Any, end: Any, following: Any) -> Any:
    """Hang another chunk onto the chain of a slot; where it begins."""
    chunk = clock[FREE]
    clock[FREE] = following[chunk]
    clock[SPARE] -= 1
    if head[slot] < 0:
        head[slot] = chunk
    else:
        following[(end[slot] - 1) // CHUNK] = chunk
    return chunk * CHUNK


def under_way(
    clock: Any, spans: Any, marks: Any, head: Any, end: Any, following: Any, signals: Any,
    ticks: Any, flying: Any,
) -> Any:  # fmt: skip
    """List what is under way after a run: ticks to go and signal; how many these are."""
    count = 0
    for ahead in range(len(head)):
        slot = (clock[TICK] + ahead) % len(head)
        chunk = head[slot]
        last = (end[slot] - 1) // CHUNK
        while chunk >= 0:
            for place in range(chunk * CHUNK, end[slot] if chunk == last else (chunk + 1) * CHUNK):
                signal = signals[place] >> 32
                cell = ~signal if signal < 0 else signal
                accepted = clock[TICK] + ahead - spans[MEMORY, cell]
                if (signal < 0) & (accepted <= marks[FIRED, cell]):
                    continue
                ticks[count] = ahead
                flying[count] = signals[place]
                count += 1
            chunk = -1 if chunk == last else following[chunk]
    return count


def load(
    clock: Any, head: Any, end: Any, following: Any, signals: Any, ticks: Any, flying: Any
) -> None:
    """Put signals under way that were so in another run."""
    for number in range(len(ticks)):
        send(ticks[number], flying[number], clock, head, end, following, signals)


def signal_of(cell: Any, weight: Any) -> Any:
    """Receiver and weight in one number; the receiver inverted where something is taken back."""
    return (np.int64(cell) << 32) | np.int64(np.float32(weight).view(np.uint32))


def weight_of(signal: Any) -> Any:
    """The weight of a signal."""
    return np.float64(np.uint32(signal & 0xFFFFFFFF).view(np.float32))
