"""Gradients carried forward in time within each layer, handed down in space between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from amphid.learning.gradients.blocks import Block
from amphid.learning.gradients.eligibility import Carried, Slopes, Trace
from amphid.learning.gradients.layerwise import Layerwise, Passage
from amphid.learning.gradients.objective import Params


class OSTL(Layerwise):
    r"""Online spatio-temporal learning: time within a layer in full, between layers the moment.

    .. math:: \frac{dE}{d\theta_l} \approx \sum_t L_l^t \frac{dz_l^t}{d\theta_l}, \qquad
              L_l^t = L_{l+1}^t \frac{\partial z_{l+1}^t}{\partial I_{l+1}^t}
              \frac{\partial I_{l+1}^t}{\partial z_l^t}

    with outputs z and currents I of the cells of layer l. The derivative within a layer is the
    whole one, through the states of its cells and through their recurrent connections; what an
    upper layer makes of a spike in later steps is left out. With one layer of cells it is the
    gradient. Of a layer without recurrent connections it carries a number for each variable of the
    state, example and weight, of a recurrent one for each of these and each of its cells.

    feedback: by which weights learning signals come down through each `Linear`:
        `SymmetricFeedback()`, `RandomFeedback(generator)` or `AdaptiveFeedback(...)`.

    The model is one for `EProp`, with projections that are a `Linear`. What comes after the last
    cells that fire, such as a readout, is differentiated as it is.
    Reference: Bohnstingl et al. 2023, doi 10.1109/TNNLS.2022.3153985.
    """

    def pass_down(self, passage: Passage, params: Params) -> tuple[Params, Tensor | None]:
        """Gradients of a layer in full; the signal goes down within each step."""
        block, arriving, given, signal, below, dt = passage
        with torch.no_grad():
            own = block.gradients(arriving, given, signal, params, dt, _trace(block))
            if below is None:
                return own, None
            slope = block.slope(arriving, given, dt)
        return own, passage.down(block.current(arriving), signal * slope)


def _trace(block: Block) -> Callable[[], Carried]:
    """What is carried forward in the cells of a block."""
    if block.back is None:
        return Trace
    name, back = block.back
    if not isinstance(back, nn.Linear):
        raise TypeError(
            f"OSTL needs a recurrent projection that is a Linear, but {name} is a "
            f"{type(back).__name__}: take EProp, or RTRL for a small model."
        )
    return partial(_Spread, back.weight)


class _Spread:
    r"""How all cells of a layer depend on the parameters of one of them, carried forward.

    .. math:: D^t = \frac{\partial h^t}{\partial h^{t-1}} D^{t-1}
              + \frac{\partial h^t}{\partial I^t} W Z^{t-1} + \frac{\partial h^t}{\partial \theta}

    for states, D, and for outputs, Z, with recurrent weights W.
    """

    def __init__(self, back: Tensor) -> None:
        self.back = back  # [N, N]
        self.carried: Tensor | None = None  # [S + 1, R, N, cell of the parameter N, M]
        self.gradient: Tensor | None = None  # [N, M]

    def step(self, slopes: Slopes, by: Tensor, signal: Tensor) -> None:
        """Go one step: slopes by the parameter [S + 1, R, N, M], L [R, N]."""
        reached = torch.diag_embed(by.movedim(-1, 0)).movedim(0, -1)
        if self.carried is not None:
            *states, outputs = self.carried
            reached = reached + torch.einsum("osrn,srnkm->ornkm", slopes.state, torch.stack(states))
            arriving = torch.einsum("nj,rjkm->rnkm", self.back, outputs)
            reached = reached + slopes.current[..., None, None] * arriving
        self.carried = reached
        more = torch.einsum("rn,rnkm->km", signal, reached[-1])
        self.gradient = more if self.gradient is None else self.gradient + more
