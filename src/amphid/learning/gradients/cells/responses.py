"""Perturb what arrives at each cell, and see what that cell gives out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from amphid.dynamics import Neuron
from amphid.learning.gradients.cells.arriving import Chosen, Entry, decides
from amphid.learning.gradients.cells.noise import Noise, check_noise
from amphid.learning.gradients.cells.passes import Passes
from amphid.learning.gradients.estimator import check_objective, leaf, over_parts
from amphid.learning.gradients.objective import Loss, Params
from amphid.learning.gradients.weak.calls import new_key
from amphid.learning.gradients.weak.schedules import Radius, at_call
from amphid.models import Recurrent


@dataclass(eq=False)
class CellPerturbation:
    r"""Backpropagation in which noise measures the slope of each cell: none is invented.

    .. math:: \frac{dL}{d\alpha_i^t} \approx \frac{1}{K} \sum_{k=1}^{K} \frac{\xi_{ki}^t}{\sigma^2}
              \sum_{s \ge t} e_i^s\,
              \frac{z_i^s(\alpha_i + \xi_{ki}) - z_i^s(\alpha_i - \xi_{ki})}{2}

    with what arrives at cell i, :math:`\alpha_i`, what it gives out, :math:`z_i`, the signal
    :math:`e_i = dL / dz_i` that comes back to it, and normal noise :math:`\xi` of standard
    deviation :math:`\sigma`. A cell answers for what it gives out itself, so that no other cell's
    noise enters; the network is run once, and only its cells again. Signals come back through all
    that lies between cells, and from the loss, by autograd. In the mean it is the chain rule with
    each cell smoothed by its noise, at the activity without noise; of a `BinaryThreshold` that is a
    surrogate in the shape of the noise.

    generator: draws the noise. samples: runs of the cells with noise, in pairs of opposite sign.
    radius: standard deviation in units of the root mean square of what arrives at a layer's cells,
    of the current itself when `absolute`; `Annealed(...)` changes it from call to call. steps: time
    steps that share a number of the noise. window: time steps after these, up to which what the
    cell gives out may be their doing; all that follow when None. cells: chooses the modules that
    are cells, each by itself: neurons that give out spikes or a release when None.

    In a `Recurrent` what one cell does to another through its projection is left out, as in
    `EProp`. The loss must be one that torch can differentiate by what the last cells give out; for
    others there is `ActivityPerturbation`.
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
        """The mean of the loss, and its gradients as far as the responses of cells tell them."""
        leaves = {name: leaf(value) for name, value in params.items()}
        key = new_key(self.generator)

        def one(part: Any) -> tuple[Tensor, Iterable[Tensor]]:
            objective = check_objective(part, "CellPerturbation")
            passes = Passes(objective, leaves, self.cells, self.steps, "CellPerturbation")
            with torch.enable_grad():
                value, entries = passes.heard()
            mean, after = value.mean(), passes.draws.now()
            ends = list(leaves.values())
            found = objective.within(leaves, self._gradients, mean, entries, ends, key)
            passes.draws.put(after)
            return mean, found

        value, gradients = over_parts(loss, params, one)
        self.calls += 1
        return value, gradients

    def state_dict(self) -> dict[str, int]:
        """How often it was called."""
        return {"calls": self.calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.calls = int(state["calls"])

    def _gradients(
        self, value: Tensor, entries: list[Entry], leaves: list[Tensor], key: int
    ) -> Iterable[Tensor]:
        """Gradients of a loss with respect to the leaves, from the last cells down to the first."""
        noise = Noise.of(self, entries, at_call(self.radius, self.calls))
        drawn = noise.drawn(key, self.samples // 2)
        wanted = [*leaves, *(entry.given for entry in entries)]
        signals = [torch.zeros_like(own) for own in wanted]
        _check_differentiable(value, entries)
        _add(signals, value, torch.ones_like(value), wanted)
        for place in range(len(entries) - 1, -1, -1):
            entry, signal = entries[place], signals[len(leaves) + place]
            up, down = noise.responses(place, drawn[place])
            weights = noise.caused(place, signal * (up - down) / 2, self.window)
            slope = noise.slope(place, drawn[place], weights)
            if entry.arriving.requires_grad:
                _add(signals, entry.arriving, slope, wanted)
        return signals[: len(leaves)]


def _add(signals: list[Tensor], end: Tensor, slope: Tensor, wanted: list[Tensor]) -> None:
    """Add to each signal what comes back to it from one end."""
    found = torch.autograd.grad(end, wanted, slope, allow_unused=True, retain_graph=True)
    for place, more in enumerate(found):
        if more is not None:
            signals[place] = signals[place] + more


def _check_differentiable(value: Tensor, entries: list[Entry]) -> None:
    if not value.requires_grad:
        raise TypeError(
            "CellPerturbation needs a loss that torch can differentiate by what the last cells "
            "give out, and this one carries no gradient. ActivityPerturbation takes any loss."
        )
    for entry in entries:
        neuron = getattr(entry.cells, "neuron", None)
        if isinstance(neuron, Neuron) and not isinstance(entry.cells, Neuron | Recurrent):
            raise TypeError(
                f"CellPerturbation takes neurons and Recurrent, but {entry.name!r} is a "
                f"{type(entry.cells).__name__}, whose cells reach one another in ways of their "
                "own. ActivityPerturbation takes it."
            )
