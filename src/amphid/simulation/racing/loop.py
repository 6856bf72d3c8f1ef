"""The loop over ticks of a race. Its text, from the imports on, is compiled to machine code.

Signals under way lie in a ring of slots, one for each tick to come; a slot is a chain of chunks of
one pool. A tick takes its slot, adds what reaches each cell that is not refractory, then lets the
cells that were reached decide, then sends off what they send. The order of signals in a slot is of
no account.
"""

import math
from typing import Any

import numpy as np

CHUNK = 128  # signals
AWAY = -(1 << 30)  # a tick before all others
FAR = 1 << 30
TICK, END, NEXT, LAST, FLYING, FREE, SPARE, WRITTEN, WAITING, REACHED, ARRIVED, LOST = range(12)
DONE, MORE_SIGNALS, MORE_SPIKES = range(3)


def race_on(wires: Any, law: Any, cells: Any, ring: Any, events: Any, out: Any, clock: Any) -> int:
    """Go on with a trial until its end, or until there is not room enough; which of these."""
    while clock[TICK] < clock[END]:
        if clock[WAITING] == 0:
            if clock[FLYING] == 0:
                upcoming = clock[END]
                if clock[NEXT] < clock[LAST]:
                    upcoming = min(events[0][clock[NEXT]], upcoming)
                clock[TICK] = max(upcoming, clock[TICK])
                if upcoming >= clock[END]:
                    break
            arrive(law, cells, ring, clock)
            strike(events, cells, clock)
            clock[WAITING] = 1
        status = room(wires, cells, ring, out, clock)
        if status != DONE:
            return status
        decide(wires, law, cells, ring, out, clock)
        clock[WAITING] = clock[REACHED] = 0
        clock[TICK] += 1
    return DONE


def arrive(law: Any, cells: Any, ring: Any, clock: Any) -> None:
    """Empty the slot of this tick: add what reaches each cell, take back what is forgotten."""
    memory = law[2]
    ready, fired, sums, _, arriving, stamp, touched = cells
    head, end, following, signals = ring
    now = clock[TICK]
    slot = now % len(head)
    chunk = head[slot]
    if chunk < 0:
        return
    stop = end[slot]
    last = (stop - 1) // CHUNK
    reached, lost, arrived = clock[REACHED], 0, 0
    while True:
        upper = stop if chunk == last else (chunk + 1) * CHUNK
        for place in range(chunk * CHUNK, upper):
            cell = signals[place] >> 32
            if cell < 0:
                if now - memory[~cell] > fired[~cell]:
                    sums[~cell, 0] -= weight_of(signals[place])
                continue
            arrived += 1
            if ready[cell] > now:
                lost += 1
                continue
            if stamp[cell] != now:
                stamp[cell] = now
                arriving[cell] = 0.0
                touched[reached] = cell
                reached += 1
            arriving[cell] += weight_of(signals[place])
        clock[FLYING] -= upper - chunk * CHUNK
        after = following[chunk]
        following[chunk] = clock[FREE]
        clock[FREE] = chunk
        clock[SPARE] += 1
        if chunk == last:
            break
        chunk = after
    head[slot] = -1
    end[slot] = 0
    clock[REACHED] = reached
    clock[ARRIVED] += arrived
    clock[LOST] += lost


def strike(events: Any, cells: Any, clock: Any) -> None:
    """Add the events of this tick from outside."""
    ready, _, _, _, arriving, stamp, touched = cells
    tick, struck, weight = events
    now = clock[TICK]
    while clock[NEXT] < clock[LAST] and tick[clock[NEXT]] <= now:
        cell, here = struck[clock[NEXT]], weight[clock[NEXT]]
        clock[NEXT] += 1
        if ready[cell] > now:
            continue
        if stamp[cell] != now:
            stamp[cell] = now
            arriving[cell] = 0.0
            touched[clock[REACHED]] = cell
            clock[REACHED] += 1
        arriving[cell] += here


def room(wires: Any, cells: Any, ring: Any, out: Any, clock: Any) -> int:
    """Whether there is room enough if all cells that were reached fire."""
    start, touched = wires[0], cells[6]
    reached = clock[REACHED]
    if len(out[2]) and clock[WRITTEN] + reached > len(out[2]):
        return MORE_SPIKES
    signals = reached
    for number in range(reached):
        signals += start[touched[number] + 1] - start[touched[number]]
    if signals // CHUNK + min(signals, len(ring[0])) > clock[SPARE]:
        return MORE_SIGNALS
    return DONE


def decide(wires: Any, law: Any, cells: Any, ring: Any, out: Any, clock: Any) -> None:
    """Let the cells that were reached fire, fall silent or keep what arrived."""
    period, threshold, memory, share, rate, raised, recovery, silenced = law
    ready, fired, sums, seen, arriving, _, touched = cells
    now = clock[TICK]
    for number in range(clock[REACHED]):
        cell = touched[number]
        net = arriving[cell]
        if memory[cell] > 0:
            net = np.float64(np.float32(net))  # as it will be taken back
        total = net
        if len(share):
            total = gathered(cell, net, now - seen[cell], share, rate, sums)
            seen[cell] = now
        limit = threshold[cell]
        if raised[cell] > 0.0:
            age = (now - fired[cell] - period[cell]) * recovery[cell]
            limit *= 1.0 + raised[cell] * vanishing(age)
        if net > 0.0 and total >= limit:
            fire(cell, wires, ring, out, clock)
            ready[cell] = now + min(period[cell], FAR)
            fired[cell] = now
            sums[cell, :] = 0.0
        elif silenced and net < 0.0:
            ready[cell] = now + min(period[cell], FAR)
        elif memory[cell] > 0:
            send(now + memory[cell], signal_of(~cell, net), ring, clock)


def gathered(cell: int, net: float, age: int, share: Any, rate: Any, sums: Any) -> float:
    """What is left of all that arrived, and of what arrives now."""
    total = 0.0
    for mode in range(len(share)):
        left = sums[cell, mode]
        if rate[cell, mode] > 0.0 and left != 0.0:
            left *= vanishing(age * rate[cell, mode])
        left += share[mode] * net
        sums[cell, mode] = left
        total += left
    return total


def vanishing(age: float) -> float:
    """e to the minus age, and nothing after 40: so that what is past comes to an end."""
    return math.exp(-age) if age < 40.0 else 0.0


def fire(cell: int, wires: Any, ring: Any, out: Any, clock: Any) -> None:
    """Write a spike down and send its signals off."""
    start, lag, onto = wires
    first, count, spike_tick, spike_cell = out
    head, end, following, signals = ring
    now = clock[TICK]
    if first[cell] < 0:
        first[cell] = now
    count[cell] += 1
    if len(spike_tick):
        spike_tick[clock[WRITTEN]] = now
        spike_cell[clock[WRITTEN]] = cell
        clock[WRITTEN] += 1
    begin, here = start[cell], now % len(head)
    for edge in range(begin, start[cell + 1]):
        slot = here + lag[edge]
        if slot >= len(head):
            slot -= len(head)
        place = end[slot]
        if place % CHUNK == 0:
            place = longer(slot, head, end, following, clock)
        signals[place] = onto[edge]
        end[slot] = place + 1
    clock[FLYING] += start[cell + 1] - begin


def send(tick: int, signal: int, ring: Any, clock: Any) -> None:
    """Put one signal under way."""
    head, end, following, signals = ring
    slot = tick % len(head)
    place = end[slot]
    if place % CHUNK == 0:
        place = longer(slot, head, end, following, clock)
    signals[place] = signal
    end[slot] = place + 1
    clock[FLYING] += 1


def longer(slot: int, head: Any, end: Any, following: Any, clock: Any) -> int:
    """Hang another chunk onto the chain of a slot; where it begins."""
    chunk = clock[FREE]
    clock[FREE] = following[chunk]
    clock[SPARE] -= 1
    if head[slot] < 0:
        head[slot] = chunk
    else:
        following[(end[slot] - 1) // CHUNK] = chunk
    return int(chunk * CHUNK)


def begin(clock: Any, cells: Any, ring: Any, out: Any) -> None:
    """Everything at rest and nothing under way, at tick 0."""
    ready, fired, sums, seen, _, stamp, _ = cells
    ready[:] = 0
    fired[:] = AWAY
    sums[:] = 0.0
    seen[:] = 0
    stamp[:] = -1
    out[0][:] = -1
    out[1][:] = 0
    if clock[FLYING] > 0:
        sweep(ring, clock)
    for place in (TICK, FLYING, WRITTEN, WAITING, REACHED, ARRIVED, LOST):
        clock[place] = 0


def sweep(ring: Any, clock: Any) -> None:
    """Give all chunks of the ring back."""
    head, end, following, _ = ring
    for slot in range(len(head)):
        chunk = head[slot]
        while chunk >= 0:
            after = -1 if chunk == (end[slot] - 1) // CHUNK else following[chunk]
            following[chunk] = clock[FREE]
            clock[FREE] = chunk
            clock[SPARE] += 1
            chunk = after
        head[slot] = -1
        end[slot] = 0


def race_many(
    wires: Any, law: Any, cells: Any, ring: Any, events: Any, starts: Any, blocked: Any,
    firsts: Any, counts: Any, spent: Any, out: Any, clock: Any,
) -> int:  # fmt: skip
    """All trials of a batch one after another, from the one at hand; only when cells first fire.

    spent: the trial at hand, whether it has begun, and signals that arrived and were lost in all.
    """
    while spent[0] < len(firsts):
        trial = spent[0]
        here = (firsts[trial], counts[trial], out[2], out[3])
        if spent[1] == 0:
            begin(clock, cells, ring, here)
            if len(blocked):
                cells[0][:] = blocked[trial]
            clock[NEXT], clock[LAST] = starts[trial], starts[trial + 1]
            spent[1] = 1
        status = race_on(wires, law, cells, ring, events, here, clock)
        if status != DONE:
            return status
        spent[2] += clock[ARRIVED]
        spent[3] += clock[LOST]
        spent[1] = 0
        spent[0] += 1
    return DONE


def under_way(now: int, ring: Any, cells: Any, memory: Any, found: Any) -> int:
    """List what is under way after a run: ticks to go and signal; how many these are."""
    head, end, following, signals = ring
    fired = cells[1]
    ticks, flying = found
    count = 0
    for ahead in range(len(head)):
        slot = (now + ahead) % len(head)
        chunk = head[slot]
        while chunk >= 0:
            last = chunk == (end[slot] - 1) // CHUNK
            for place in range(chunk * CHUNK, end[slot] if last else (chunk + 1) * CHUNK):
                one = signals[place] >> 32
                if one < 0 and now + ahead - memory[~one] <= fired[~one]:
                    continue
                ticks[count] = ahead
                flying[count] = signals[place]
                count += 1
            chunk = -1 if last else following[chunk]
    return count


def load(ticks: Any, signals: Any, ring: Any, clock: Any) -> None:
    """Put signals under way that were so in another run."""
    for number in range(len(ticks)):
        send(ticks[number], signals[number], ring, clock)


def signal_of(cell: int, weight: float) -> Any:
    """Receiver and weight in one number; the receiver inverted where something is taken back."""
    return np.int64(cell) << 32 | np.int64(np.float32(weight).view(np.uint32))


def weight_of(signal: int) -> float:
    """The weight of a signal."""
    return np.float64(np.uint32(signal & 0xFFFFFFFF).view(np.float32))
