"""What every operation connects: itself with ones for weights, so that its adjoint counts paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import _pytree as pytree

from amphid.measures.emerging.calls import COMPARING, WRITING, Call, Slot
from amphid.measures.emerging.resampling import Ones, interpolated, pooled

WEIGHING = {
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "matmul", "mm", "addmm", "bmm", "baddbmm", "einsum", "bilinear",
}  # fmt: skip
ACTIVATING = {
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus",
    "softsign", "tanh", "sigmoid", "hardtanh", "hardsigmoid", "hardswish", "prelu", "rrelu",
    "logsigmoid", "tanhshrink", "softshrink", "hardshrink", "threshold", "sin", "cos", "exp", "abs",
    "square", "erf", "heaviside", "sign", "clamp", "clamp_min", "clamp_max", "sinc", "log1p",
    "expm1",
}  # fmt: skip
GATED = "glu"
NORMING = {
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize",
    "local_response_norm",
}  # fmt: skip
ALONE = NORMING | {
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
    "softmax", "log_softmax", "neg", "contiguous", "clone", "detach", "float", "double", "to",
    "requires_grad", "sqrt", "rsqrt", "log", "pow", "softmin", "type", "type_as", "half",
    "bfloat16", "cpu", "nan_to_num", "masked_fill", "long", "int",
}  # fmt: skip
"""Each unit for itself; softmax is taken for the normalization that it is."""
MOVING = {
    "flatten", "unflatten", "reshape", "view", "permute", "transpose", "t", "T", "mT", "movedim",
    "squeeze", "unsqueeze", "expand", "expand_as", "repeat", "cat", "concat", "concatenate",
    "stack", "getitem", "chunk", "split", "unbind", "select", "narrow", "pad", "flip", "roll",
    "index_select", "pixel_shuffle", "swapaxes", "repeat_interleave", "view_as", "reshape_as",
    "pixel_unshuffle", "channel_shuffle", "tile", "ravel", "moveaxis", "swapdims", "hstack",
    "vstack", "broadcast_to", "tensor_split", "gather", "unfold", "fold", "diagonal", "tril",
    "triu", "cumsum", "diag_embed", "rot90",
}  # fmt: skip
EMBEDDING = {"embedding", "embedding_bag"}
ATTENTION = "scaled_dot_product_attention"
JOINING = {
    "add", "sub", "mul", "div", "truediv", "true_divide", "maximum", "minimum", "where", "addcmul",
    "lerp",
}  # fmt: skip
SCATTERING = {"index_add", "scatter_add"}
GATHERING = {"sum", "mean", "amax", "amin", "logsumexp", "prod", "std", "var", "nansum"}
PICKING = {"max", "min", "median", "topk", "sort", "kthvalue"}
"""What gives out some of the values along an axis, any of which it may be."""
POOLING = {
    f"{kind}_pool{axes}d"
    for kind in ("max", "avg", "lp", "adaptive_avg", "adaptive_max")
    for axes in (1, 2, 3)
}


def connecting(call: Call) -> Ones:
    """What an operation connects, each connection counting one.

    Weights that are exactly zero connect nothing, nor does a factor that is. A pool connects all
    of its window, a sum or a product of two tensors both of them, a product of matrices whole rows
    with whole columns.
    Raises TypeError, naming it, for an operation that is not known.
    """
    if call.name in WEIGHING:
        return _weighed(call)
    if call.name in ACTIVATING | ALONE:
        return lambda x, *more: x
    if call.name in MOVING:
        return lambda *given: _called(call, given)
    if call.name == "mul" and call.held:
        there = _there(call.held[0])
        return lambda x: (x * there).expand(call.shapes[0])
    if call.name in JOINING | COMPARING or (call.name in PICKING and len(call.inputs) > 1):
        return lambda *given: sum(x.expand(call.shapes[0]) for x in given)
    if call.name in SCATTERING:
        return lambda *given: _scattered(call, given)
    if call.name in GATHERING:
        return _gathered(call)
    if call.name in PICKING:
        return _picked(call)
    if call.name in POOLING:
        return pooled(call)
    if call.name in ("interpolate", "upsample"):
        return interpolated(call)
    if call.name == GATED:
        return lambda x: sum(x.chunk(2, _axis_of(call)))
    if call.name == ATTENTION:
        return _attended(call)
    if call.name == WRITING:
        return lambda *given: _written(call, given)
    raise TypeError(
        f"emergence does not know what {call.name!r} connects. It follows layers of torch, "
        "their activations, norms and pools, sums, products and reshaping; for another network "
        "give the activity of its layers, or a connectome."
    )


def _called(call: Call, given: tuple[Tensor, ...]) -> Any:
    args, kwargs = call.filled(_own(x) for x in given)
    return call.function(*args, **kwargs)


def _own(x: Tensor) -> Tensor:
    """A copy that lies as views demand and may be written to."""
    return x.clone(memory_format=torch.contiguous_format)


def _scattered(call: Call, given: tuple[Tensor, ...]) -> Any:
    """Messages along the edges of a graph, summed where they arrive."""
    one = given[0].dtype

    def empty(leaf: Tensor) -> Tensor:
        return leaf.double() * 0 if leaf.is_floating_point() and leaf.dtype != one else leaf

    args, kwargs = call.filled(_own(x) for x in given)
    return call.function(*pytree.tree_map_only(Tensor, empty, args), **kwargs)


def _gathered(call: Call) -> Ones:
    """All along an axis, or all, to what sums it up."""

    def ones(x: Tensor) -> Tensor:
        args, kwargs = call.filled((x,))
        known = {k: v for k, v in kwargs.items() if k in ("dim", "axis", "keepdim")}
        if call.name in ("std", "var"):  # what comes behind the axis is no `keepdim`
            args = tuple(own for own in args[:2] if not isinstance(own, bool))
        return torch.sum(*args, **known)

    return ones


def _picked(call: Call) -> Ones:
    """Of all along an axis, or of all where none is named, to each value that is picked."""
    place = 2 if call.name in ("topk", "kthvalue") else 1
    axis = call.kwargs.get("dim", call.args[place] if len(call.args) > place else None)
    if axis is None and call.name in ("topk", "sort", "kthvalue"):
        axis = -1

    def ones(x: Tensor) -> Tensor:
        if axis is None:
            return x.sum()
        kept = len(call.shapes[0]) == x.dim()
        return x.sum(axis, keepdim=kept).expand(call.shapes[0])

    return ones


def _weighed(call: Call) -> Ones:
    """A layer with weights where one operand is held, else a product of two activities."""
    if call.name in ("einsum", "bilinear"):
        return lambda *given: _multiplied(call, given)
    if len(call.inputs) > 1:
        return lambda *given: _crossed(call, given)
    if call.name.startswith("conv"):
        return _convolved(call)
    return _mapped(call)


def _crossed(call: Call, given: tuple[Tensor, ...]) -> Tensor:
    """A product of matrices: every row [.., i, :] and every column [.., :, j] reach [.., i, j]."""
    rows, columns = given[-2:]
    reached = rows.sum(-1, keepdim=True) + columns.sum(-2, keepdim=True)
    return reached.expand(call.shapes[0])


def _multiplied(call: Call, given: tuple[Tensor, ...]) -> Tensor:
    """A product of several: each of the activities by the weights, with ones for the others."""
    total = torch.zeros(call.shapes[0], dtype=torch.float64)
    for place, own in enumerate(given):
        if call.name == "bilinear":  # [out, one, other]: connected where any of the others is
            axis = [k for k, x in enumerate(call.args[:2]) if isinstance(x, Slot)][place]
            total = total + own @ _there(call.args[2]).amax(2 - axis).T
        else:
            others = [torch.ones_like(x) if k != place else own for k, x in enumerate(given)]
            args, kwargs = pytree.tree_map_only(Tensor, _whole(others), call.filled(others))
            total = total + call.function(*args, **kwargs)
    return total


def _whole(followed: list[Tensor]) -> Callable[[Tensor], Tensor]:
    known = {id(x) for x in followed}
    return lambda x: x if id(x) in known else _there(x)


def _axis_of(call: Call) -> int:
    place = [*call.args[1:], *call.kwargs.values()]
    return int(place[0]) if place else -1


def _attended(call: Call) -> Ones:
    """Attention: every query with the keys that it may see, and both with the values there."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    said = {**dict(zip(names, call.args, strict=False)), **call.kwargs}
    mask = said.get("attn_mask")

    def ones(*given: Tensor) -> Tensor:
        query, key, value = (_or_zeros(said[name], given) for name in names[:3])
        heads = query.shape[-3] if said.get("enable_gqa") else 1
        if heads > 1:
            key, value = (x.repeat_interleave(heads // x.shape[-3], -3) for x in (key, value))
        seen = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.float64)
        if said.get("is_causal"):
            seen = seen.tril()
        if isinstance(mask, Tensor):
            seen = seen * (mask if mask.dtype == torch.bool else mask > -torch.inf).cpu()
        scores = (query.sum(-1, keepdim=True) + key.sum(-1)[..., None, :]) * seen
        return scores.sum(-1, keepdim=True) + seen @ value

    return ones


def _or_zeros(operand: Any, given: Sequence[Tensor]) -> Tensor:
    """What stands for an operand, which may not come of the inputs."""
    return given[operand.number] if isinstance(operand, Slot) else operand.double().cpu() * 0


def _written(call: Call, given: Sequence[Tensor]) -> Tensor:
    """A tensor after something was written into a place of it."""
    whole, place, value = call.args
    into = _own(_or_zeros(whole, given))
    here = pytree.tree_map_only(Tensor, Tensor.cpu, place)
    into[here] = given[value.number] if isinstance(value, Slot) else 0.0
    return into


def _mapped(call: Call) -> Ones:
    """A linear map by its weights [out, in], or [in, out] where it is a product of matrices."""
    operands = [
        leaf
        for leaf in pytree.tree_leaves(call.args, is_leaf=lambda leaf: isinstance(leaf, Slot))
        if isinstance(leaf, Tensor | Slot)
    ]
    if call.name in ("addmm", "baddbmm"):
        operands = operands[1:]
    one, other = operands[:2]
    if isinstance(one, Tensor):  # weights on the left
        left = _there(one)
        return lambda x: torch.matmul(left, x)
    assert isinstance(other, Tensor)
    mask = _there(other).mT if call.name == "linear" else _there(other)
    if bool(mask.all()):
        width = mask.shape[-1]
        return lambda x: x.sum(-1, keepdim=True).expand(*x.shape[:-1], width)
    return lambda x: torch.matmul(x, mask)


def _convolved(call: Call) -> Ones:
    """A convolution; where no weight is zero, by the sum of the maps of each group alone."""
    args, kwargs = call.filled((torch.zeros(()),))
    names: tuple[str, ...] = ("input", "weight", "bias", "stride", "padding")
    names += ("output_padding", "groups", "dilation") if "transpose" in call.name else (
        "dilation", "groups")  # fmt: skip
    said = {**dict(zip(names, args, strict=False)), **kwargs}
    weight, groups = said["weight"], said.get("groups", 1)
    mask = _there(weight)
    settings = {k: v for k, v in said.items() if k not in ("input", "weight", "bias")}
    convolve = getattr(functional, call.name)
    if not bool(mask.all()):
        return lambda x: convolve(x, mask, **settings)
    small = torch.ones(groups, 1, *weight.shape[2:], dtype=torch.float64)
    behind = call.shapes[0][1] // groups

    def ones(x: Tensor) -> Tensor:
        summed = x.unflatten(1, (groups, -1)).sum(2)
        return convolve(summed, small, **settings).repeat_interleave(behind, 1)

    return ones


def _there(weight: Tensor) -> Tensor:
    return (weight.detach() != 0).double().cpu()
