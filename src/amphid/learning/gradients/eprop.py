"""Gradients carried forward in time, cell by cell: eligibility propagation."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.learning.gradients.layerwise import Layerwise, Passage
from amphid.learning.gradients.objective import Params


class EProp(Layerwise):
    r"""Eligibility propagation: each weight remembers what it did, and an error tells what for.

    .. math:: \frac{dE}{dw_{ji}} \approx \sum_t L_j^t\, e_{ji}^t, \qquad
              e_{ji}^t = \frac{\partial z_j^t}{\partial h_j^t} \epsilon_{ji}^t, \qquad
              \epsilon_{ji}^t = \frac{\partial h_j^t}{\partial h_j^{t-1}} \epsilon_{ji}^{t-1}
              + \frac{\partial h_j^t}{\partial w_{ji}}

    with states h, outputs z of the cells, and learning signals :math:`L_j^t = dE / dz_j^t` that
    reach a cell through the layers above it, not through its neighbours. It is the gradient but
    for what one cell does to another through their recurrent connections: where there are none it
    is the gradient. The derivatives are those of the `step` of any neuron in which no cell sees
    another. Memory for the eligibilities does not grow with time: a number for each variable of
    the state, example, and weight.

    feedback: by which weights learning signals come down through each `Linear`:
        `SymmetricFeedback()`, `RandomFeedback(generator)` or `AdaptiveFeedback(...)`.

    The model is a `Sequential` in which each layer of cells that fire is a neuron, or recurrent
    with a projection that is a `Linear` or `Connections`, and may have a `Linear` before it, also
    with a `Gain` between: weights of these and values of the neurons are learned by eligibility.
    What comes after the last cells that fire, such as a readout, is differentiated as it is. Of
    several layers the upper ones carry signals down through time, with their recurrent connections
    cut.
    Reference: Bellec et al. 2020, doi 10.1038/s41467-020-17236-y.
    """

    def pass_down(self, passage: Passage, params: Params) -> tuple[Params, Tensor | None]:
        """Gradients by eligibility; the signal goes down through time."""
        block, arriving, given, signal, below, dt = passage
        with torch.no_grad():
            own = block.gradients(arriving, given, signal, params, dt)
        if below is None:
            return own, None
        return own, passage.down(block.cut(arriving, given.detach(), dt), signal)
