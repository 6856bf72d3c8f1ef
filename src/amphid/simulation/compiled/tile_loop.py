"""The source of the time loop of a tile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Carried:
    """What the loop needs to know of a group of synapses.

    release: the call that lets go what cells release, or "" where that is what they give out.
    junctions: whether they are gap junctions. graded: whether what is released is collected by
    every cell in every step, rather than spread by those that released something. longest: the
    longest lag. lag: that of all connections, or None where they differ.
    """

    name: str
    release: str = ""
    junctions: bool = False
    graded: bool = False
    longest: int = 1
    lag: int | None = 1


def write_tile_loop(
    groups: Sequence[Carried],
    cells: Iterable[str],
    *,
    v: str,
    joint: bool,
    spiking: bool,
    events: bool,
    samples: Sequence[str],
    reading: str,
    arguments: Sequence[str],
) -> str:
    """Source of `run(counters, steps, every, n, first, width, *arguments)`.

    It takes `steps` steps at most with the trials first to first + width of the batch. counters: of
    steps done, spikes kept, cells that gave out something in the last step; trials whose voltages
    could not be solved, the least iterations of a solve, those beyond it since the last factor; and
    the step that the first row of STIMULUS is for.

    cells: the calls that step the cells. v: the name of the voltages. joint: whether gap junctions
    are solved rather than carried. spiking: whether cells give out spikes. events: whether to keep
    those. samples: names of the recorded fields, which the call `reading` fills.
    """
    body = ["if counters[1] + n * LANES > len(EVENT_STEP):", "    return"] if events else []
    body.append("t = counters[0]")
    for group in groups:
        body += _arrivals(group, v, joint=joint)
    body += [
        "if CHANGED[min(t, len(CHANGED) - 1)]:",
        "    now = min(t - counters[6], len(STIMULUS) - 1)",
        "    drive(DRIVEN, STIMULUS[now], first, width, EXTERNAL)",
    ]
    body += [line for call in cells for line in call.splitlines()]
    body += [f"clear(ARRIVING_{g.name})" for g in groups if not (g.junctions or g.graded)]
    body += _kept(samples, reading, spiking=spiking, events=events)
    body.append("counters[0] = t + 1")
    if joint:
        body += ["if counters[3] or counters[5] > WASTE:", "    return"]
    given = ("counters", "steps", "every", "n", "first", "width", *arguments)
    lines = [f"def run({', '.join(given)}):", "    for k in range(steps):"]
    lines += [f"        {line}" for line in body]
    return "\n".join(["", "", "@outer", *lines, ""])


def _kept(samples: Sequence[str], reading: str, *, spiking: bool, events: bool) -> list[str]:
    """Who fired, and what is recorded of it."""
    lines = ["counters[2] = given_out(n, GIVEN, FIRED)"] if spiking else []
    if events:
        noted = "width, counters, EVENT_STEP, EVENT_TRIAL, EVENT_CELL"
        lines.append(f"note_spikes(t, counters[2], FIRED, GIVEN, {noted})")
    if reading:
        lines += ["if (t + 1) % every == 0:", "    row = (t + 1) // every - 1", f"    {reading}"]
        for number, name in enumerate(samples):
            given = f"KEPT_{number}, SAMPLE_{number}, first, width, {name}[row]"
            lines.append(f"    keep({given})")
    return lines


def _arrivals(group: Carried, v: str, *, joint: bool) -> list[str]:
    """What a group lets go, keeps of it, and brings in this step."""
    name = group.name
    wires = f"START_{name}, PLACE_{name}, WEIGHT_{name}"
    if group.junctions:
        return [] if joint else [f"junctions(n, {v}, {wires}, ARRIVING_{name})"]
    released = f"RELEASED_{name}" if group.release else "GIVEN"
    lines = group.release.splitlines()
    if group.graded:
        return lines + _collected(group, released, wires)
    fired, count = "FIRED", "counters[2]"
    if group.release:
        fired, count = f"FIRED_{name}", f"count_{name}"
        lines.append(f"{count} = given_out(n, {released}, {fired})")
    later = f"(t + {group.lag - 1})" if group.lag else "t"
    return [
        *lines,
        f"if steps - k <= {group.longest}:",
        f"    copy({released}, PAST_{name}[t % {group.longest}])",
        f"ARRIVING_{name} = RING_{name}[t % {group.longest}]",
        f"deliver({count}, {fired}, {released}, {wires}, {later} % {group.longest} * n, "
        f"{group.longest} * n, RING_{name}.reshape(RING_{name}.size))",
    ]


def _collected(group: Carried, released: str, wires: str) -> list[str]:
    name, longest = group.name, group.longest
    if longest == 1:
        return [
            "if steps - k <= 1:",
            f"    copy({released}, PAST_{name}[0])",
            f"carry(n, {released}, {wires}, 0, n, ARRIVING_{name})",
        ]
    past = f"PAST_{name}.reshape(PAST_{name}.size)"
    return [
        f"copy({released}, PAST_{name}[t % {longest}])",
        f"carry(n, {past}, {wires}, t % {longest} * n, {longest} * n, ARRIVING_{name})",
    ]
