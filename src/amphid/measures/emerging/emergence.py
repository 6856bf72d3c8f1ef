"""Emergence: paths from the silent units of a network into its active part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amphid.dynamics import Neuron
from amphid.measures.emerging.activity import Convention, ShareOfTime, Threshold
from amphid.measures.emerging.calls import in_order
from amphid.measures.emerging.found import Emerged
from amphid.measures.emerging.layered import layered
from amphid.measures.emerging.modules import of_module, placed, units_of_module
from amphid.measures.emerging.spiking import of_layers, units_of_layers
from amphid.measures.emerging.walking import Structure
from amphid.measures.emerging.wired import through_connections, wired
from amphid.models import Recurrent, Sequential
from amphid.simulation import Network, Recording
from amphid.wiring import Connectome


def emergence(
    network: Connectome | Network | nn.Module | Sequence[Any],
    activity: Any = None,
    *,
    active: Convention | None = None,
    longest: int | None = None,
    dt: float = 1.0,
) -> Emerged:
    r"""Paths from the units of a network that are silent into those that are active.

    .. math:: E(G, H) = \sum_{x \in G \setminus H} \#\{\text{paths in } H \text{ from } N_H(x)\}

    H are the active units of G and N_H(x) those right behind x; a path may be a single unit. That
    is `inside`. `through` counts paths to active units through any units. Both are whole numbers
    without rounding. The count is linear in the number of connections.

    network: what is connected, and `activity` what says which units are active:

    - a module of torch, with inputs [B, ...], a tensor, a tuple of them or a mapping by name, that
      it is run on. Units are the inputs, what activations give out, what layers with weights give
      to other ones without an activation in between, and outputs. Convolutions connect what they
      reach, pools what they look at, and a weight that is exactly zero nothing. Attention connects
      queries, keys and values alike; recurrent layers of torch are unrolled in time, where each
      step has its units. Words go to where they are looked up, comparisons to where they become
      spikes, messages along edges to where they are summed; examples may be folded into another
      axis on the way.
    - an `amphid.Sequential`, with inputs as it takes them, in steps of `dt` ms.
    - a `Connectome` or a `Network`, with a `Recording` of spikes, values [T, *B, N] or a mask [N]
      of booleans. Connections count once however many synapses they have, electrical ones both
      ways; those whose weight in the network is zero do not count.
    - a list of masks [N_i] of layers that are connected all to all, without activity.

    active: the convention by which a unit counts as active, `Threshold`, `RelativeThreshold` or
        `ShareOfTime`. When None it is `ShareOfTime()` where cells spike, else `Threshold()`: a mean
        magnitude above half of the layer's standard deviation. It is relative to the layer
        because above zero nothing but the sign of the weights is seen, and above a fixed number
        mostly the scale of the layer is.
    longest: the most connections of a path. In networks with cycles, where it is needed, such a
        path may come back to a unit. Without it all paths count.

    Reference: Li et al. 2024, doi 10.48550/arXiv.2407.19044. It leaves open which of both forms
    was printed, and the convention.
    Raises ValueError for cycles without `longest`, TypeError for what it cannot follow.
    """
    if longest is not None:
        _check_longest(longest)
    if active is not None and (not callable(active) or isinstance(active, type)):
        raise TypeError(f"active must be a convention such as Threshold(0.5), got {active!r}.")
    if isinstance(network, Connectome | Network):
        return _of_wires(network, activity, active or ShareOfTime(), longest)
    if isinstance(network, Sequential):
        rule = active or usual(network)
        return of_layers(network, _checked([activity])[0], rule, longest, dt)
    if isinstance(network, nn.Module):
        _check_still(network)
        network, given = in_order(network, activity)
        return of_module(network, _checked(given), active or Threshold(), longest)
    if isinstance(network, Sequence) and activity is None:
        return layered(network)
    raise TypeError(
        "emergence takes a module, a Network, a Connectome, or a list of masks of layers, got "
        f"{type(network).__name__}."
    )


def usual(model: nn.Module) -> Convention:
    """The convention for a model that is given none: by time where its cells spike."""
    spikes = any(getattr(part, "output", None) == "spike" for part in model.modules())
    return ShareOfTime() if spikes else Threshold()


def active_units(
    model: nn.Module, inputs: Any, rule: Convention | None
) -> tuple[Structure, dict[int, Tensor]]:
    """How a module is connected, and which units [1, *N] of each layer are active on inputs."""
    rule = rule or usual(model)
    model, given = in_order(model, inputs)
    _checked(given)
    if isinstance(model, Sequential):
        made, active = units_of_layers(model, given[0], rule, 1.0)
    else:
        _check_still(model)
        made, active = units_of_module(model, given, rule)
    return made, placed(made, active)


def _check_longest(longest: Any) -> None:
    if not isinstance(longest, int) or isinstance(longest, bool) or longest < 1:
        raise ValueError(f"longest must be a number of connections, got {longest!r}.")


def _check_still(model: nn.Module) -> None:
    """Cells step in time, which only a Sequential of amphid is known to do layer by layer."""
    for name, part in model.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise TypeError(
                f"emergence cannot look into a {type(model).__name__}, which is scripted or "
                "traced: give the module that it was made of."
            )
        if isinstance(part, Neuron | Recurrent | Network):
            raise TypeError(
                f"emergence cannot follow the cells in this {type(model).__name__} ({name}: "
                f"{type(part).__name__}): put its layers into an amphid.Sequential, or give the "
                "activity of its layers, or a connectome."
            )


def _checked(given: list[Any]) -> list[Tensor]:
    if not given or not all(isinstance(one, Tensor) and one.dim() and len(one) for one in given):
        wrong = next((x for x in given if not isinstance(x, Tensor) or not x.numel()), None)
        what = list(wrong.shape) if isinstance(wrong, Tensor) else type(wrong).__name__
        raise TypeError(
            "emergence runs a module to see what is active: it needs inputs [B, ...], a tensor "
            f"with at least one example or a tuple or mapping of them, got {what}."
        )
    return given


def _of_wires(
    network: Connectome | Network, activity: Any, rule: Convention, longest: int | None
) -> Emerged:
    pre, post, _ = _arcs(network)
    size = len(network if isinstance(network, Connectome) else network.connectome)
    return wired(pre, post, _mask(activity, size, rule), longest)


def connection_paths(
    network: Connectome | Network,
    activity: Any,
    *,
    longest: int,
    active: Convention | None = None,
) -> Tensor:
    """How many of the paths that `emergence` counts inside go along each connection [E].

    network, activity, active, longest: as of `emergence`. Both directions of an electrical
    connection are added up; one whose weight is zero has none.
    """
    _check_longest(longest)
    pre, post, number = _arcs(network)
    connectome = network if isinstance(network, Connectome) else network.connectome
    mask = _mask(activity, len(connectome), active or ShareOfTime())
    along = through_connections(pre, post, mask, longest)
    total = np.bincount(number, weights=along, minlength=len(connectome.connections))
    return torch.from_numpy(total)


def _arcs(network: Connectome | Network) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Cells before and behind every connection that is there, and its number."""
    connectome = network if isinstance(network, Connectome) else network.connectome
    wires = connectome.connections
    there = np.ones(len(wires), bool)
    if isinstance(network, Network):
        weight = network.weight.detach().cpu()
        there = (weight != 0).reshape(-1, len(wires)).any(0).numpy()
    on = np.flatnonzero(there)
    back = np.flatnonzero(there & wires.electrical & (wires.pre != wires.post))
    pre = np.concatenate([wires.pre[on], wires.post[back]])
    post = np.concatenate([wires.post[on], wires.pre[back]])
    return pre, post, np.concatenate([on, back])


def _mask(activity: Any, size: int, rule: Convention) -> NDArray[np.bool_]:
    """Which cells [N] are active."""
    if isinstance(activity, Recording):
        if activity.spikes is None:
            raise ValueError(
                f"emergence needs spikes, got {activity!r}: simulate(..., record=('spike',)), or "
                "give values [T, *B, N] with a convention."
            )
        activity = activity.spikes.dense()
    try:
        values = torch.as_tensor(activity)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"activity must be a Recording, values [T, *B, {size}] or a mask [{size}] of booleans, "
            f"got {type(activity).__name__}."
        ) from error
    if values.dtype != torch.bool:
        values = rule(values, values.dim() - 1)
    if values.shape != (size,):
        raise ValueError(
            f"activity must say of each of {size} cells whether it is active, or be values "
            f"[T, *B, {size}]; got shape {list(values.shape)}."
        )
    return np.asarray(values.cpu())
