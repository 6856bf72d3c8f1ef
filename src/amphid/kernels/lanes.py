"""Copies of cells side by side, as coupled cells are stepped."""

from __future__ import annotations

import torch
from torch import Tensor

LANES = 8  # copies that are stepped side by side, in one register


class Lanes:
    """Copies [B] of N cells as chunks of `lanes` copies, the last chunk filled up with its last."""

    def __init__(self, copies: int, size: int) -> None:
        self.copies, self.size = copies, size
        self.lanes = LANES if copies > LANES // 2 else 1
        self.chunks = -(-copies // self.lanes)

    def cells(self, tensor: Tensor) -> Tensor:
        """[C, N * lanes] of [B, N], or of what broadcasts to it."""
        return self.rows(tensor.expand(1, self.copies, self.size))[:, 0]

    def rows(self, tensor: Tensor) -> Tensor:
        """[C, T, N * lanes] of [T, B, N]."""
        steps, missing = len(tensor), self.chunks * self.lanes - self.copies
        if missing:
            fill = tensor[:, -1:].expand(-1, missing, -1)
            tensor = torch.cat((tensor, fill), 1)
        parts = tensor.reshape(steps, self.chunks, self.lanes, self.size)
        return parts.permute(1, 0, 3, 2).reshape(self.chunks, steps, -1)

    def back(self, rows: Tensor) -> Tensor:
        """[T, B, N] of [C, T, N * lanes]."""
        parts = rows.view(self.chunks, -1, self.size, self.lanes).permute(1, 0, 3, 2)
        return parts.reshape(parts.shape[0], -1, self.size)[:, : self.copies]
