"""Eligibilities of connections, in machine code."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amphid.dynamics.values import decay
from amphid.simulation.compiled.walks import Walk
from amphid.simulation.plasticity import Factor


@dataclass(frozen=True, eq=False)
class Eligibility:
    """A third factor in closed form: what a connection is owed since it was last looked at.

    With q_t = sum over k >= 1 of M_(t+k) r^(k-1), r being what is left of an eligibility c after a
    step, the weight moves by c (q_s - r^(t-s) q_t) between the steps s and t.
    """

    rule: str
    factor: Factor
    dt: float

    def arrays(self, walk: Walk) -> list[str]:
        """Names of what the loop reads and changes for the connections of a group."""
        own = [f"{self.rule}_{walk.group}_{name}" for name in ("TAG", "SEEN")]
        return [f"{self.rule}_OWED", f"{self.rule}_LEFT", *own]

    def settled(self, walk: Walk) -> list[str]:
        """Lines that bring `w`, and the eligibility c, to this step."""
        owed, left, tag, seen = self.arrays(walk)
        return [
            f"s = {seen}[entry]",
            f"r = {left}[now - s]",
            f"c = {tag}[entry]",
            f"w = w + c * ({owed}[s] - r * {owed}[now])",
            "c = c * r",
        ]

    def kept(self, walk: Walk, eligibility: str) -> list[str]:
        """Lines that keep the eligibility."""
        _, _, tag, seen = self.arrays(walk)
        return [f"{tag}[entry] = {eligibility}", f"{seen}[entry] = now"]

    def tables(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """q [*B, T + 1] and r^k [T + 1]."""
        signal = self.factor.signal.detach().to(torch.float64) * self.factor.area(self.dt)
        rest = float(decay(self.dt, self.factor.tau))
        owed = signal.new_zeros(len(signal) + 1, *signal.shape[1:])
        for step in range(len(signal) - 1, -1, -1):
            owed[step] = signal[step] + rest * owed[step + 1]
        left = rest ** torch.arange(len(owed), dtype=torch.float64)
        return owed.movedim(0, -1).to(like).contiguous(), left.to(like)

    def settle_source(self, walk: Walk) -> tuple[str, str]:
        """Source of the function that settles all connections of a group, and its call."""
        name = f"settle_{self.rule.lower()}_{walk.group}"
        prefix, weight = f"{self.rule}_{walk.group}", f"WEIGHT_{walk.group}"
        own = [*self.arrays(walk), f"{prefix}_IN_ENTRY", weight]
        own += [f"{prefix}_SIGN"] if walk.signed else []
        sign = f" * {prefix}_SIGN[entry]" if walk.signed else ""
        lines = [
            f"def {name}(now, {', '.join(own)}):",
            f"    for k in range(len({prefix}_IN_ENTRY)):",
            f"        entry = {prefix}_IN_ENTRY[k]",
            f"        w = {weight}[entry]{sign}",
            *(f"        {line}" for line in (*self.settled(walk), *self.kept(walk, "c"))),
            f"        {weight}[entry] = w{sign}",
            "",
        ]
        return "@inner\n" + "\n".join(lines), f"{name}(t + 1, {', '.join(own)})"
