"""One part of a network: its own cells, the connections onto them, and a loop between packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from amphid.simulation.compiled.edges import at_each_end
from amphid.simulation.compiled.loop import Group
from amphid.simulation.compiled.packet_loop import PACKET_TOOLS, signals_of, write_packet_loop
from amphid.simulation.compiled.packets import Packet, argument_names
from amphid.simulation.compiled.program import Program
from amphid.simulation.compiled.share import Lags, Share, packet_steps
from amphid.simulation.simulate import Task
from amphid.simulation.wires import Wires


class PartProgram(Program):
    """The program of the cells of a share, which is told by packets what the others let go.

    wires: the connections onto its cells, by group, between all cells as they are numbered there.
    lags: those of all parts together.
    """

    def __init__(
        self, task: Task, wires: Mapping[str, Wires], share: Share, lags: Mapping[str, Lags]
    ) -> None:
        self.packet_steps = packet_steps(lags, share.size)
        self.any_end = False  # whether the state may be read after any packet, not only at an end
        super().__init__(task, wires, skip=False, share=share, lags=lags)

    def packet(self, shares: list[Share]) -> Packet:
        """An empty packet of those parts."""
        v = self.size if "electrical" in self.groups else 0
        return Packet.of(self.signals, shares, self.packet_steps, self.trials, v, self._type)

    def compiled(self) -> None:
        """Compile the loop now, by a call that does nothing."""
        packet = self.packet([self.share])
        self._call(0, 0, 0, 0, 0, 0, [*packet.read(0), *packet.written(0, 0)])

    def depart(self, trial: int, packet: Packet, part: int) -> None:
        """Pack what leaves now, before a first step."""
        given = [*packet.read(trial), *packet.written(trial, part)]
        self._call(trial, -1, 0, 0, 1, 0, given)

    def advance(
        self, trial: int, steps: int, came: Packet, leaves: Packet, part: int, *, end: int
    ) -> None:
        """Deliver a packet, take steps, and pack what leaves, but for what leaves at the end."""
        leave = int(self.counters[trial][0]) + steps < end
        given = [*came.read(trial), *leaves.written(trial, part)]
        read_at = 0 if self.any_end else end
        self._call(trial, 0, steps, read_at, int(leave), came.slots, given)

    def is_full(self, trial: int) -> bool:
        """Whether there may be no room for the spikes of another packet."""
        if not self.events:
            return False
        kept = int(self.counters[trial][1]) + self.packet_steps * len(self.share)
        return kept > len(self.arrays["EVENT_STEP"][trial])

    def _call(
        self,
        trial: int,
        first: int,
        steps: int,
        end: int,
        leave: int,
        slots: int,
        packets: list[Any],
    ) -> None:
        now = (self.counters[trial], first, steps, end, leave, slots)
        cells = (self.share.low, self.task.every, len(self.share))
        self._run(*now, *cells, *self.own[trial], *packets)

    def _loop(self, groups: list[Group]) -> str:
        self.signals = signals_of(groups)
        arguments = [*self.order, *argument_names(self.signals)]
        written = write_packet_loop(groups, replace(self.stepping, arguments=arguments))
        return f"{PACKET_TOOLS}\n{written}"

    def _lay_out_group(self, key: str) -> None:
        super()._lay_out_group(key)
        if "EVERYWHERE" not in self.arrays:
            self._each("EVERYWHERE", np.zeros((self.trials, self.size), self._type))

    def _lay_out_junctions(self, key: str) -> None:
        to, there, here, weight = at_each_end(self.wires[key], self.batch, self.share)
        for name, values in (("TO", to), ("THERE", there), ("HERE", here)):
            self._shared(f"{name}_{key}", values)
        self.arrays[f"WEIGHT_{key}"] = weight
        self._scratch(f"RING_{key}", self._type, 1)

    def _most_at_once(self) -> int:
        return 2 * self.packet_steps * len(self.share)
