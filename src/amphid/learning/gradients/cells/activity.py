"""Perturb what arrives at cells, and see which losses it changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from amphid.learning.gradients.cells.arriving import Chosen, Entry, decides
from amphid.learning.gradients.cells.blame import Blame, Owners, one_each
from amphid.learning.gradients.cells.noise import Noise, check_noise
from amphid.learning.gradients.cells.passes import Passes
from amphid.learning.gradients.estimator import check_objective, leaf, over_parts
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.weak.calls import new_key
from amphid.learning.gradients.weak.schedules import Radius, at_call


@dataclass(eq=False)
class ActivityPerturbation:
    r"""Gradients by noise on what arrives at cells: the losses that follow tell what it was worth.

    .. math:: \frac{dL}{d\alpha_b} \approx \frac{1}{K} \sum_{k=1}^{K}
              \frac{L_b(\alpha + \xi_k) - L_b(\alpha - \xi_k)}{2 \sigma^2}\, \xi_{kb}, \qquad
              \frac{dL}{dW} = \sum_b \frac{dL}{d\alpha_b} x_b^\top

    with what arrives at the cells of all layers, :math:`\alpha = W x`, in example b, and normal
    noise :math:`\xi` of standard deviation :math:`\sigma`. It is the gradient of the loss smoothed
    by that noise. There are far fewer cells than weights, and each example has a loss of its own:
    give a loss with an entry for each example, such as `Credited(criterion, examples=True)` or one
    with reduction="none". A cell that spikes is blamed only where its own pair of noise, on what
    arrives without any, makes it spike differently: noise that changes no spike tells nothing, in
    the mean. Nothing of the cells is differentiated. What leads to them, such as a `Linear`, a
    convolution, a `Gain`, or the projection of a `Recurrent`, is differentiated by itself, and so
    is what comes after the last of them, as far as torch can.

    generator: draws the noise. samples: runs with noise, in pairs of opposite sign, all side by
    side in the batch; what comes before the first cells is computed once. radius: standard
    deviation in units of the root mean square of what arrives at a layer's cells, of the current
    itself when `absolute`; `Annealed(...)` changes it from call to call. steps: time steps that
    share a number of the noise. window: where the loss is asked apart for blocks of time, time
    steps after the noise up to which it is blamed; all that follow when None. Earlier ones never
    are. cells: chooses the modules whose input is perturbed: neurons that give out spikes or a
    release when None.
    Reference: Werfel, Xie & Seung 2005, doi 10.1162/089976605774320539; for spiking cells
    Fiete & Seung 2006, doi 10.1103/PhysRevLett.97.048104.
    """

    generator: torch.Generator = field(repr=False)
    samples: int = 2
    radius: Radius = 0.5
    absolute: bool = False
    steps: int | None = None
    window: int | None = None
    cells: Chosen = field(default=decides, repr=False)
    calls: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_noise(self)

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The mean of the loss, and its gradients as far as the noise tells them."""
        leaves = {name: leaf(value) for name, value in params.items()}
        key = new_key(self.generator)

        def one(part: Any) -> tuple[Tensor, Iterable[Tensor]]:
            objective = check_objective(part, "ActivityPerturbation")
            passes = Passes(objective, leaves, self.cells, self.steps, "ActivityPerturbation")
            with torch.enable_grad():
                value, entries = passes.heard()
            given = passes, entries, value.detach(), key
            slopes = objective.within(leaves, self._slopes, *given)
            return value.mean(), chained(value.mean(), entries, slopes, leaves)

        value, gradients = over_parts(loss, params, one)
        self.calls += 1
        return value, gradients

    def state_dict(self) -> dict[str, int]:
        """How often it was called."""
        return {"calls": self.calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.calls = int(state["calls"])

    def _slopes(
        self, passes: Passes, entries: list[Entry], value: Tensor, key: int
    ) -> list[Tensor]:
        """The gradient with respect to what arrives at each entry [T, *B, N]."""
        noise = Noise.of(self, entries, at_call(self.radius, self.calls))
        owners = Owners.of(passes.objective, value)
        blame = Blame(owners, self.steps or 1, self.window)
        drawn = noise.drawn(key, self.samples // 2)
        losses = passes.losses([torch.cat((own, -own)) for own in drawn])
        up, down = losses.unflatten(0, (2, -1)).unbind(0)
        change = (up - down) / (2 * max(value.numel(), 1))
        found = []
        for place, entry in enumerate(entries):
            weights = blame(change, entry, alone=one_each(passes.objective, entry))
            if entry.decides_alone:
                window = None if owners.block is None else self.window
                weights = weights * _mattered(noise, place, drawn[place], window)
            found.append(noise.slope(place, drawn[place], weights))
        return found


def _mattered(noise: Noise, place: int, drawn: Tensor, window: int | None) -> Tensor:
    """One where the noise [K, ...] changed what its own cell gave out from then on, else 0."""
    up, down = noise.responses(place, drawn)
    changed = noise.caused(place, (up != down).to(drawn), window)
    return (changed > 0.5).to(drawn)


def chained(
    value: Tensor, entries: Sequence[Entry], slopes: Sequence[Tensor], leaves: Params
) -> tuple[Tensor, ...]:
    """Gradients of a loss, through what follows the last cells and through what leads to each."""
    ends = [(value, torch.ones_like(value))]
    ends += [(entry.arriving, slope) for entry, slope in zip(entries, slopes, strict=True)]
    known = [(end, slope) for end, slope in ends if end.requires_grad]
    if not known:
        raise ValueError(
            "no trained parameter leads to cells or comes after them: check that the optimizer's "
            "parameters are used by the model."
        )
    outputs, directions = zip(*known, strict=True)
    return torch.autograd.grad(
        outputs, list(leaves.values()), directions, allow_unused=True, materialize_grads=True
    )
