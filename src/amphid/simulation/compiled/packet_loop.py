"""The source of the time loop of a part of a network, from packet to packet.

What leaves a cell at the start of step t acts in step t + lag - 1 at the earliest. So parts that
step P steps by themselves, P being the shortest lag, miss nothing if what left in them is handed
around afterwards. Each adds it to its own ring step by step, and in the order of the cells: the
order of additions is that of a single loop, and so is every bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amphid.simulation.compiled.loop import Group, Stepping, delivery, stepping

GIVEN = "GIVEN"
"""The signal of groups that let go what the cells give out, as it is."""

PACKET_TOOLS = """
@inner
def pack(count, fired, values, low, slot, starts, cells, released):
    begin = starts[slot]
    for k in range(count):
        cells[begin + k] = low + fired[k]
        released[begin + k] = values[fired[k]]
    starts[slot + 1] = begin + count


@inner
def lay_down(values, low, everywhere):
    for k in range(len(values)):
        everywhere[low + k] = values[k]


@exact
def junctions_onto(v, to, there, here, weight, arriving):
    for k in range(len(to)):
        arriving[to[k]] += weight[k] * (v[there[k]] - v[here[k]])
"""


def signal_of(group: Group) -> str:
    """The name of the signal that a group carries."""
    return group.name if group.release else GIVEN


def signals_of(groups: Sequence[Group]) -> list[str]:
    """All signals that are handed around, each once."""
    return list(dict.fromkeys(signal_of(group) for group in groups if group.rows))


def write_packet_loop(groups: Sequence[Group], step: Stepping) -> str:
    """Source of `run(counters, first, steps, end, leave, slots, low, every, n, *arguments)`.

    It delivers the packet that came, takes `steps` steps, and packs what leaves after each of them;
    after the last one only if `leave`, since what leaves belongs to the next step and changes the
    state. With first = -1 and no steps it does that alone.

    counters: of steps done, spikes kept, cells that gave out something in the last step, and slots
    packed. end: the step at which the state will be read. slots: of the packet that came, the last
    of which left now. low: the first cell.
    """
    junctions = any(group.rows is None for group in groups)
    body = ["t = counters[0]", *(line for group in groups for line in _arrivals(group))]
    body += stepping(groups, step)
    known = ("counters", "first", "steps", "end", "leave", "slots", "low", "every", "n")
    lines = [
        f"def run({', '.join((*known, *step.arguments))}):",
        *_indented(_deliveries(groups), 1),
        "    if first == 0:",
        "        counters[3] = 0",
        "    for k in range(first, steps):",
        "        if k >= 0:",
        *_indented(body, 3),
        "        if leave or k + 1 < steps:",
        "            t = counters[0]",
        *_indented(_departures(groups), 3),
        *(_indented([f"lay_down({step.v}, low, OUT_V)"], 3) if junctions else []),
        "            counters[3] += 1",
    ]
    return "\n".join(["", "", "@outer", *lines, ""])


def _deliveries(groups: Sequence[Group]) -> list[str]:
    """Every part's cells, step by step."""
    lines = []
    for signal in signals_of(groups):
        cells = f"IN_CELLS_{signal}[begin:stop]"
        lines += [
            "for slot in range(slots):",
            "    left = counters[0] - slots + 1 + slot",
            f"    for part in range(len(IN_STARTS_{signal})):",
            f"        begin = IN_STARTS_{signal}[part, slot]",
            f"        stop = IN_STARTS_{signal}[part, slot + 1]",
            f"        scatter({cells}, IN_RELEASED_{signal}[begin:stop], EVERYWHERE)",
        ]
        for group in groups:
            if group.rows and signal_of(group) == signal:
                call = delivery(group.name, group.rows, "stop - begin", cells, "EVERYWHERE", "left")
                lines += _indented([call], 2)
    return lines


def _departures(groups: Sequence[Group]) -> list[str]:
    """What leaves the cells of this part at the start of step t."""
    lines = []
    for group in groups:
        if group.rows is None:
            continue
        name, longest, released = group.name, group.rows.longest, "GIVEN"
        if group.release:
            released = f"RELEASED_{name}"
            lines.append(group.release)
            count = f"given_out({released}, FIRED_{name})"
            lines.append(_packed(name, count, f"FIRED_{name}", released))
        lines += [f"if end - t <= {longest}:", f"    copy({released}, PAST_{name}[t % {longest}])"]
    if GIVEN in signals_of(groups):
        lines.append(_packed(GIVEN, "counters[2]", "FIRED", "GIVEN"))
    return lines


def _packed(signal: str, count: str, fired: str, released: str) -> str:
    to = f"OUT_STARTS_{signal}, OUT_CELLS_{signal}, OUT_RELEASED_{signal}"
    return f"pack({count}, {fired}, {released}, low, counters[3], {to})"


def _arrivals(group: Group) -> list[str]:
    name = group.name
    if group.rows is None:
        ends = f"TO_{name}, THERE_{name}, HERE_{name}, WEIGHT_{name}"
        return [
            f"ARRIVING_{name} = RING_{name}[0]",
            f"junctions_onto(IN_V, {ends}, ARRIVING_{name})",
        ]
    return [f"ARRIVING_{name} = RING_{name}[t % {group.rows.longest}]"]


def _indented(lines: Iterable[str], depth: int) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]
