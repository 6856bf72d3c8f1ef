"""Attention and recurrent layers of torch, each one operation, done by the operations inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad, scaled_dot_product_attention

ATTENTION = "multi_head_attention_forward"


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    width: int,
    heads: int,
    into: Tensor | None,
    bias: Tensor | None,
    *more: Any,
    **said: Any,
) -> tuple[Tensor, Tensor | None]:
    """`multi_head_attention_forward` of query [L, B, E], key and value [S, B, E], or without B."""
    bias_k, bias_v, zero, dropout, out, out_bias = more[:6]
    one = query.dim() == 2
    q, k, v = (
        (x.unsqueeze(0) if one else x.transpose(0, 1)) for x in (query, key, value)
    )  # examples in front
    weights = into.chunk(3) if into is not None else [said[f"{x}_proj_weight"] for x in "qkv"]
    biases = [None] * 3 if bias is None else bias.chunk(3)
    q, k, v = (linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True))
    if bias_k is not None:
        k, v = (torch.cat((x, b.expand(len(x), 1, -1)), 1) for x, b in ((k, bias_k), (v, bias_v)))
    if zero:
        k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    told = _looked(q, k, _masked(q, k, said), said) if said.get("need_weights", True) else None
    causal = _is_causal(said)
    mask = None if causal else _masked(q, k, said)
    drop = dropout if said.get("training", True) else 0.0
    mixed = scaled_dot_product_attention(q, k, v, mask, drop, causal).transpose(1, 2)
    given = linear(mixed.flatten(2), out, out_bias)
    if one:
        return given.squeeze(0), None if told is None else told.squeeze(0)
    return given.transpose(0, 1), told


def _looked(q: Tensor, k: Tensor, mask: Tensor | None, said: Mapping[str, Any]) -> Tensor:
    """How much every query looks at every key, [B, L, S], or of each head."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    shares = (scores if mask is None else scores + mask).softmax(-1)
    return shares.mean(1) if said.get("average_attn_weights", True) else shares


def _is_causal(said: Mapping[str, Any]) -> bool:
    """Whether torch leaves the mask out and looks at no later key."""
    looked_at = said.get("key_padding_mask") is not None or said.get("need_weights", True)
    return bool(said.get("is_causal")) and not looked_at


def _masked(q: Tensor, k: Tensor, said: Mapping[str, Any]) -> Tensor | None:
    """What is added to scores of q [B, H, L, D] and k [B, H, S, D]: -inf where none may look."""
    mask, padding = said.get("attn_mask"), said.get("key_padding_mask")
    if mask is not None:
        mask = _added(mask, q)
        mask = mask.unflatten(0, q.shape[:2]) if mask.dim() == 3 else mask
        mask = pad(mask, (0, k.shape[-2] - mask.shape[-1]))
    if padding is not None:
        padding = _added(padding if padding.dim() == 2 else padding[None], q)[:, None, None]
        padding = pad(padding, (0, k.shape[-2] - padding.shape[-1]))
        mask = padding if mask is None else mask + padding
    return mask


def _added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=like.dtype).to(like.device).masked_fill(mask, -math.inf)


Weights = Sequence[Tensor | None]
"""Of one layer and direction: from inputs, from states, their biases, and to what is given out."""
Step = Callable[[Tensor, tuple[Tensor, ...], Weights], tuple[Tensor, ...]]
"""From an input [B, N], states [B, H] and weights to new states, what is given out first."""


def tanh_step(x: Tensor, state: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    """One step of `nn.RNN`."""
    into, back = _summed(x, state[0], weights)
    return ((into + back).tanh(),)


def relu_step(x: Tensor, state: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    """One step of `nn.RNN` with rectified units."""
    into, back = _summed(x, state[0], weights)
    return ((into + back).relu(),)


def gru_step(x: Tensor, state: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    """One step of `nn.GRU`."""
    (r, z, n), (r_back, z_back, n_back) = (g.chunk(3, -1) for g in _summed(x, state[0], weights))
    reset, stay = (r + r_back).sigmoid(), (z + z_back).sigmoid()
    new = (n + reset * n_back).tanh()
    return ((1 - stay) * new + stay * state[0],)


def lstm_step(x: Tensor, state: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    """One step of `nn.LSTM`."""
    into, back = _summed(x, state[0], weights)
    enter, forget, new, leave = (into + back).chunk(4, -1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * new.tanh()
    given, narrow = leave.sigmoid() * cell.tanh(), weights[4]
    return (given if narrow is None else linear(given, narrow)), cell


def _summed(x: Tensor, h: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    into, back, bias, bias_back = weights[:4]
    assert into is not None
    assert back is not None
    return linear(x, into, bias), linear(h, back, bias_back)


def cell(step: Step) -> Callable[..., Any]:
    """The same as a cell of torch: of x [B, N], h [B, H] or (h, c), and four weights."""

    def run(x: Tensor, state: Any, *weights: Tensor | None) -> Any:
        one = isinstance(state, Tensor)
        given = step(x, (state,) if one else tuple(state), [*weights, *[None] * 5][:5])
        return given[0] if one else given

    return run


def unrolled(step: Step) -> Callable[..., Any]:
    """The same as a layer of torch, step by step in time."""

    def run(
        x: Tensor, state: Any, flat: Any, biased: Any, layers: int, *more: Any
    ) -> tuple[Tensor, ...]:
        if isinstance(state, Tensor) and not state.is_floating_point():
            raise ValueError(
                "packed sequences cannot be followed step by step: give the model a padded batch."
            )
        _, _, both, first = more
        states = (state,) if isinstance(state, Tensor) else tuple(state)
        sides = 2 if both else 1
        weights = _by_layer(flat, biased, layers * sides)
        x, ends = (x if first else x.transpose(0, 1)), []
        for layer in range(layers):
            outputs = []
            for side in range(sides):
                place = layer * sides + side
                own = tuple(held[place] for held in states)
                given, end = _through_time(step, x, own, weights[place], backwards=side == 1)
                outputs.append(given)
                ends.append(end)
            x = torch.cat(outputs, -1) if both else outputs[0]
        last = (torch.stack(column) for column in zip(*ends, strict=True))
        return (x if first else x.transpose(0, 1)), *last

    return run


def _through_time(
    step: Step, x: Tensor, state: tuple[Tensor, ...], weights: Weights, *, backwards: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What a layer gives out [B, T, H] of x [B, T, N], and the states after it."""
    outputs = []
    for now in x.unbind(1)[:: -1 if backwards else 1]:
        state = step(now, state, weights)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs, 1), state


def _by_layer(flat: Sequence[Tensor], biased: Any, count: int) -> list[Weights]:
    """Weights of each layer and direction, None for what there is not."""
    found: list[Weights] = []
    size = len(flat) // count
    for place in range(count):
        own = flat[place * size : (place + 1) * size]
        biases = own[2:4] if biased else (None, None)
        narrow = own[4 if biased else 2 :] or (None,)
        found.append([*own[:2], *biases, *narrow])
    return found


STEPS = {"rnn_tanh": tanh_step, "rnn_relu": relu_step, "gru": gru_step, "lstm": lstm_step}
RECURRENT = frozenset([*STEPS, *(f"{name}_cell" for name in STEPS)])
PARTS: dict[str, Callable[..., Any]] = {
    ATTENTION: attention,
    **{name: unrolled(step) for name, step in STEPS.items()},
    **{f"{name}_cell": cell(step) for name, step in STEPS.items()},
}
