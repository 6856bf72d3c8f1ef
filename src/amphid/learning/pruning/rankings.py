"""Which connections a network can do without: by size, by flow, by emergence, at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from amphid.learning.pruning.flow import shares
from amphid.learning.starting.order import WeightLayer
from amphid.measures.emerging.activity import Convention
from amphid.measures.emerging.emergence import active_units


class Ranking(Protocol):
    """What each connection is worth; the least are pruned first."""

    def __call__(
        self, model: nn.Module, layers: Sequence[WeightLayer], masks: Sequence[Tensor], inputs: Any
    ) -> list[Tensor]:
        """Scores shaped as the weights of layers, of which `masks` tell what is left."""


@dataclass(frozen=True)
class ByMagnitude:
    """Small weights go first.

    Reference: Han et al. 2015, doi 10.48550/arXiv.1506.02626.
    """

    def __call__(
        self, model: nn.Module, layers: Sequence[WeightLayer], masks: Sequence[Tensor], inputs: Any
    ) -> list[Tensor]:
        """Magnitudes."""
        return [layer.weight.detach().abs() for layer in layers]


@dataclass(frozen=True)
class AtRandom:
    """Any weight may go: the control. generator: draws."""

    generator: torch.Generator | None = None

    def __call__(
        self, model: nn.Module, layers: Sequence[WeightLayer], masks: Sequence[Tensor], inputs: Any
    ) -> list[Tensor]:
        """Random numbers."""
        drawn = (torch.rand(layer.weight.shape, generator=self.generator) for layer in layers)
        return [own.to(layer.weight) for own, layer in zip(drawn, layers, strict=True)]


@dataclass(frozen=True)
class BySynapticFlow:
    """Weights through which little flows from inputs to outputs go first; no data is looked at.

    Flow is the sum over all paths of the product of magnitudes along it. No layer is ever emptied
    if pruning goes in many rounds. inputs: one example is enough, only its shape counts.
    Reference: Tanaka et al. 2020, doi 10.48550/arXiv.2006.05467.
    """

    def __call__(
        self, model: nn.Module, layers: Sequence[WeightLayer], masks: Sequence[Tensor], inputs: Any
    ) -> list[Tensor]:
        """The share of the flow that each weight carries."""
        made, _ = active_units(model, inputs, None)
        sizes = [
            layer.weight.detach().abs() * mask for layer, mask in zip(layers, masks, strict=True)
        ]

        starts = {*made.inputs, *made.looked_up}

        def pass_on(number: int, flow: Tensor) -> Tensor:
            return torch.ones_like(flow) if number in starts else flow

        def outflow(arriving: Mapping[int, Tensor]) -> Tensor:
            return arriving[made.units[-1]].sum()

        return shares(model, made, layers, sizes, outflow, pass_on)


@dataclass(frozen=True)
class ByEmergence:
    """Weights that few of the paths of `measures.emergence` use go first.

    A score is the number of paths from silent units within the active part that would be missing
    without that connection, times the magnitude of the weight where `weighed`. Without that,
    weights between the same kinds of units are worth the same, and which goes is left to chance.

    What it costs: a path begins at a silent unit, so weights from inputs that are active carry none
    and go first, which blinds a net to its brightest inputs. A tenth of a net on digits chosen so
    reads 71 % of them, where a random tenth reads 95 % and the largest 98 % (`lottery-digits`,
    `--full`, 5 seeds). It says where the paths are; to keep accuracy take `ByMagnitude`.

    active: the convention, the usual one of `measures.emergence` when None. inputs: the batch by
    which units are silent or active.
    """

    weighed: bool = True
    active: Convention | None = None

    def __call__(
        self, model: nn.Module, layers: Sequence[WeightLayer], masks: Sequence[Tensor], inputs: Any
    ) -> list[Tensor]:
        """The number of paths through each connection."""
        made, active = active_units(model, inputs, self.active)
        paths = shares(model, made, layers, masks, _inside(active), _through(active))
        if not self.weighed:
            return paths
        return [own * layer.weight.detach().abs() for own, layer in zip(paths, layers, strict=True)]


def _through(active: Mapping[int, Tensor]) -> Any:
    """Silent units begin a path; active ones pass on what arrived."""

    def pass_on(number: int, flow: Tensor) -> Tensor:
        return torch.where(active[number], flow, 1.0)

    return pass_on


def _inside(active: Mapping[int, Tensor]) -> Any:
    def inside(arriving: Mapping[int, Tensor]) -> Tensor:
        ends = [(flow * active[number]).sum() for number, flow in arriving.items()]
        return torch.stack(ends).sum()

    return inside
