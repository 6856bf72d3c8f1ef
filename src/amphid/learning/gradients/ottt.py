"""Gradients by a trace of what arrives, one for all cells of a layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import Neuron
from amphid.dynamics.neuron import MembraneNeuron
from amphid.learning.gradients.blocks import rows
from amphid.learning.gradients.eligibility import variables
from amphid.learning.gradients.layerwise import Layerwise, Passage
from amphid.learning.gradients.objective import Params, within


class OTTT(Layerwise):
    r"""Online training through time: the present slope of each cell times a trace of its input.

    .. math:: \frac{dE}{dw_{ji}} \approx \sum_t g_j^t\, \hat a_i^t, \qquad
              \hat a_i^t = \lambda \hat a_i^{t-1} + x_i^t, \qquad
              g_j^t = L_j^t \frac{\partial z_j^t}{\partial I_j^t}

    with inputs x, currents I and outputs z of the cells, :math:`\lambda` what the membrane keeps in
    a step, and learning signals :math:`L^t` that come down through the layers above within the step
    t. Resets, adaptations and recurrent paths are left out, so a trace is a number for each example
    and input, not for each weight. It is the gradient of a layer of cells that nothing but
    layers without memory or a readout follow, whose reset takes the threshold off
    (`LIF(v_reset=None)`) and is not differentiated.

    feedback: by which weights learning signals come down through each `Linear`:
        `SymmetricFeedback()`, `RandomFeedback(generator)` or `AdaptiveFeedback(...)`.

    The model is one for `EProp`, of cells whose membrane leaks at a rate of its own, such as `LIF`;
    it trains weights and biases, not values of neurons.
    Reference: Xiao et al. 2022, doi 10.48550/arXiv.2210.04195.
    """

    kinds = ("linear", "back")

    def pass_down(self, passage: Passage, params: Params) -> tuple[Params, Tensor | None]:
        """Gradients by traces; the signal goes down within each step."""
        block, arriving, given, signal, _, dt = passage
        with torch.no_grad():
            left = _left(block.neuron[1], given[0], dt)
            reached = signal * block.slope(arriving, given, dt)
            own = {
                name: _gathered(passage, *what, reached, left).sum_to_size(params[name].shape)
                for name, what in self.learned(block, params).items()
            }
        return own, passage.down(block.current(arriving), reached)


def _left(neuron: Neuron[Any], like: Tensor, dt: float) -> Tensor:
    """What a membrane keeps of its voltage in a step, one number or one for each cell [N]."""
    if not isinstance(neuron, MembraneNeuron):
        raise TypeError(f"OTTT needs cells with a membrane, but {type(neuron).__name__} has none.")
    leaves, tree = variables(neuron, like)
    held = {name: value.detach() for name, value in neuron.named_parameters()}
    with torch.enable_grad():
        state = pytree.tree_unflatten([x.detach().requires_grad_() for x in leaves], tree)
        membrane = within(neuron, held, neuron.membrane, state)
        rate = like.new_zeros(()) + membrane.conductance / membrane.capacitance
    if rate.requires_grad:
        raise TypeError(
            "OTTT needs a membrane that leaks at a rate of its own, as that of LIF does; that of "
            f"{type(neuron).__name__} depends on its state. Take EProp or OSTL."
        )
    return torch.exp(-dt * rate)


def _gathered(passage: Passage, kind: str, own: str, reached: Tensor, left: Tensor) -> Tensor:
    """The gradient of a parameter, of what reached the cells' currents [T, *B, N]."""
    block, onto = passage.block, rows(reached)
    if kind == "back" and (wires := block.wires(rows(block.heard(passage.given)), passage.dt)):
        left = left.expand(onto.shape[-1])[wires.post] if left.dim() else left
        fed = (wires.arriving(t) for t in range(len(onto)))
        return _by_trace(fed, onto[..., wires.post], left, "re,re->e")
    if kind == "linear" and block.gain is not None:
        onto = onto * block.gain.gain
    if own == "bias":
        return _by_trace(torch.ones_like(onto), onto, left, "rn,rn->n")
    into = rows(passage.arriving if kind == "linear" else block.heard(passage.given))
    left = left[:, None] if left.dim() else left
    return _by_trace(into.unsqueeze(2), onto, left, "rn,rnm->nm")


def _by_trace(into: Iterable[Tensor], onto: Tensor, left: Tensor, over: str) -> Tensor:
    """The sum over time of signals [T, R, N] times the trace of what arrived."""
    trace = gathered = torch.zeros_like(left)
    for arriving, signal in zip(into, onto, strict=True):
        trace = left * trace + arriving
        gathered = gathered + torch.einsum(over, signal, trace)
    return gathered
