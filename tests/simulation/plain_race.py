"""The definitions of a race, written down as plainly as they can be: a queue of arrivals.

What the compiled loop must give, by other means: a heap of single signals in order of time, no
ring, no merging, and every sum formed anew from the arrivals that it is a sum of.
"""

import heapq
import math
from dataclasses import dataclass

import numpy as np

from amphid.dynamics import ExponentialTrace, StepTrace, Winner


@dataclass
class Cell:
    """One cell: when it is ready, when it fired, and what it has heard since."""

    period: int
    ready: int = 0
    fired: int | None = None
    heard: list = None  # (tick, weight)


def latencies(network, dt):
    return np.maximum(np.rint(network.latency / dt), 1).astype(int)


def left(trace, age, dt):
    """D(age), by its definition."""
    if isinstance(trace, StepTrace):
        return float(age < round(float(trace.duration) / dt)) if trace.duration < math.inf else 1.0
    if isinstance(trace, ExponentialTrace):
        return math.exp(-age * dt / trace.tau)
    return (1 + age * dt / trace.scale) ** -trace.order


def wants(receiver, cell, now, net, dt):
    """Whether the cell fires on what arrives."""
    if net <= 0:
        return False
    if isinstance(receiver, Winner):
        return True
    limit = float(receiver.threshold)
    if receiver.relative is not None and cell.fired is not None:
        age = (now - cell.fired - cell.period) * dt
        limit *= 1 + receiver.relative.raised * math.exp(-age / receiver.relative.tau)
    total = sum(w * left(receiver.trace, now - then, dt) for then, w in cell.heard)
    return total >= limit - 1e-9


def plain_race(network, events, ticks, dt):
    """Spikes (tick, cell), sorted, of events (tick, cell, weight)."""
    lag, edges = latencies(network, dt), network.edges
    wires = network.connectome.connections
    sends = [[] for _ in range(len(network))]
    weights = network._weights()
    for number, edge in enumerate(edges):
        sends[wires.pre[edge]].append((wires.post[edge], lag[number], float(weights[number])))
    period = network.receiver.reception(len(network), dt).period.tolist()
    cells = [Cell(p, heard=[]) for p in period]
    queue, spikes = [(tick, cell, weight) for tick, cell, weight in events], []
    heapq.heapify(queue)
    while queue and queue[0][0] < ticks:
        now, arriving = queue[0][0], {}
        while queue and queue[0][0] == now:
            _, which, weight = heapq.heappop(queue)
            if cells[which].ready <= now:
                arriving.setdefault(which, []).append(weight)
        for which, heard in sorted(arriving.items()):
            cell, net = cells[which], sum(heard)
            cell.heard += [(now, weight) for weight in heard]
            if wants(network.receiver, cell, now, net, dt):
                cell.ready, cell.fired, cell.heard = now + cell.period, now, []
                spikes.append((now, which))
                for post, delay, weight in sends[which]:
                    heapq.heappush(queue, (now + delay, post, weight))
            elif isinstance(network.receiver, Winner) and net < 0:
                cell.ready = now + cell.period
    return sorted(spikes)
