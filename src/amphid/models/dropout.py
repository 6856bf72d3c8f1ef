"""Dropout for sequences: what is dropped stays dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.models.layer import Layer, check_sequence, check_state, nothing


class Dropout(Layer):
    """Cells that are silent for a whole sequence while training; nothing happens in evaluation.

    One mask [*B, N] holds over time: a fresh one at every step, as `nn.Dropout` draws it, averages
    out over a membrane's time constant. What is left is scaled by 1 / (1 - p), so means stay. The
    mask is the state, so that a sequence in pieces has one mask.

    p: the share that is dropped. maps: True drops whole maps of [T, *B, C, H, W] at once.
    generator: what draws; torch's own when None.
    Reference: Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html.
    """

    def __init__(
        self, p: float = 0.5, *, maps: bool = False, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not (isinstance(p, (int, float)) and 0 <= p < 1):
            raise ValueError(f"Dropout: p must be at least 0 and below 1, got {p!r}.")
        self.p, self.maps, self.generator = float(p), maps, generator
        self._values += ("p", "maps")

    def run(
        self, x: Tensor, state: Tensor | tuple[()] | None = None, dt: float = 1.0
    ) -> tuple[Tensor, Tensor | tuple[()]]:
        """The input [T, *B, N] without the cells that are dropped, and the mask."""
        check_sequence(self, x)
        if not self.training:
            return x, ()
        mask = state if isinstance(state, Tensor) and not nothing(state) else self._drawn(x)
        shape = (*x.shape[1:-2], 1, 1) if self.maps else x.shape[1:]
        check_state(self, mask, torch.Size(shape), "a mask")
        return x * mask, mask

    def _drawn(self, x: Tensor) -> Tensor:
        shape = (*x.shape[1:-2], 1, 1) if self.maps else x.shape[1:]
        if self.maps and x.dim() < 4:
            raise ValueError(
                "Dropout with maps=True takes [T, *B, C, H, W], whose last two axes are space; got "
                f"shape {list(x.shape)}."
            )
        place = x.device if self.generator is None else self.generator.device
        kept = torch.rand(shape, generator=self.generator, device=place) >= self.p
        return kept.to(x.device, x.dtype) / (1 - self.p)
