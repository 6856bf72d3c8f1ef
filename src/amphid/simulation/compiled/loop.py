"""The source of the time loop of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amphid.simulation.compiled.edges import Rows
from amphid.simulation.compiled.inflow import Given, Poisson

# whole arrays are never assigned: compiling that takes numba longer than all the rest
# what is added to a cell is rounded as written, so that no partition of the cells changes a bit
TOOLS = '''
@inner
def given_out(values, fired):
    """Cells with a value that is not zero; a block without a bit set is passed over at once."""
    bits = values.view(BITS)
    count = 0
    for first in range(0, len(values), 128):
        block = bits[first : first + 128]
        found = BITS(0)
        for k in range(len(block)):
            found |= block[k]
        if found != 0:
            for k in range(len(block)):
                if values[first + k] != 0:
                    fired[count] = first + k
                    count += 1
    return count


@inner
def clear(values):
    for k in range(len(values)):
        values[k] = 0


@inner
def copy(values, to):
    for k in range(len(values)):
        to[k] = values[k]


@inner
def gather(cells, everywhere, here):
    for k in range(len(cells)):
        here[k] = everywhere[cells[k]]


@inner
def scatter(cells, here, everywhere):
    for k in range(len(cells)):
        everywhere[cells[k]] = here[k]


@inner
def drive(cells, current, external):
    for k in range(len(cells)):
        external[cells[k]] = 0
    for k in range(len(cells)):
        external[cells[k]] += current[k]


@exact
def junctions(v, pre, post, weight, arriving):
    for k in range(len(pre)):
        flow = weight[k] * (v[pre[k]] - v[post[k]])
        arriving[post[k]] += flow
        arriving[pre[k]] -= flow


@exact
def deliver(count, fired, values, start, place, weight, arriving):
    for k in range(count):
        value = values[fired[k]]
        for edge in range(start[fired[k]], start[fired[k] + 1]):
            arriving[place[edge]] += value * weight[edge]


@exact
def deliver_uniform(count, fired, values, start, place, weight, arriving):
    for k in range(count):
        value = values[fired[k]] * weight[0]
        for edge in range(start[fired[k]], start[fired[k] + 1]):
            arriving[place[edge]] += value


@exact
def deliver_delayed(count, fired, values, start, place, weight, ring, row):
    size = np.uint64(ring.size)
    entries = ring.reshape(ring.size)
    base = np.uint64(row * ring.shape[1])
    for k in range(count):
        value = values[fired[k]]
        for edge in range(start[fired[k]], start[fired[k] + 1]):
            entry = base + np.uint64(place[edge])
            entry = entry - size if entry >= size else entry
            entries[entry] += value * weight[edge]


@exact
def deliver_delayed_uniform(count, fired, values, start, place, weight, ring, row):
    size = np.uint64(ring.size)
    entries = ring.reshape(ring.size)
    base = np.uint64(row * ring.shape[1])
    for k in range(count):
        value = values[fired[k]] * weight[0]
        for edge in range(start[fired[k]], start[fired[k] + 1]):
            entry = base + np.uint64(place[edge])
            entry = entry - size if entry >= size else entry
            entries[entry] += value
'''


@dataclass(frozen=True)
class Group:
    """What the loop needs to know of a group of synapses.

    release: the call that lets go what cells release, or "" where that is what they give out.
    rows: its chemical connections; None for gap junctions. queued: whether what is under way is all
    that is kept of what was released.
    """

    name: str
    release: str
    rows: Rows | None
    queued: bool = False


@dataclass(frozen=True)
class Stepping:
    """What every loop over steps is written from, whatever its connections do.

    cells: the calls that step the cells. v: the name of the voltages. driven: whether currents go
    to some cells only. sources: what is added to them. events: whether to keep spikes. learning,
    samples: the lines that move weights, and that keep variables. arguments: names of the arrays.
    """

    cells: Sequence[str]
    v: str
    driven: bool
    sources: Sequence[Poisson | Given]
    events: bool
    learning: Sequence[str]
    samples: Sequence[str]
    arguments: Sequence[str]


def write_time_loop(groups: Sequence[Group], step: Stepping) -> str:
    """Source of `run(counters, steps, every, n, *arguments)`, which takes `steps` steps at most.

    counters: of steps done, spikes kept and cells that gave out something in the last step.
    """
    body = ["if counters[1] + n > len(EVENT_STEP):", "    return"] if step.events else []
    body.append("t = counters[0]")
    for group in groups:
        body += _arrivals(group, step.v)
    body += stepping(groups, step)
    return outer_loop(["counters", "steps", "every", "n", *step.arguments], body)


def outer_loop(arguments: Sequence[str], body: Sequence[str]) -> str:
    """Source of `run`, which does the same in every step."""
    lines = [f"def run({', '.join(arguments)}):", "    for k in range(steps):"]
    return "\n".join(["", "", "@outer", *lines, *(f"        {line}" for line in body), ""])


def stepping(groups: Sequence[Group], step: Stepping) -> list[str]:
    """One step of all cells under what has arrived, and what is kept of it."""
    lines = _external(step)
    for call in step.cells:
        lines += call.splitlines()
    lines += [f"clear(ARRIVING_{group.name})" for group in groups]
    lines += ["counters[2] = given_out(GIVEN, FIRED)", *step.learning]
    if step.events:
        lines += _events()
    return [*lines, *sampled(step.samples), "counters[0] = t + 1"]


def sampled(lines: Sequence[str], before: Sequence[str] = ()) -> list[str]:
    """Lines that keep variables in every so many steps, after some that make them ready."""
    if not lines:
        return []
    kept = [*before, "row = (t + 1) // every - 1", *lines]
    return ["if (t + 1) % every == 0:", *(f"    {line}" for line in kept)]


def _external(step: Stepping) -> list[str]:
    """What comes from outside in this step."""
    now = "STIMULUS[min(t, len(STIMULUS) - 1)]"  # a current that stays has one row
    if not step.sources:
        return [f"drive(DRIVEN, {now}, EXTERNAL)" if step.driven else f"EXTERNAL = {now}"]
    lines = [f"copy({now}, EXTERNAL)"]
    if step.driven:
        lines = ["clear(EXTERNAL)", f"drive(DRIVEN, {now}, EXTERNAL)"]
    return [*lines, *(line for source in step.sources for line in source.added())]


def _arrivals(group: Group, v: str) -> list[str]:
    """What a group lets go, keeps of it, and delivers in this step."""
    name = group.name
    if group.rows is None:
        wires = f"PRE_{name}, POST_{name}, WEIGHT_{name}"
        return [f"ARRIVING_{name} = RING_{name}[0]", f"junctions({v}, {wires}, ARRIVING_{name})"]
    longest = group.rows.longest
    released, fired, count = "GIVEN", "FIRED", "counters[2]"
    lines = []
    if group.release:
        released, fired, count = f"RELEASED_{name}", f"FIRED_{name}", f"count_{name}"
        lines = [group.release, f"{count} = given_out({released}, {fired})"]
    if not group.queued:
        lines += [
            f"if steps - k <= {longest}:",
            f"    copy({released}, PAST_{name}[t % {longest}])",
        ]
    lines.append(f"ARRIVING_{name} = RING_{name}[t % {longest}]")
    return [*lines, delivery(group.name, group.rows, count, fired, released, "t")]


def delivery(name: str, rows: Rows, count: str, fired: str, released: str, step: str) -> str:
    """The call that sends off, in a step, what the cells that fired released."""
    given = f"{count}, {fired}, {released}, START_{name}, PLACE_{name}, WEIGHT_{name}"
    uniform = "_uniform" if rows.uniform else ""
    if rows.lag is None:
        return f"deliver_delayed{uniform}({given}, RING_{name}, {step} % {rows.longest})"
    return f"deliver{uniform}({given}, RING_{name}[({step} + {rows.lag - 1}) % {rows.longest}])"


def _events() -> list[str]:
    return [
        "for k_event in range(counters[2]):",
        "    EVENT_STEP[counters[1] + k_event] = t",
        "    EVENT_CELL[counters[1] + k_event] = FIRED[k_event]",
        "counters[1] += counters[2]",
    ]
