"""One factor for every layer: geometric from the middle outwards, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from amphid.learning.starting.order import WeightLayer, depth_of

SCALED = "_scaled_by"
USUAL = 1.1
FASTEST = 100.0  # times its rate without scales that SGD may move a bias by


@dataclass(frozen=True)
class Started:
    """What an initialization did.

    factors: what weights were multiplied by over their base, by the name of the parameter; empty
    for a rule that draws them. drawn: names of weights that were drawn. kept: names of all other
    parameters, which stayed as they were.
    """

    factors: dict[str, float]
    drawn: tuple[str, ...]
    kept: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{name}: x {factor:.4g}" for name, factor in self.factors.items()]
        lines += [f"{name}: drawn" for name in self.drawn if name not in self.factors]
        return "\n".join([*lines, f"kept: {', '.join(self.kept) or 'nothing'}"])


def scales(alpha: float | None, depth: int) -> list[float]:
    """Factors of `depth` layers, alpha ** n with n counted outwards from the middle.

    The first half has negative n, the second positive; of an odd number the middle one has 0. Their
    product is one. alpha: `usual_alpha` of the depth when None.
    """
    if alpha is not None and (not isinstance(alpha, Real) or not 0 < alpha < float("inf")):
        raise ValueError(f"alpha must be a number above zero, got {alpha!r}.")
    base, half = float(usual_alpha(depth) if alpha is None else alpha), depth // 2
    outwards = [*range(-half, 0), *([0] if depth % 2 else []), *range(1, half + 1)]
    return [base**n for n in outwards]


def usual_alpha(depth: int) -> float:
    r"""1.1 up to a depth of 13 layers, and less in deeper ones: 1.043 for 20, 1.007 for 50.

    .. math:: \min(1.1,\; 100^{1 / m (m + 1)}), \qquad m = \lfloor L / 2 \rfloor

    SGD moves a bias in the middle of a scaled net :math:`\alpha^{m (m + 1)}` times as fast as in
    one that is not (see `layer_rates`), and this keeps that below 100. Our own rule, not a
    published one: at a fixed 1.1, where it is 36,000 times, 20 layers do not train.
    """
    half = depth // 2
    return min(USUAL, FASTEST ** (1 / (half * (half + 1)))) if half else USUAL


@dataclass(frozen=True)
class Emergence:
    r"""Early layers start smaller and late ones larger, geometrically from the middle.

    .. math:: W_{-n} \leftarrow \alpha^{-n} W_{-n}, \qquad W_n \leftarrow \alpha^n W_n

    Layers are numbered by how deep they are used: those side by side, such as the projections to
    queries, keys and values, or the one on a skip connection, have one number. Weights of two axes
    or more are scaled; biases, norms, embeddings and weights tied to them are left alone. The
    product over levels is one, so that a stack of rectified layers without bias computes what it
    did. Where the function does change: biases that are not zero; residual branches, whose share
    beside the skip connection changes; attention, whose logits are scaled by that level; and a net
    with norms, in which only the last level after the last norm is felt, so that outputs are
    multiplied by its factor.

    alpha: above 1; 1 is the control and below 1 the reverse; `usual_alpha` of the depth when None,
    which is 1.1 up to 13 levels. base: drawn first, such as `Kaiming()`; what the weights are when
    None. Then it is idempotent: weights that still are what it made of them are not scaled again,
    but taken from one alpha to the other.

    For rectified nets it is the same training as the base with a learning rate of its own for each
    layer, see `layer_rates`, which does it without the two failures of this one: biases in the
    middle that are moved much too fast (lr / c^2, with c the product of factors so far), and
    outputs that start too large after norms. It does not beat a tuned Kaiming: over the ten nets of
    `emergence-init` (`--full`, seed 0), each at its best rate, steps to a training loss over those
    of Kaiming are 0.98 (0.79 to 1.10) for the usual alpha and 1.02 (0.89 to 1.69) for 1.25. Over
    the five without norms they are 0.79 (0.56 to 0.97), half in a transformer; with norms 1.05
    (0.97 to 1.58). 20 layers do not train at 1.1, which is why the usual alpha is less there.
    Surely below one over all nets are orthogonal weights, 0.90 (0.84 to 0.96), with which
    `initialize` starts when it is told nothing, and LSUV, 0.83 (0.63 to 0.94).

    Reference: Li et al. 2024, doi 10.48550/arXiv.2407.19044.
    """

    alpha: float | None = None
    base: Any = None

    def __call__(self, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any) -> Started:
        """Scale the weights of those layers."""
        drawn = base_drawn(self.base, model, layers, inputs)
        return scaled(model, layers, scales(self.alpha, depth_of(layers)), drawn)


@dataclass(frozen=True)
class PermutedScales:
    """The factors of `Emergence` in a random order of the levels: the control for their order.

    alpha, base: as of `Emergence`. generator: draws the order.
    """

    alpha: float | None = None
    base: Any = None
    generator: torch.Generator | None = None

    def __call__(self, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any) -> Started:
        """Scale the weights of those layers."""
        factors = scales(self.alpha, depth_of(layers))
        order = torch.randperm(len(factors), generator=self.generator).tolist()
        drawn = base_drawn(self.base, model, layers, inputs)
        return scaled(model, layers, [factors[place] for place in order], drawn)


def scaled(
    model: nn.Module,
    layers: Sequence[WeightLayer],
    factors: Sequence[float],
    drawn: tuple[str, ...] = (),
) -> Started:
    """Weights multiplied by the factor of their level, over what they were before any scaling."""
    told = {}
    for layer in layers:
        parent, _, key = layer.name.rpartition(".")
        module = model.get_submodule(parent)
        record = vars(module).setdefault(SCALED, {})
        factor = factors[layer.level]
        layer.weight.mul_(factor / _factor_of(record.get(key), layer.weight))
        record[key] = (factor, _size(layer.weight))
        told[layer.name] = factor
    names = [name for name, _ in model.named_parameters()]
    changed = {*told, *drawn}
    return Started(told, drawn, tuple(name for name in names if name not in changed))


def take_records(model: nn.Module, twin: nn.Module) -> None:
    """Tell a model what its copy was scaled by, of weights as they are in the model."""
    for place, module in twin.named_modules():
        if record := vars(module).get(SCALED):
            own = model.get_submodule(place)
            vars(own)[SCALED] = {
                key: (factor, _size(getattr(own, key))) for key, (factor, _) in record.items()
            }


def _factor_of(record: tuple[float, float] | None, weight: Tensor) -> float:
    """What a weight was multiplied by, where it still is what that made of it."""
    return record[0] if record and record[1] == _size(weight) else 1.0


def _size(weight: Tensor) -> float:
    return float(weight.detach().double().norm())


def base_drawn(
    base: Any, model: nn.Module, layers: Sequence[WeightLayer], inputs: Any
) -> tuple[str, ...]:
    """Let a base draw the weights, if there is one; the names of what it drew."""
    if base is None:
        return ()
    if not callable(base) or isinstance(base, type):
        raise TypeError(f"base must be an initialization such as Kaiming(), got {base!r}.")
    started: Started = base(model, layers, inputs)
    for layer in layers:
        parent, _, key = layer.name.rpartition(".")
        vars(model.get_submodule(parent)).get(SCALED, {}).pop(key, None)
    return started.drawn
