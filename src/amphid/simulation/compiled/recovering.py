"""What cells keep of their synapses between spikes, brought to the present when they fire again.

Where what a spike releases depends on earlier ones, as with short-term plasticity, the resources of
a cell recover by a linear map as long as it is silent: k steps are its k-th power.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from amphid.kernels import NotAffine
from amphid.simulation.compiled.edges import Array
from amphid.simulation.compiled.parts import Part
from amphid.simulation.compiled.quiet import Quiet, quiet_near
from amphid.simulation.compiled.sleeping_loop import write_look, write_wake


@dataclass(frozen=True, eq=False)
class Recovery:
    """A group of synapses whose release depends on earlier ones.

    quiet: how what it keeps moves on without a spike. listed: the release of a list of cells.
    """

    group: str
    quiet: Quiet
    listed: Part

    @staticmethod
    def of(group: str, release: Part, rest: dict[str, torch.Tensor]) -> Recovery:
        """That of a release; rest: by name, what all groups keep at rest.

        Raises NotAffine where what is kept is no linear map of itself without a spike, or bounded.
        """
        steps = release.steps
        assert steps is not None
        pairs = dict(zip(steps.read, steps.traced.inputs, strict=True))
        after = zip(steps.write, steps.traced.outputs, strict=True)
        moved = [name for name, own in after if name in rest and own != pairs[name]]
        point = {name: rest[name] for name in moved}
        released = f"RELEASED_{group}"
        quiet = quiet_near(steps, point, given=released, without=("GIVEN",), settling=False)
        if len(quiet.slack) or quiet.push.any():
            raise NotAffine("what is kept is bounded, or moved by what others move")
        constants = list(release.constants)
        listed = steps.listed(f"released_{group}", constants, "count", "HISTORY[row]", "STILL")
        return Recovery(group, quiet, listed)

    def arrays(self, depth: int, size: int, kind: Any) -> dict[str, Array]:
        """Its arrays of a trial: since when a cell recovers, and what those that fired released."""
        found = {
            f"RECOVERS_{self.group}": np.zeros(size, np.int64),
            f"RELEASES_{self.group}": np.zeros((depth, size), kind),
        }
        return found | {name: values.astype(kind) for name, values in self._tables().items()}

    def source(self) -> str:
        """Functions that bring a cell, or all of them, to the present, and the release."""
        recover = write_wake(self.quiet, f"recover_{self.group}")
        look = write_look(self.quiet, f"look_{self.group}")
        return "\n\n".join((recover, look, self.listed.text))

    def look_arguments(self) -> Sequence[str]:
        """What its look is called with, but for the states."""
        return (*self._tables(), f"RECOVERS_{self.group}")

    def lines(self) -> list[str]:
        """What the cells that fired one step ago release."""
        group = self.group
        return [
            "row = (t - 1) % len(HISTORY)",
            "count = FIRED_THEN[row]",
            "for c in range(count):",
            "    i = HISTORY[row, c]",
            f"    {self._call('t')}",
            f"    RECOVERS_{group}[i] = t + 1",
            "    GIVEN[i] = GAVE[row, i]",
            *self.listed.call.splitlines(),
            "for c in range(count):",
            f"    RELEASES_{group}[row, c] = RELEASED_{group}[HISTORY[row, c]]",
            "    GIVEN[HISTORY[row, c]] = 0",
        ]

    def present(self) -> list[str]:
        """Bring what cell i keeps to the end of step t."""
        return [self._call("t + 1"), f"RECOVERS_{self.group}[i] = t + 1"]

    def _call(self, now: str) -> str:
        arguments = ", ".join((*self._tables(), *self.quiet.names))
        return f"recover_{self.group}(i, {now} - RECOVERS_{self.group}[i], {arguments})"

    def _tables(self) -> dict[str, Array]:
        tables = {"POWER": self.quiet.short, "FAR": self.quiet.long, "REST": self.quiet.rest}
        return {f"{name}_{self.group}": values for name, values in tables.items()}
