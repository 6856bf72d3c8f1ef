"""Masks on the weights of a model, in the manner of `torch.nn.utils.prune`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as masking

from amphid.learning.pruning.rankings import Ranking
from amphid.learning.starting.order import WeightLayer, check_weights, weight_layers


@dataclass(frozen=True)
class Sparsity:
    """How many weights are left: [kept, of] by the name of the layer, and in all."""

    layers: dict[str, tuple[int, int]]

    @property
    def kept(self) -> float:
        """The share of all weights that is left."""
        kept, of = (sum(column) for column in zip(*self.layers.values(), strict=True))
        return kept / of

    def __str__(self) -> str:
        lines = [f"{name}: {kept:,} of {of:,}" for name, (kept, of) in self.layers.items()]
        return "\n".join([*lines, f"in all {self.kept:.2%}"])


def prune(
    model: nn.Module,
    ranking: Ranking,
    keep: float,
    *,
    units: bool = False,
    inputs: Any = None,
) -> Sparsity:
    """Mask the weights that a ranking puts last, until a share of all is left.

    A weight becomes `weight_orig` and `weight_mask`, as `torch.nn.utils.prune` has them, whose
    functions go on working: `prune.remove(module, "weight")` makes it last. What was masked
    before stays so. Biases are kept, and at least one weight in each layer. A weight that several
    modules share is masked in all of them.

    ranking: `ByMagnitude`, `BySynapticFlow`, `ByEmergence` or `AtRandom`; weights of all layers are
        compared with one another.
    keep: the share of weights that is left, above 0, up to 1.
    units: True masks whole rows, the units or maps of a layer with their bias, by the mean score of
        their weights, a share of each layer but the last; `smaller` then takes them out.
    inputs: a batch, for rankings that look at one and to see the order of layers.
    Raises ValueError where more is to be kept than is left.
    """
    _check(ranking, keep)
    layers = weight_layers(model, inputs)
    if units:
        _check_rows(model, layers)
    masks = [mask_of(model, layer) for layer in layers]
    with torch.no_grad():
        scores = ranking(model, layers, masks, inputs)
        for layer, score in zip(layers, scores, strict=True):
            if score.isnan().any():
                raise ValueError(f"the ranking of {layer.name} has what is no number.")
        scores = [
            score.double().masked_fill(mask == 0, -torch.inf)
            for score, mask in zip(scores, masks, strict=True)
        ]
        choose = _rows if units else _weights
        for layer, old, mask in zip(layers, masks, choose(scores, masks, keep), strict=True):
            if not mask.equal(old):
                _mask(model, layer, mask, bias=units)
    return _counted(model, layers)


def prune_in_rounds(
    model: nn.Module,
    ranking: Ranking,
    keep: float,
    *,
    rounds: int,
    train: Callable[[nn.Module], Any] | None = None,
    rewind: bool = True,
    units: bool = False,
    inputs: Any = None,
) -> list[Any]:
    """Train, prune by the same factor and rewind, again and again, and train what is left.

    What `train` gave, `rounds` + 1 times: of the dense model first, of the pruned one last. Without
    it the model is ranked and pruned only, which is how `BySynapticFlow` prunes before training.

    train: changes the model, such as by `fit`. rewind: True puts the weights that are left back to
    where they were at the call (and norms and biases with them): the winning ticket; False trains
    on from where they are.
    Reference: Frankle & Carbin 2019, doi 10.48550/arXiv.1803.03635.
    """
    _check(ranking, keep)
    if not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"rounds must be a number of them, at least one, got {rounds!r}.")
    if train is not None and not callable(train):
        raise TypeError(f"train must be a function that changes the model, got {train!r}.")
    check_weights(model)
    start = {_plain(name): own.detach().clone() for name, own in model.named_parameters()}
    start |= {name: own.clone() for name, own in model.named_buffers() if not _is_mask(name)}
    found = []
    for turn in range(1, rounds + 1):
        if train:
            found.append(train(model))
        prune(model, ranking, keep ** (turn / rounds), units=units, inputs=inputs)
        if rewind and train:
            _put_back(model, start)
    return [*found, train(model)] if train else []


def sparsity(model: nn.Module, inputs: Any = None) -> Sparsity:
    """How many weights of a model are left of those that masks could take.

    inputs: as of `prune`; needed only for weights that a model which cannot be traced uses without
    a layer of torch.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their order, which does not matter here
        return _counted(model, weight_layers(model, inputs))


def _counted(model: nn.Module, layers: Sequence[WeightLayer]) -> Sparsity:
    return Sparsity(
        {
            _plain(layer.name): (int(mask_of(model, layer).count_nonzero()), layer.weight.numel())
            for layer in layers
        }
    )


def mask_of(model: nn.Module, layer: WeightLayer) -> Tensor:
    """What is left of a weight, ones and zeros."""
    parent, _, key = layer.name.rpartition(".")
    mask = model.get_submodule(parent)._buffers.get(f"{key.removesuffix('_orig')}_mask")
    return torch.ones_like(layer.weight) if mask is None else mask


def _check(ranking: Any, keep: Any) -> None:
    if not callable(ranking) or isinstance(ranking, type):
        raise TypeError(f"ranking must be one such as ByMagnitude(), got {ranking!r}.")
    if not isinstance(keep, Real) or not 0 < float(keep) <= 1:
        raise ValueError(f"keep must be a share of the weights, above 0 and up to 1, got {keep!r}.")


def _check_rows(model: nn.Module, layers: Sequence[WeightLayer]) -> None:
    """Rows must be units of their own."""
    for layer in layers:
        module = model.get_submodule(layer.name.rpartition(".")[0])
        rows = len(layer.weight if layer.bias is None else layer.bias)
        elsewhere = layer.laid.turned or layer.laid.stacked or rows != len(layer.weight)
        if getattr(module, "transposed", False) or elsewhere:
            raise TypeError(
                f"units=True masks rows, but those of {layer.name} are no units: a transposed "
                "convolution and a weight that is used as x @ w have their outputs on the second "
                "axis, a stack of matrices on a later one. Prune single weights instead."
            )
        if isinstance(module, nn.RNNBase | nn.RNNCellBase | nn.MultiheadAttention):
            raise TypeError(
                f"units=True masks rows, but those of {layer.name} make gates or heads together, "
                "no unit of their own. Prune single weights instead."
            )


def _weights(scores: Sequence[Tensor], masks: Sequence[Tensor], keep: float) -> Iterator[Tensor]:
    """Masks of the best weights of all layers."""
    flat = torch.cat([score.flatten() for score in scores])
    wanted = max(1, len(flat) - round((1 - keep) * len(flat)))  # as torch rounds
    if wanted > (left := int(sum(mask.count_nonzero() for mask in masks))):
        raise ValueError(
            f"keep={keep:g} asks for {wanted:,} weights, but {left:,} of {len(flat):,} are left."
        )
    chosen = torch.zeros_like(flat)
    chosen[flat.topk(wanted).indices] = 1.0
    for score, own in zip(scores, chosen.split([s.numel() for s in scores]), strict=True):
        if not own.any():
            own[score.flatten().argmax()] = 1.0
        yield own.view(score.shape)


def _rows(scores: Sequence[Tensor], masks: Sequence[Tensor], keep: float) -> Iterator[Tensor]:
    """Masks of the best rows of each layer but the last."""
    for place, (score, mask) in enumerate(zip(scores, masks, strict=True)):
        if place == len(scores) - 1:
            yield mask
            continue
        wanted = max(1, round(keep * len(score)))
        worth = torch.where(mask > 0, score, 0.0).flatten(1).mean(1)
        worth = worth.masked_fill(~mask.flatten(1).any(1), -torch.inf)
        rows = torch.zeros(len(score), dtype=torch.bool, device=score.device)
        rows[worth.topk(wanted).indices] = True
        yield mask * rows.view(-1, *[1] * (mask.dim() - 1))


def _mask(model: nn.Module, layer: WeightLayer, mask: Tensor, *, bias: bool) -> None:
    _mask_wherever(model, layer.weight, mask)
    if bias and layer.bias is not None:
        _mask_wherever(model, layer.bias, mask.flatten(1).any(1))


def _mask_wherever(model: nn.Module, own: nn.Parameter, mask: Tensor) -> None:
    """Mask a parameter in every module that holds it: those that share one share its mask."""
    held = [
        (part, key)
        for part in model.modules()
        for key, there in part._parameters.items()
        if there is own
    ]
    for part, key in held:
        masking.custom_from_mask(part, _plain(key), mask.to(own))


def _put_back(model: nn.Module, start: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, own in (*model.named_parameters(), *model.named_buffers()):
            before = start.get(_plain(name))
            if before is None:
                continue
            if own.shape == before.shape:
                own.copy_(before)
            else:  # the state of cells, which took the size of a batch
                parent, _, key = name.rpartition(".")
                model.get_submodule(parent)._buffers[key] = before.clone()


def _plain(name: str) -> str:
    return name.removesuffix("_orig")


def _is_mask(name: str) -> bool:
    return name.endswith("_mask")
