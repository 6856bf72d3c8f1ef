"""Networks without what was pruned, so that they compute less."""

from __future__ import annotations

from itertools import pairwise
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as masking

from amphid.dynamics import Neuron
from amphid.learning.starting.computed import copied
from amphid.models import BatchNorm, Dropout, Gain, Repeat, SpikeCount, TimeMean
from amphid.simulation import Network
from amphid.wiring import Connectome

Stack = TypeVar("Stack", bound=nn.Sequential)

WEIGHED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
PASSING = (Dropout, Gain, Repeat, TimeMean, SpikeCount)
SIDE, STEPS = 4, 8  # of a map, and of a sequence, on which layers are asked
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNorm)


def smaller(model: Stack) -> Stack:
    """A copy of a stack without the units whose weights and biases are all masked or zero.

    It gives out the same, within rounding, in eval mode: what a unit without input gives out, such
    as the shift of a norm, is added to the biases behind it. Cells stay silent without a current
    and are taken out where they do. Masks become permanent.

    model: `nn.Sequential` or `amphid.Sequential`, of Linear, ungrouped Conv, batch norms, Flatten
        and what acts on each unit alike. The number of outputs stays.
    Raises TypeError for another model, and ValueError where a constant would meet the margin of a
    padded convolution.
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(
            "smaller takes units out of a Sequential, where each layer feeds the next alone; got "
            f"{type(model).__name__}."
        )
    made = copied(model).eval()
    parts = _leaves(made)
    if len(weighed := [part for part in parts if isinstance(part, WEIGHED)]) > len(set(weighed)):
        raise ValueError("smaller: a layer is used twice, so its units cannot go from one place.")
    for part in parts:
        _make_permanent(part)
    with torch.no_grad():
        places = [place for place, part in enumerate(parts) if isinstance(part, WEIGHED)]
        for here, there in pairwise(places):
            _shrink(parts[here], parts[here + 1 : there], parts[there])
    made.train(model.training)
    return made


def pruned_network(network: Network, scores: Tensor, keep: float) -> Network:
    """A network with the share of its connections that score best, and nothing of the others.

    scores: [E], such as `network.weight.abs()`, random numbers, or `connection_paths`. The cells
    stay. Weights that were learned are learned further, cells and synapses are shared.
    Raises ValueError for scores that do not fit.
    """
    if not isinstance(network, Network):
        raise TypeError(
            f"pruned_network takes a Network, got {type(network).__name__}; `prune` masks modules."
        )
    wires = network.connectome.connections
    if not isinstance(scores, Tensor) or scores.shape != (len(wires),) or scores.isnan().any():
        given = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(
            f"scores must be [E], one number for each of {len(wires)} connections, got {given}."
        )
    if not isinstance(keep, Real) or not 0 < keep <= 1:
        raise ValueError(f"keep must be a share above 0 and up to 1, got {keep!r}.")
    wanted = max(1, round(keep * len(wires)))
    kept = scores.detach().topk(wanted).indices.sort().values.cpu()
    connectome = Connectome(
        network.connectome.cells,
        wires.take(kept.numpy()),
        network.connectome.name,
        network.connectome.references,
    )
    weight = network.weight.detach()[..., kept.to(network.weight.device)].clone()
    learned = isinstance(network.weight, nn.Parameter)
    return Network(
        connectome,
        neuron=network.neuron,
        synapse=dict(network.groups()),
        weight=nn.Parameter(weight) if learned else weight,
        dale=network.dale,
    )


def _leaves(model: nn.Sequential) -> list[nn.Module]:
    found: list[nn.Module] = []
    for part in model:  # what is used twice comes twice
        found += _leaves(part) if isinstance(part, nn.Sequential) else [part]
    return found


def _make_permanent(part: nn.Module) -> None:
    for key in [key for key in part._parameters if key.endswith("_orig")]:
        masking.remove(part, key.removesuffix("_orig"))


def _shrink(here: Any, between: list[nn.Module], there: Any) -> None:
    """Take the units of a layer that have no input out of it, and of what comes behind."""
    idle = ~here.weight.flatten(1).any(1)
    if here.bias is not None:
        idle &= here.bias == 0
    if getattr(here, "groups", 1) != 1 or getattr(there, "groups", 1) != 1:
        return
    if idle.all():
        idle[0] = False  # a layer keeps one unit at least
    if not idle.any():
        return
    width = len(idle)
    given = _without_input(here, between)
    if given is None:
        return
    spread = there.weight.shape[1] // width  # places of a map that a Linear behind it looks at
    constant = torch.where(idle, given, 0.0).repeat_interleave(spread)
    _absorb(there, constant)
    _keep_rows(here, ~idle)
    for part in between:
        if isinstance(part, NORMS):
            _keep_features(part, ~idle)
    _keep_columns(there, (~idle).repeat_interleave(spread))


def _without_input(here: Any, between: list[nn.Module]) -> Tensor | None:
    """What each unit passes on without input [width]; None where that cannot be told."""
    x = here.weight.new_zeros(1, len(here.weight), *[SIDE] * (here.weight.dim() - 2))
    for part in between:
        if isinstance(part, nn.Flatten):
            x = x.flatten(2)[..., 0] if x.dim() > 2 else x
        elif isinstance(part, Neuron):
            if x.any() or part(x.expand(STEPS, *x.shape)).any():
                return None
        elif type(part).__module__.startswith("torch.") or isinstance(part, BatchNorm):
            x = part(x)
        elif not isinstance(part, PASSING):
            return None
    return x.reshape(len(here.weight), -1)[:, 0]


def _absorb(there: Any, constant: Tensor) -> None:
    """Add what a constant input [width] makes to the bias of a layer."""
    if not constant.any():
        return
    if any(getattr(there, "padding", (0,))):
        raise ValueError(
            "smaller: a unit that is masked gives out a constant behind its norm, which a padded "
            "convolution does not see at the margin. Mask the norm too, or leave padding out."
        )
    shift = (there.weight.flatten(2).sum(2) if there.weight.dim() > 2 else there.weight) @ constant
    if there.bias is None:
        there.bias = nn.Parameter(shift)
    else:
        there.bias += shift


def _keep_rows(layer: Any, kept: Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight[kept])
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias[kept])
    _resize(layer, "out_features", "out_channels", int(kept.sum()))


def _keep_columns(layer: Any, kept: Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight[:, kept])
    _resize(layer, "in_features", "in_channels", int(kept.sum()))


def _keep_features(norm: Any, kept: Tensor) -> None:
    for key, own in list(norm._parameters.items()):
        if own is not None:
            norm._parameters[key] = nn.Parameter(own[kept])
    for key, held in list(norm._buffers.items()):
        if held is not None and held.dim():
            norm._buffers[key] = held[kept]
    _resize(norm, "num_features", "features", int(kept.sum()))


def _resize(layer: Any, one: str, other: str, size: int) -> None:
    setattr(layer, one if hasattr(layer, one) else other, size)
