"""Write the loop of a step over a whole sequence, forward and backward, as source.

Cells are taken a block at a time through all steps, so that their state stays in the nearest cache.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from amphid.kernels.program import write_loop
from amphid.kernels.steady import Parted
from amphid.kernels.tape import Symbol, Traced

BLOCK = 2048  # cells


@dataclass(frozen=True)
class Role:
    """What an input or a result of a step is along the sequence.

    rows: one row for each step. kept: its value before every step and after the last is kept, in
    T + 1 rows. Else an array of one entry for each cell that is changed in place, or read only.
    """

    rows: bool = False
    kept: bool = False


def write_sequence(
    parted: Parted,
    roles: Sequence[Role],
    into: dict[int, int],
    *,
    backward: bool = False,
) -> str:
    """Source of `run(T, M, *inputs, *constants, *outputs)` over T steps of M cells.

    roles: of the inputs of the whole step. into: the place of the input that a result replaces;
    results without one go to rows of their own. backward: from the last step to the first.
    """
    every, changed = parted.every, dict(into)
    kept = {place for place, role in enumerate(roles) if role.kept}
    own = {out: to for out, to in changed.items() if to not in kept}
    step = write_loop(every, "step", into=own)
    texts = [f"@inner\n{step.text}"]
    lines = [f"def run({', '.join(('T', 'M', *_arguments(parted, roles, changed)))}):"]
    lines += [f"    {line}" for line in _ahead(parted)]
    for name, ahead in (("single", parted.single), ("each", parted.each)):
        if ahead.outputs:
            texts.append(f"@inner\n{write_loop(ahead, name).text}")
    order = "range(T - 1, -1, -1)" if backward else "range(T)"
    call = _call(parted, roles, changed, kept)
    lines += [
        f"    for low in range(0, M, {BLOCK}):",
        f"        high = min(low + {BLOCK}, M)",
        f"        for t in {order}:",
        f"            step(high - low, {', '.join(call)})",
    ]
    return "\n".join([*texts, "@outer", *lines, ""])


def _arguments(parted: Parted, roles: Sequence[Role], into: dict[int, int]) -> list[str]:
    """Arrays that the whole takes."""
    names = [symbol.name.upper() for symbol in parted.every.inputs[: len(roles)]]
    names += [symbol.name.upper() for symbol in constants(parted)]
    return names + [f"Y{k}" for k in range(len(parted.every.outputs)) if k not in into]


def constants(parted: Parted) -> list[Symbol]:
    """The constants that any of the parts reads."""
    parts = (parted.single, parted.each, parted.every)
    return list(dict.fromkeys(symbol for part in parts for symbol, _ in part.constants))


def _ahead(parted: Parted) -> list[str]:
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
            lines.append(f"{name}({', '.join((size, *read, *made))})")
    return lines


def _call(
    parted: Parted, roles: Sequence[Role], into: dict[int, int], kept: Collection[int]
) -> list[str]:
    """The arrays of one step of one block, in the order that the step takes them."""
    every, known = parted.every, len(roles)
    parts = []
    for place, symbol in enumerate((*every.inputs, *(c for c, _ in every.constants))):
        role = roles[place] if place < known else Role()
        name = symbol.name.upper()
        if role.rows or role.kept:
            parts.append(f"{name}[t, low:high]")
        else:
            parts.append(name if symbol.shared else f"{name}[low:high]")
    for place in range(len(every.outputs)):
        if place not in into:
            parts.append(f"Y{place}[t, low:high]")
        elif into[place] in kept:
            parts.append(f"{every.inputs[into[place]].name.upper()}[t + 1, low:high]")
    return parts


def reads(traced: Traced) -> set[int]:
    """Places of the inputs that any result depends on."""
    read = {operand for own in traced.operations for operand in own.operands}
    read |= {value for own in traced.operations for value in own.options.values()}
    read |= set(traced.outputs)
    return {place for place, symbol in enumerate(traced.inputs) if symbol in read}
