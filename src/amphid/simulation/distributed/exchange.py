"""Packets between processes: one message per packet, as long as the last ones needed to be.

A message is a row of 32-bit words: what the rank is up to, whether values stand in it, how many
entries there are of each trial, signal and step; then the cells of all of them, the values where
they are not all one, and the voltages where gap junctions compare them. Where the room was too
small, the rest follows in a second message.
"""

from __future__ import annotations

import numpy as np
import torch

from amphid.simulation.compiled.packets import Packet
from amphid.simulation.compiled.part_program import PartProgram
from amphid.simulation.compiled.share import Array, Share
from amphid.simulation.distributed.ranks import Ranks

GOING, STOPPING, FAILED = 0, 1, 2
ROOM = 256  # words of a first message


class Exchange:
    """Hands packets around between ranks, each of which steps one of the shares."""

    def __init__(self, ranks: Ranks, program: PartProgram, shares: list[Share]) -> None:
        self.ranks, self.shares, self.own = ranks, shares, program.share
        self.signals, self.kind = program.signals, np.dtype(program._type)
        self.counts = (program.trials, len(self.signals), program.packet_steps)
        self.head = 2 + int(np.prod(self.counts))
        self.room = ROOM
        self.ones = np.ones(0, self.kind)
        self.v = program.packet([]).v

    def handed_around(self, packet: Packet, status: int) -> tuple[Packet, int]:
        """What left all cells, and the gravest status of a rank."""
        counts, payload, valued = self._written(packet)
        message = np.zeros(self.head + self.room, np.int32)
        message[:2], message[2 : self.head] = (status, valued), counts.reshape(-1)
        message[self.head :][: len(payload)] = payload[: self.room]
        rows = self.ranks.gathered(torch.from_numpy(message)).numpy()
        needed = self._needed(rows)
        words = rows[:, self.head :]
        if max(needed) > self.room:
            whole = np.zeros(max(needed), np.int32)
            whole[: len(payload)] = payload
            words = self.ranks.gathered(torch.from_numpy(whole)).numpy()
        self.room = max(needed) * 5 // 4 + ROOM
        return self._read(rows[:, : self.head], words, packet.slots), int(rows[:, 0].max())

    def _written(self, packet: Packet) -> tuple[Array, Array, bool]:
        """Counts [trials, signals, P], words, and whether values are among them."""
        counts = np.zeros(self.counts, np.int32)
        cells: list[Array] = [np.zeros(0, np.int32)]
        released: list[Array] = [np.zeros(0, self.kind)]
        for number, signal in enumerate(self.signals):
            counts[:, number, : packet.slots] = np.diff(
                packet.starts[signal][:, 0, : packet.slots + 1]
            )
        for trial in range(self.counts[0]):
            for signal in self.signals:
                starts = packet.starts[signal][trial, 0]
                own = slice(starts[0], starts[packet.slots])
                cells.append(packet.cells[signal][trial, own])
                released.append(packet.released[signal][trial, own])
        values = np.concatenate(released)
        valued = bool((values != 1).any())
        v = packet.v[:, self.own.low : self.own.high].reshape(-1)
        parts = [np.concatenate(cells), *([values.view(np.int32)] if valued else [])]
        return counts, np.concatenate([*parts, v.view(np.int32)]), valued

    def _needed(self, rows: Array) -> list[int]:
        """How many words the payload of each rank has."""
        wide = self.kind.itemsize // 4
        totals = rows[:, 2 : self.head].sum(1, dtype=np.int64)
        own = [len(share) * len(self.v) * wide if self.v.size else 0 for share in self.shares]
        return [
            int(total * (1 + valued * wide)) + more
            for total, valued, more in zip(totals, rows[:, 1], own, strict=True)
        ]

    def _read(self, heads: Array, words: Array, slots: int) -> Packet:
        """A packet of all ranks, the cells of which stay where they are in the messages."""
        counts = heads[:, 2:].reshape(len(heads), *self.counts)
        ends = counts.reshape(len(heads), -1).cumsum(1, dtype=np.int64)
        ends += np.arange(len(heads))[:, None] * words.shape[1]
        ends = ends.reshape(counts.shape)
        starts = np.concatenate((ends[..., :1] - counts[..., :1], ends), -1).swapaxes(0, 1)
        released = self._released(heads, words)
        self._read_voltages(heads, words)
        flat = np.ascontiguousarray(words).reshape(-1)
        return Packet(
            {s: np.ascontiguousarray(starts[:, :, n]) for n, s in enumerate(self.signals)},
            dict.fromkeys(self.signals, self._for_each_trial(flat)),
            dict.fromkeys(self.signals, self._for_each_trial(released)),
            self.v,
            slots,
        )

    def _released(self, heads: Array, words: Array) -> Array:
        """The values beside the cells, wherever these stand."""
        if len(self.ones) < words.size:
            self.ones = np.ones(2 * words.size, self.kind)
        if not heads[:, 1].any():
            return self.ones
        values = np.ones(words.shape, self.kind)
        wide = self.kind.itemsize // 4
        for row, own, head in zip(values, words, heads, strict=True):
            total = int(head[2:].sum(dtype=np.int64))
            if head[1]:
                row[:total] = own[total : total * (1 + wide)].copy().view(self.kind)
        return values.reshape(-1)

    def _read_voltages(self, heads: Array, words: Array) -> None:
        if not self.v.size:
            return
        for own, share, needed in zip(words, self.shares, self._needed(heads), strict=True):
            size = len(share) * len(self.v) * self.kind.itemsize // 4
            v = own[needed - size : needed].copy().view(self.kind)
            self.v[:, share.low : share.high] = v.reshape(len(self.v), -1)

    def _for_each_trial(self, flat: Array) -> Array:
        """[trials, K] the same row for all."""
        shape, strides = (self.counts[0], len(flat)), (0, flat.itemsize)
        return np.lib.stride_tricks.as_strided(flat, shape, strides)
