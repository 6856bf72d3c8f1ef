"""The source of a time loop that steps only the cells that are awake.

A cell is woken by what reaches it, brought to the present, stepped while it might fire, and left
alone again as soon as it cannot. Spikes are kept for as many steps as the longest delay and walk
their connections in the step in which they arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amphid.simulation.compiled.inflow import Given, Poisson
from amphid.simulation.compiled.quiet import SHORT, Quiet

# cells that fired are kept in ascending order, so that sums are those of the loop over all cells
SORT = """
@inner
def sort(values, count):
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for k in range(gap, count):
            value = values[k]
            at = k
            while at >= gap and values[at - gap] > value:
                values[at] = values[at - gap]
                at -= gap
            values[at] = value
        gap //= 3
"""


@dataclass(frozen=True)
class Arrivals:
    """A group of synapses all of whose signals take `lag` steps."""

    name: str
    lag: int
    uniform: bool


def write_quiet(quiet: Quiet | None) -> str:
    """Source of `wake(i, k, ...)`, k steps at once, and of `still(i, ...)`: may it be left alone?

    Without a linear map a cell stays as it is, and may be left where a step changed nothing.
    """
    if quiet is None:
        return "\n\n@inner\ndef wake(i, k):\n    return\n"
    states = [f"S{place}" for place in range(len(quiet.names))]
    return "\n\n".join(("", _wake(quiet, states), _still(quiet, states), ""))


def _wake(quiet: Quiet, states: Sequence[str]) -> str:
    # without a branch on k: a wrong guess would wait for memory, cell after cell
    lines = ["@inner", f"def wake(i, k, POWER, FAR, REST, {', '.join(states)}):"]
    lines += ["    r = i if REST.shape[1] > 1 else 0"]
    lines += [f"    k, j = k & {SHORT - 1}, min(k >> {SHORT.bit_length() - 1}, len(FAR) - 1)"]
    read = sorted({c for _, c in quiet.moving})
    moved = sorted({s for s, _ in quiet.moving})
    lines += [f"    x{c} = S{c}[i] - REST[{c}, r]" for c in read]
    lines += [f"    y{c} = {_product(quiet, c, 'FAR[j', 'x') or f'x{c}'}" for c in read]
    lines += [f"    S{s}[i] = REST[{s}, r] + ({_product(quiet, s, 'POWER[k', 'y')})" for s in moved]
    return "\n".join(lines)


def _product(quiet: Quiet, state: int, table: str, distance: str) -> str:
    terms = [
        f"{table}, {place}] * {distance}{c}"
        for place, (s, c) in enumerate(quiet.moving)
        if s == state
    ]
    return " + ".join(terms)


def _still(quiet: Quiet, states: Sequence[str]) -> str:
    arguments = f"REST, SLACK, FALL, RISE, LEAST, {', '.join(states)}"
    lines = ["@inner", f"def still(i, {arguments}):", "    r = i if REST.shape[1] > 1 else 0"]
    lines += ["    m = i if SLACK.shape[1] > 1 else 0"]
    used = [s for s in range(len(states)) if quiet.fall[:, s].any() or quiet.rise[:, s].any()]
    lines += [f"    y{s} = S{s}[i] - REST[{s}, r]" for s in sorted({*used, *quiet.settled})]
    lines += [f"    yes = {' & '.join([f'(y{s} == 0)' for s in quiet.settled]) or 'True'}"]
    for c in range(len(quiet.slack)):
        own = [s for s in used if quiet.fall[c, s] or quiet.rise[c, s]]
        lost = [f"max(FALL[{c}, {s}] * y{s}, -RISE[{c}, {s}] * y{s})" for s in own]
        lines.append(f"    yes &= SLACK[{c}, m] - ({' + '.join(lost) or '0'}) >= LEAST[{c}, 0]")
    return "\n".join([*lines, "    return yes"])


def write_sleeping_loop(
    groups: Sequence[Arrivals],
    step: str,
    quiet: Quiet | None,
    sources: Sequence[Poisson | Given],
    *,
    events: bool,
    samples: str,
    arguments: Sequence[str],
) -> str:
    """Source of `run(counters, steps, every, n, *arguments)`, which takes `steps` steps at most.

    It stops early where so many cells are awake that stepping all of them costs less.

    counters: of steps done, spikes kept, -, cells awake, and by how much too many were of late.
    step: the call that steps the cells awake. sources: what is added to the currents. samples: the
    call that keeps variables of all cells.
    """
    body = ["t, awake = counters[0], counters[3]"]
    if events:
        body = ["if counters[1] + n > len(EVENT_STEP):", "    return", *body]
    for group in groups:
        body += _arrivals(group, quiet)
    body += [
        "for c in range(len(DRIVEN)):",
        "    if STIMULUS[t, c] != 0:",
        "        i = DRIVEN[c]",
        *_woken(quiet, "        "),
        "        EXTERNAL[i] += STIMULUS[t, c]",
        *(line for source in sources for line in source.each(_woken(quiet, ""))),
        step,
        *_sorted_out(groups, quiet),
    ]
    if events:
        body += [
            "for k in range(count):",
            "    EVENT_STEP[counters[1] + k] = t",
            "    EVENT_CELL[counters[1] + k] = HISTORY[row, k]",
            "counters[1] += count",
        ]
    if samples:
        body += ["if (t + 1) % every == 0:", *_all_present(quiet)]
        body += ["    row = (t + 1) // every - 1", f"    {samples}"]
    body += [
        "counters[0], counters[3] = t + 1, kept",
        "counters[4] = max(0, counters[4] + awake - (n >> 3))",
        "if counters[4] > 4 * n:",
        "    return",
    ]
    head = f"def run({', '.join(('counters', 'steps', 'every', 'n', *arguments))}):"
    lines = [head, "    for taken in range(steps):", *(f"        {line}" for line in body)]
    return "\n".join(["", "", "@outer", *lines, ""])


def _arrivals(group: Arrivals, quiet: Quiet | None) -> list[str]:
    name = group.name
    weight = f"WEIGHT_{name}[0]" if group.uniform else f"WEIGHT_{name}[edge]"
    return [
        f"row = (t - {group.lag}) % len(HISTORY)",
        "for f in range(FIRED_THEN[row]):",
        "    pre = HISTORY[row, f]",
        f"    for edge in range(START_{name}[pre], START_{name}[pre + 1]):",
        f"        i = PLACE_{name}[edge]",
        *_woken(quiet, "        "),
        f"        ARRIVING_{name}[i] += {weight}",
    ]


def _woken(quiet: Quiet | None, indent: str) -> list[str]:
    lines = [
        "if LAST[i] >= 0:",
        f"    {_wake_call(quiet, 't')}",
        "    LAST[i] = -1",
        "    AWAKE[awake] = i",
        "    awake += 1",
    ]
    return [indent + line for line in lines]


def _wake_call(quiet: Quiet | None, now: str) -> str:
    if quiet is None:
        return f"wake(i, {now} - LAST[i])"
    return f"wake(i, {now} - LAST[i], POWER, FAR, REST, {', '.join(quiet.names)})"


def _sorted_out(groups: Sequence[Arrivals], quiet: Quiet | None) -> list[str]:
    """Who fired is kept; who may be left alone leaves the list."""
    if quiet is None:
        untouched = [f"(ARRIVING_{group.name}[i] == 0)" for group in groups]
        alone = " & ".join(["STILL[k]", "(EXTERNAL[i] == 0)", *untouched])
    else:
        alone = f"still(i, REST, SLACK, FALL, RISE, LEAST, {', '.join(quiet.names)})"
    return [
        "row, count, kept = t % len(HISTORY), 0, 0",
        "for k in range(awake):",
        "    i = AWAKE[k]",
        f"    alone = {alone}",
        *(f"    ARRIVING_{group.name}[i] = 0" for group in groups),
        "    EXTERNAL[i] = 0",
        "    if GIVEN[i] != 0:",
        "        GIVEN[i] = 0",
        "        HISTORY[row, count] = i",
        "        count += 1",
        "    elif alone:",
        "        LAST[i] = t + 1",
        "        continue",
        "    AWAKE[kept] = i",
        "    kept += 1",
        "sort(HISTORY[row], count)",
        "FIRED_THEN[row] = count",
    ]


def _all_present(quiet: Quiet | None) -> list[str]:
    """Bring all cells to the end of the step, without waking them."""
    if quiet is None:
        return []
    return [
        "    for i in range(n):",
        "        if LAST[i] >= 0:",
        f"            {_wake_call(quiet, 't + 1')}",
        "            LAST[i] = t + 1",
    ]
