"""Write the loop of a step over a whole sequence, forward and backward, as source.

Cells are taken a block at a time through all steps, so that their state stays in the nearest cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amphid.kernels.program import write_loop
from amphid.kernels.steady import Parted
from amphid.kernels.tape import Symbol, Traced

BLOCK = 2048  # cells


@dataclass(frozen=True)
class Role:
    """What an input or a result of a step is along the sequence.

    row: the row of its array at step t, None where it has one entry for each cell. after: the row
    that its new value goes to, where that is another.
    """

    row: str | None = None
    after: str | None = None


CELLS = Role()
ROWS = Role("t")
KEPT = Role("t", "t + 1")
"""Before every step and after the last: T + 1 rows."""
REPEATED = Role("min(t, len({array}) - 1)")
"""One row for each step, or one for all."""


@dataclass(frozen=True)
class Around:
    """What is done besides the step itself, all cells being taken at once.

    tools: source of functions. arguments: arrays that it takes. first: lines before all steps.
    before, after: lines of each step.
    """

    tools: str = ""
    arguments: Sequence[str] = ()
    first: Sequence[str] = ()
    before: Sequence[str] = ()
    after: Sequence[str] = ()


def write_sequence(
    parted: Parted,
    roles: Sequence[Role],
    into: Mapping[int, int],
    *,
    results: Mapping[int, Role] | None = None,
    around: Around | None = None,
    backward: bool = False,
    name: str = "",
) -> str:
    """Source of `run(T, M, *inputs, *constants, *results, *around)` over T steps of M cells.

    roles: of the inputs of the whole step. into: the place of the input that a result replaces.
    results: what the others are; rows where they do not say. backward: from the last step to the
    first. name: what comes behind the names of its functions.
    """
    around, block = around or Around(), "M" if around else str(BLOCK)
    placed = _placed(parted, roles, into, results or {})
    own = {out: to for out, to in into.items() if roles[to].after is None}
    texts = [around.tools] if around.tools else []
    texts.append(f"@inner\n{write_loop(parted.every, f'step{name}', into=own).text}")
    for what, ahead in (("single", parted.single), ("each", parted.each)):
        if ahead.outputs:
            texts.append(f"@inner\n{write_loop(ahead, what + name).text}")
    order = "range(T - 1, -1, -1)" if backward else "range(T)"
    arguments = [*arrays_of(parted, roles, into), *around.arguments]
    lines = [
        f"def run{name}({', '.join(('T', 'M', *arguments))}):",
        *(f"    {line}" for line in (*_ahead(parted, name), *around.first)),
        f"    for low in range(0, M, {block}):",
        f"        high = min(low + {block}, M)",
        f"        for t in {order}:",
        *(f"            {line}" for line in around.before),
        f"            step{name}(high - low, {', '.join(placed)})",
        *(f"            {line}" for line in around.after),
    ]
    return "\n".join([*texts, "@outer", *lines, ""])


def constants(parted: Parted) -> list[Symbol]:
    """The constants that any of the parts reads."""
    parts = (parted.single, parted.each, parted.every)
    return list(dict.fromkeys(symbol for part in parts for symbol, _ in part.constants))


def reads(traced: Traced) -> set[int]:
    """Places of the inputs that any result depends on."""
    read = {operand for own in traced.operations for operand in own.operands}
    read |= {value for own in traced.operations for value in own.options.values()}
    read |= set(traced.outputs)
    return {place for place, symbol in enumerate(traced.inputs) if symbol in read}


def arrays_of(parted: Parted, roles: Sequence[Role], into: Mapping[int, int]) -> list[str]:
    """Arrays that the step takes from outside."""
    names = [symbol.name.upper() for symbol in parted.every.inputs[: len(roles)]]
    names += [symbol.name.upper() for symbol in constants(parted)]
    return names + [f"Y{k}" for k in range(len(parted.every.outputs)) if k not in into]


def _ahead(parted: Parted, suffix: str) -> list[str]:
    """Lines that compute what does not change."""
    lines = []
    for name, part, size in (("single", parted.single, "1"), ("each", parted.each, "M")):
        if part.outputs:
            made = [symbol.name.upper() for symbol in part.outputs]
            lines += [
                f"{array} = np.empty({size}, np.{str(symbol.dtype).removeprefix('torch.')})"
                for array, symbol in zip(made, part.outputs, strict=True)
            ]
            read = [s.name.upper() for s in (*part.inputs, *(c for c, _ in part.constants))]
            lines.append(f"{name}{suffix}({', '.join((size, *read, *made))})")
    return lines


def _placed(
    parted: Parted, roles: Sequence[Role], into: Mapping[int, int], results: Mapping[int, Role]
) -> list[str]:
    """The arrays of one step of one block, in the order that the step takes them."""
    every, placed = parted.every, []
    for place, symbol in enumerate((*every.inputs, *(c for c, _ in every.constants))):
        role, name = roles[place] if place < len(roles) else CELLS, symbol.name.upper()
        placed.append(name if symbol.shared else _part(name, role.row))
    for place in range(len(every.outputs)):
        if place not in into:
            placed.append(_part(f"Y{place}", results.get(place, ROWS).row))
        elif (after := roles[into[place]].after) is not None:
            placed.append(_part(every.inputs[into[place]].name.upper(), after))
    return placed


def _part(name: str, row: str | None) -> str:
    return f"{name}[low:high]" if row is None else f"{name}[{row.format(array=name)}, low:high]"
