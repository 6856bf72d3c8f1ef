"""The source of a time loop that steps only the cells that are awake.

A cell that something reaches is brought to the present; if it might fire it is awake, and stepped
like any other, until it no longer might. Spikes are kept for as many steps as the longest delay and
walk their connections in the step in which they arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amphid.simulation.compiled.loop import Stepping, outer_loop, sampled
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
    """A group of synapses all of whose signals take `lag` steps.

    release: the lines by which the cells that fired one step ago release; none where that is what
    they gave out. recover: those that bring what cell i keeps for it to the end of a step.
    """

    name: str
    lag: int
    uniform: bool
    release: Sequence[str] = ()
    recover: Sequence[str] = ()


def write_quiet(quiet: Quiet | None) -> str:
    """Source of what follows from a linear map; of nothing where there is none.

    `wake(i, k, ...)`: k steps at once. `glide(i, k, ...)`: the same and one more, with what arrives
    in it, and whether the cell may be left alone; else only the k steps. `still(i, ...)`: may a
    cell be left alone?
    """
    if quiet is None:
        return "\n"
    return "\n\n".join(("", write_wake(quiet), _glide(quiet), _still(quiet), ""))


def write_look(quiet: Quiet, name: str = "look") -> str:
    """Source of `look(n, now, POWER, FAR, REST, LAST, cells, to)`: cells left alone, at `now`.

    cells: arrays of every state of the map; to: where they are written, and nothing else is.
    """
    to = [f"TO{place}" for place in range(len(quiet.names))]
    arguments = ["n", "now", *MAP, "LAST", *_states(quiet), *to]
    moved = sorted({s for s, _ in quiet.moving})
    return "\n".join(
        [
            f"\n@outer\ndef {name}({', '.join(arguments)}):",
            "    for i in range(n):",
            "        k = now - LAST[i]",
            "        if LAST[i] < 0 or k == 0:",
            "            continue",
            *(f"        {line}" for line in _distances(quiet)),
            *(f"        TO{s}[i] = REST[{s}, r] + x{s}" for s in moved),
            "",
        ]
    )


def _states(quiet: Quiet) -> list[str]:
    return [f"S{place}" for place in range(len(quiet.names))]


def _distances(quiet: Quiet) -> list[str]:
    """x: all distances from rest after k steps, POWER taking the last of them.

    Without a branch on k: a wrong guess would wait for memory, cell after cell.
    """
    lines = ["r = i if REST.shape[1] > 1 else 0"]
    lines += [f"k, j = k & {SHORT - 1}, min(k >> {SHORT.bit_length() - 1}, len(FAR) - 1)"]
    states = range(len(quiet.names))
    lines += [f"w{s} = S{s}[i] - REST[{s}, r]" for s in states]
    lines += [f"y{s} = {_product(quiet, s, 'FAR[j', 'w') or f'w{s}'}" for s in states]
    return lines + [f"x{s} = {_product(quiet, s, 'POWER[k', 'y') or f'y{s}'}" for s in states]


def write_wake(quiet: Quiet, name: str = "wake") -> str:
    """Source of `wake(i, k, POWER, FAR, REST, cells)`: k steps of a cell at once."""
    moved = sorted({s for s, _ in quiet.moving})
    body = _distances(quiet) + [f"S{s}[i] = REST[{s}, r] + x{s}" for s in moved]
    head = f"def {name}(i, k, {', '.join(MAP)}, {', '.join(_states(quiet))}):"
    return "\n".join(["@inner", head, *(f"    {line}" for line in body)])


def _glide(quiet: Quiet) -> str:
    arguments = [*TABLES, *_states(quiet), *(f"A{g}" for g in range(len(quiet.inputs)))]
    body = [*_distances(quiet), *(f"a{g} = A{g}[i]" for g in range(len(quiet.inputs)))]
    changed = []
    for s, row in enumerate(quiet.matrix):
        terms = [f"MATRIX[{s}, {c}] * x{c}" for c in range(len(row)) if row[c]]
        pushes = [f"PUSH[{s}, {g}] * a{g}" for g in range(len(quiet.inputs)) if quiet.push[s, g]]
        body.append(f"z{s} = {' + '.join([*terms, *pushes]) or f'0 * x{s}'}")
        changed += [s] if pushes or any(s == moved for moved, _ in quiet.moving) else []
    body.append("m = i if SLACK.shape[1] > 1 else 0")
    body.append(f"yes = {' & '.join(f'(x{s} == 0) & (z{s} == 0)' for s in quiet.settled) or True}")
    for c in range(len(quiet.slack)):
        gains = [f"NOW[{c}, {s}] * x{s}" for s in range(len(quiet.names)) if quiet.now[c, s]]
        gains += [f"ONCE[{c}, {g}] * a{g}" for g in range(len(quiet.inputs)) if quiet.once[c, g]]
        body.append(f"yes &= SLACK[{c}, m] + ({' + '.join(gains) or '0'}) >= 0")
    body += [*_bounds(quiet, "z"), "if yes:"]
    body += [f"    S{s}[i] = REST[{s}, r] + z{s}" for s in changed] or ["    pass"]
    body += ["else:", *(f"    S{s}[i] = REST[{s}, r] + x{s}" for s in changed)]
    body += [] if changed else ["    pass"]
    head = f"def glide(i, k, {', '.join(arguments)}):"
    return "\n".join(["@inner", head, *(f"    {line}" for line in [*body, "return yes"])])


def _still(quiet: Quiet) -> str:
    states = range(len(quiet.names))
    body = ["r = i if REST.shape[1] > 1 else 0", "m = i if SLACK.shape[1] > 1 else 0"]
    body += [f"y{s} = S{s}[i] - REST[{s}, r]" for s in states]
    body += [f"yes = {' & '.join(f'(y{s} == 0)' for s in quiet.settled) or True}"]
    head = f"def still(i, REST, SLACK, FALL, RISE, {', '.join(_states(quiet))}):"
    body += [*_bounds(quiet, "y"), "return yes"]
    return "\n".join(["@inner", head, *(f"    {line}" for line in body)])


def _bounds(quiet: Quiet, away: str) -> list[str]:
    """Whether every margin holds at the worst of all times to come."""
    lines = []
    for c in range(len(quiet.slack)):
        lost = [
            f"max(FALL[{c}, {s}] * {away}{s}, -RISE[{c}, {s}] * {away}{s})"
            for s in range(len(quiet.names))
            if quiet.fall[c, s] or quiet.rise[c, s]
        ]
        lines.append(f"yes &= SLACK[{c}, m] - ({' + '.join(lost) or '0'}) >= 0")
    return lines


def _product(quiet: Quiet, state: int, table: str, distance: str) -> str:
    terms = [
        f"{table}, {place}] * {distance}{c}"
        for place, (s, c) in enumerate(quiet.moving)
        if s == state
    ]
    return " + ".join(terms)


MAP = ("POWER", "FAR", "REST")
TABLES = (
    *MAP, "MATRIX", "PUSH", "SLACK", "NOW", "ONCE", "FALL", "RISE",
)  # fmt: skip


def write_sleeping_loop(
    groups: Sequence[Arrivals], step: Stepping, quiet: Quiet | None, kept: Sequence[str]
) -> str:
    """Source of `run(counters, steps, every, n, *arguments)`, which takes `steps` steps at most.

    It stops early where so many cells are awake that stepping all of them costs less.

    counters: of steps done, spikes kept, -, cells awake, and by how much too many were of late.
    kept: the arrays of cells whose variables are sampled, none for all.
    """
    body = ["if counters[1] + n > len(EVENT_STEP):", "    return"] if step.events else []
    body.append("t, awake, touched = counters[0], counters[3], 0")
    for group in groups:
        body += group.release
    for group in groups:
        body += _arrivals(group)
    body += [
        "for c in range(len(DRIVEN)):",
        "    i = DRIVEN[c]",
        f"    now = STIMULUS[min(t, len(STIMULUS) - 1), {'c' if step.driven else 'i'}]",
        "    if now != 0:",
        *_touched("        "),
        "        EXTERNAL[i] += now",
        *(line for source in step.sources for line in source.each(_touched(""))),
        *_woken(groups, quiet),
        *step.cells,
        *_sorted_out(groups, quiet),
        *(EVENTS if step.events else []),
        *sampled(step.samples, _all_present(groups, quiet, kept)),
        "counters[0], counters[3] = t + 1, left",
        "counters[4] = max(0, counters[4] + awake - (n >> 3))",
        "if counters[4] > 4 * n:",
        "    return",
    ]
    return outer_loop(["counters", "steps", "every", "n", *step.arguments], body)


EVENTS = [
    "for c in range(count):",
    "    EVENT_STEP[counters[1] + c] = t",
    "    EVENT_CELL[counters[1] + c] = HISTORY[row, c]",
    "counters[1] += count",
]


def _arrivals(group: Arrivals) -> list[str]:
    name = group.name
    weight = f"WEIGHT_{name}[0]" if group.uniform else f"WEIGHT_{name}[edge]"
    return [
        f"row = (t - {group.lag}) % len(HISTORY)",
        "for f in range(FIRED_THEN[row]):",
        "    pre = HISTORY[row, f]",
        f"    value = {f'RELEASES_{name}[row, f]' if group.release else 'GAVE[row, pre]'}",
        f"    for edge in range(START_{name}[pre], START_{name}[pre + 1]):",
        f"        i = PLACE_{name}[edge]",
        *_touched("        "),
        f"        ARRIVING_{name}[i] += value * {weight}",
    ]


def _touched(indent: str) -> list[str]:
    """A cell that something reaches is put on a list, and no more: memory is read ahead."""
    lines = ["if LAST[i] >= 0:", "    TOUCHED[touched] = i", "    SINCE[touched] = LAST[i]"]
    return [indent + line for line in [*lines, "    LAST[i] = -1", "    touched += 1"]]


def _woken(groups: Sequence[Arrivals], quiet: Quiet | None) -> list[str]:
    """Of the cells that were reached, those that may fire are awake from now on."""
    lines = ["for m in range(touched):", "    i = TOUCHED[m]"]
    if quiet is not None:
        arguments = ", ".join([*TABLES, *quiet.names, *quiet.inputs])
        lines += [
            f"    if glide(i, t - SINCE[m], {arguments}):",
            "        LAST[i] = t + 1",
            *(f"        {name}[i] = 0" for name in _inputs(groups)),
            "        continue",
        ]
    return [*lines, "    AWAKE[awake] = i", "    awake += 1"]


def _inputs(groups: Sequence[Arrivals]) -> list[str]:
    return [*(f"ARRIVING_{group.name}" for group in groups), "EXTERNAL"]


def _wake_call(quiet: Quiet, now: str) -> str:
    return f"wake(i, {now} - LAST[i], POWER, FAR, REST, {', '.join(quiet.names)})"


def _sorted_out(groups: Sequence[Arrivals], quiet: Quiet | None) -> list[str]:
    """Who fired is kept; who may be left alone leaves the list."""
    if quiet is None:
        alone = " & ".join(["STILL[c]", *(f"({name}[i] == 0)" for name in _inputs(groups))])
    else:
        alone = f"still(i, REST, SLACK, FALL, RISE, {', '.join(quiet.names)})"
    return [
        "row, count, left = t % len(HISTORY), 0, 0",
        "for c in range(awake):",
        "    i = AWAKE[c]",
        f"    alone = {alone}",
        *(f"    {name}[i] = 0" for name in _inputs(groups)),
        "    if GIVEN[i] != 0:",
        "        GAVE[row, i], GIVEN[i] = GIVEN[i], 0",
        "        HISTORY[row, count] = i",
        "        count += 1",
        "    elif alone:",
        "        LAST[i] = t + 1",
        "        continue",
        "    AWAKE[left] = i",
        "    left += 1",
        "sort(HISTORY[row], count)",
        "FIRED_THEN[row] = count",
    ]


def _all_present(groups: Sequence[Arrivals], quiet: Quiet | None, kept: Sequence[str]) -> list[str]:
    """Bring all cells that are sampled to the end of the step, without waking them."""
    lines = [line for group in groups for line in group.recover]
    if quiet is not None:
        lines += [
            "if LAST[i] >= 0:",
            f"    {_wake_call(quiet, 't + 1')}",
            "    LAST[i] = t + 1",
        ]
    if not lines:
        return []
    every = [[f"for c in range(len({name})):", f"    i = {name}[c]"] for name in kept]
    heads = every or [["for i in range(n):"]]
    return [line for head in heads for line in (*head, *(f"    {own}" for own in lines))]
