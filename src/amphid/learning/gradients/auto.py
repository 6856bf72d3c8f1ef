"""An estimator that looks at a loss first and then decides how to find its gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from amphid.learning.gradients.backprop import Backprop
from amphid.learning.gradients.cells.activity import ActivityPerturbation
from amphid.learning.gradients.corrected import Corrected
from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.grouped import held_at
from amphid.learning.gradients.objective import Loss, Objective, Params
from amphid.learning.gradients.then import remember, remembered
from amphid.learning.gradients.weak.mollified import Mollified
from amphid.learning.gradients.weak.settings import check_generator
from amphid.learning.surrogate_audit import trend_angle

WIDE, NARROW = 0.3, 0.1  # radii
CURVED = 0.25  # odd over even variance, below which the narrow radius is taken
TRUSTED, USEFUL = 0.5, 0.2  # cosines with the trend
STEEP = 10.0  # times the trend, from which a gradient is clipped
MANY = 2000  # weights, from which noise on cells is better


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    weak: parameters whose gradient is found by losses alone. exact: those that autograd is asked
    for. corrected: whether a weak gradient corrects it. clip_norm: to which it is shortened.
    radius: of perturbations. activity: whether what arrives at cells is perturbed, not weights.
    reasons: sentences.
    """

    weak: tuple[str, ...]
    exact: tuple[str, ...]
    corrected: bool = False
    clip_norm: float | None = None
    radius: float = WIDE
    activity: bool = False
    reasons: tuple[str, ...] = ()


class Auto:
    """Chooses an estimator at its first call, by a few hundred losses, and says why.

    Autograd is trusted where its gradient is finite, not zero, and goes with the slope of the loss
    within a radius; it is clipped where it is far steeper than that, corrected by a weak gradient
    where it agrees but little, and left aside where it does not. Parameters that it knows no
    gradient of, though the loss moves with them, get a weak one, beside the exact one of all
    others. Where these are many weights of cells, noise on what arrives at the cells is taken.

    generator: decides every draw, the probes too. samples: losses for each weak gradient. probes:
    losses for the choice. Print it, or read `choice`, after the first call. A fit that goes on
    keeps its choice.
    """

    def __init__(self, generator: torch.Generator, samples: int = 8, probes: int = 256) -> None:
        check_generator(generator)
        if probes < 32:
            raise ValueError(f"probes must be at least 32, got {probes!r}.")
        self.generator, self.samples, self.probes = generator, samples, probes
        self.choice: Choice | None = None
        self._made: dict[str, Estimator] = {}

    def __repr__(self) -> str:
        return f"Auto(samples={self.samples}, probes={self.probes})"

    def __str__(self) -> str:
        if self.choice is None:
            return "Nothing was chosen yet: the first call does."
        return "\n".join(self.choice.reasons)

    def __call__(self, loss: Loss, params: Params) -> tuple[Tensor, Params]:
        """The value of the loss and the gradients that the chosen estimators give."""
        if self.choice is None:
            self._take(self._chosen(loss, params))
        assert self.choice is not None
        found: Params = {}
        values = []
        for part, names in (("exact", self.choice.exact), ("weak", self.choice.weak)):
            if names:
                own = {name: params[name] for name in names}
                others = {name: held.detach() for name, held in params.items() if name not in own}
                value, gradients = self._made[part](held_at(loss, others), own)
                values.append(value)
                found |= gradients
        return values[0], {name: found[name] for name in params}

    def report(self) -> str:
        """Why it chose what it chose."""
        return str(self)

    def state_dict(self) -> dict[str, Any]:
        """What was chosen, and what the chosen ones remember."""
        choice = None if self.choice is None else asdict(self.choice)
        return {"choice": choice, **remembered(**self._made)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with that choice."""
        if state["choice"] is not None:
            self._take(Choice(**state["choice"]))
            remember(state, **self._made)

    def _take(self, choice: Choice) -> None:
        """Make the estimators of a choice."""
        weak = Mollified(self.generator, samples=self.samples, radius=choice.radius)
        exact: Estimator = Backprop(clip_norm=choice.clip_norm)
        if choice.corrected:
            exact = Corrected(exact, weak)
        own: Estimator = ActivityPerturbation(self.generator) if choice.activity else weak
        self.choice = choice
        self._made = {"exact": exact, "weak": own}

    def _chosen(self, loss: Loss, params: Params) -> Choice:
        slope = _gradient(loss, params)
        if slope is None:
            return self._all_weak(loss, params, "The loss carries no gradient that autograd knows.")
        if not all(own.isfinite().all() for own in slope.values()):
            return self._all_weak(loss, params, "The gradient of autograd is not finite.")
        dead = [name for name, own in slope.items() if not own.any()]
        moving = tuple(name for name in dead if self._moves(loss, params, name))
        if len(moving) == len(params):
            return self._all_weak(loss, params, "The gradient of autograd is zero everywhere.")
        live = {name: held for name, held in params.items() if name not in moving}
        if not moving:
            return self._judged(loss, params, slope)
        said = (
            f"Autograd knows no gradient of {', '.join(moving)}, though the loss moves with it: "
            "that one is weak, and exact for the others."
        )
        return self._weakly(loss, params, moving, tuple(live), said)

    def _judged(self, loss: Loss, params: Params, slope: Params) -> Choice:
        """What a gradient is worth beside the trend."""
        cosine, error, steepness = trend_angle(
            loss, params, slope, radius=WIDE, samples=self.probes, generator=self.generator
        )
        said = f"The gradient of autograd has a cosine of {cosine:.2f} (+-{error:.2f}) with the "
        said += f"slope of the loss within {WIDE:g} of each weight, and is {steepness:.2g} times "
        said += "as steep"
        names = tuple(params)
        if math.isnan(cosine):
            return Choice((), names, reasons=("The slope of the loss is lost in noise: Backprop.",))
        if cosine < USEFUL:
            return self._all_weak(loss, params, f"{said}: it is no guide.")
        clip = _norm(slope) / steepness if steepness > STEEP else None
        if cosine < TRUSTED:
            radius, why = self._radius(loss, params)
            reasons = (f"{said}: it is corrected by a weak gradient.", why)
            return Choice((), names, corrected=True, clip_norm=clip, radius=radius, reasons=reasons)
        end = "it is trusted." if clip is None else f"it is trusted, and clipped to {clip:.3g}."
        return Choice((), names, clip_norm=clip, reasons=(f"{said}: {end}",))

    def _all_weak(self, loss: Loss, params: Params, why: str) -> Choice:
        return self._weakly(loss, params, tuple(params), (), why)

    def _weakly(
        self, loss: Loss, params: Params, weak: tuple[str, ...], exact: tuple[str, ...], why: str
    ) -> Choice:
        """Some parameters by losses alone: of cells where they are many, else by a radius."""
        count = sum(params[name].numel() for name in weak)
        if count > MANY and _has_cells(loss, params, self.generator):
            said = f"These are {count:,} weights: noise on what arrives at the cells is less."
            return Choice(tuple(params), (), activity=True, reasons=(why, said))
        own = {name: params[name] for name in weak}
        others = {name: held.detach() for name, held in params.items() if name not in own}
        radius, said = self._radius(held_at(loss, others), own)
        return Choice(weak, exact, radius=radius, reasons=(why, said))

    def _radius(self, loss: Loss, params: Params) -> tuple[float, str]:
        probe = Mollified(self.generator, samples=32, radius=WIDE)
        probe(loss, params)
        share = probe.report().odd_even
        if share is not None and share < CURVED:
            return NARROW, f"Within {WIDE:g} the loss curves more than it slopes: {NARROW:g}."
        return WIDE, f"Within {WIDE:g} the loss slopes enough: that is the radius."

    def _moves(self, loss: Loss, params: Params, name: str) -> bool:
        """Whether a loss changes with one parameter, all others held."""
        others = {key: held.detach() for key, held in params.items() if key != name}
        probe = Mollified(self.generator, samples=16, radius=WIDE)
        _, found = probe(held_at(loss, others), {name: params[name]})
        return bool(found[name].any())


def _gradient(loss: Loss, params: Params) -> Params | None:
    try:
        return Backprop()(loss, params)[1]
    except Exception:  # a black box may raise anything when it is handed what records gradients
        return None


def _has_cells(loss: Loss, params: Params, generator: torch.Generator) -> bool:
    """Whether noise can be put on what arrives at cells, and leads to all parameters."""
    if not isinstance(getattr(loss, "parts", (loss,))[0], Objective):
        return False
    try:
        found = ActivityPerturbation(generator)(loss, params)[1]
    except (TypeError, ValueError):
        return False
    return all(bool(own.any()) for own in found.values())


def _norm(slope: Params) -> float:
    return float(torch.cat([own.flatten() for own in slope.values()]).norm())
