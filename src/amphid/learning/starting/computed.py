"""Weights that a module computes from other parameters, as by weight norm: how they are set."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

Model = TypeVar("Model", bound=nn.Module)
CLOSE = 0.01  # of a weight: how far it may be from what it was set to, in half precision too


def computed_weights(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Places of modules, and names there of weights of two axes or more that they compute.

    Masks of torch.nn.utils.prune do not count.
    """
    for place, key in _computed(model):
        if getattr(model.get_submodule(place), key).dim() > 1:
            yield place, key


def _computed(model: nn.Module) -> Iterator[tuple[str, str]]:
    for place, module in model.named_modules():
        yield from ((place, norm.name) for norm in _norms(module))
        plain = (key.removesuffix("_orig") for key in module._parameters if key.endswith("_orig"))
        yield from ((place, key) for key in plain if f"{key}_u" in module._buffers)
        held = module._modules.get("parametrizations")
        yield from ((place, key) for key in (held._modules if held is not None else ()))


def uncomputed(model: nn.Module) -> nn.Module:
    """A copy in which those weights are parameters themselves, of the same values.

    Raises ValueError for one that cannot be set.
    """
    twin = copied(model)
    for module in list(twin.modules()):
        for norm in _norms(module):
            if not _masked(module):
                remove_weight_norm(module, norm.name)
        if parametrize.is_parametrized(module) and not _masked(module._modules["parametrizations"]):
            _freed(module)
    for place, key in computed_weights(twin):
        raise ValueError(_unsettable(place, key))
    return twin


def _masked(part: nn.Module | None) -> bool:
    """Whether masks of torch.nn.utils.prune are on it: they would undo what it is set to."""
    return part is not None and any(name.endswith("_mask") for name, _ in part.named_buffers())


def copied(model: Model) -> Model:
    """A copy of a model, also of one that holds what came out of autograd, as masked weights do."""
    held = [own for part in model.modules() for own in vars(part).values()]
    computed = [own for own in held if isinstance(own, Tensor) and not own.is_leaf]
    return deepcopy(model, {id(own): own.detach().clone() for own in computed})


def _freed(module: nn.Module) -> None:
    """Make what a module computes its own; torch would take that off all copies of it."""
    held = module._modules["parametrizations"]
    values = {key: getattr(module, key).detach() for key in (held._modules if held else ())}
    module.__class__ = type(module).__bases__[0]
    del module._modules["parametrizations"]
    for key, value in values.items():
        module.register_parameter(key, nn.Parameter(value.clone()))


def take_over(model: nn.Module, twin: nn.Module) -> None:
    """Give a model the parameters of its copy without computed weights, or leave it as it was.

    Raises ValueError where a weight does not become what it is set to, as with spectral norm.
    """
    before = {name: own.clone() for name, own in model.named_parameters()}
    given = dict(twin.named_parameters())
    try:
        for name, own in model.named_parameters():
            own.copy_(given.get(name, own))
        for place, key in _computed(model):
            _set(place, key, model.get_submodule(place), twin.get_submodule(place))
    except BaseException:
        for name, own in model.named_parameters():
            own.copy_(before[name])
        raise


def _set(place: str, key: str, module: nn.Module, plain: nn.Module) -> None:
    asked = getattr(plain, key).detach()
    if torch.equal(getattr(module, key), asked):
        return
    norm = next((norm for norm in _norms(module) if norm.name == key), None)
    if norm is None:
        try:
            setattr(module, key, asked)
        except (RuntimeError, ValueError, NotImplementedError) as unable:
            raise ValueError(_unsettable(place, key)) from unable
    else:
        module.get_parameter(f"{key}_g").copy_(torch.norm_except_dim(asked, 2, norm.dim))
        module.get_parameter(f"{key}_v").copy_(asked)
        setattr(module, key, norm.compute_weight(module))
    if not float((getattr(module, key) - asked).norm()) <= CLOSE * float(asked.norm()):
        raise ValueError(_unsettable(place, key))


def _norms(module: nn.Module) -> list[WeightNorm]:
    """Weight norms that are hooks, as those were before they were parametrizations."""
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, WeightNorm)]


def _unsettable(place: str, key: str) -> str:
    return (
        f"{f'{place}.{key}'.lstrip('.')} is computed from other parameters and does not become "
        "what it is set to, as with spectral norm: a start would be undone. Take that off first, "
        "such as by torch.nn.utils.parametrize.remove_parametrizations, and put it back."
    )
