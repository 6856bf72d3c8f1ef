"""Paths from silent to active units beside accuracy, speed and the landscape of the loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.learning import (
    ByMagnitude,
    Kaiming,
    LossLine,
    Objective,
    initialize,
    loss_line,
    prune,
    random_direction,
)
from amphid.measures import Emerged, Threshold, emergence
from amphid.studies.paired import difference, figure
from amphid.studies.start_settings import POOLED, Pairs, digits
from amphid.studies.study import Findings, Settings, Study

BATCH, RATE, LOOK = 100, 1e-3, 5  # updates between two looks at the accuracy
NEARLY = 0.95  # of its own final accuracy
OTHERS = (0.2, 1.0)  # thresholds beside that of the measure
LINES, POINTS, LOOKED_AT = 20, 41, 500  # random lines, places on each, images tested there
RESAMPLED = 2000


@dataclass(frozen=True)
class Amount:
    """How much is done: images, epochs, widths of the two hidden layers, pruned shares, seeds."""

    images: int
    epochs: int
    widths: tuple[int, ...]
    pruned: tuple[float, ...]
    seeds: int


QUICK = Amount(2000, 6, (32, 64, 128), (0.5, 0.9), 4)
FULL = Amount(5000, 8, (16, 32, 64, 128, 256), (0.25, 0.5, 0.75, 0.9, 0.95), 5)

ASSUMPTIONS = (
    "196-width-width-10, rectified, Kaiming's start, Adam at 0.001 in batches of 100, on digits "
    "pooled to 14 x 14. Units are active above a mean magnitude of 0.5 standard deviations of "
    "their layer, on 500 images; the source does not tell its threshold, and 0.2 and 1 are printed "
    "beside it. Paths are those inside.",
    "Pruned nets: the smallest weights of the trained net are masked, the rest goes back to the "
    "start and is trained as long as the dense net was; paired by seed and width.",
    "Epochs to 95 % of a net's own final accuracy, looked at every 5 updates. Ruggedness: how "
    "often the loss of 500 test images turns along 20 random lines as long as the filters (Li et "
    "al. 2018), 41 points, mean; masked weights stay zero. rise is how much more that loss is at "
    "the ends of the lines: a sharper loss, not one with more minima. Correlations are of ranks "
    "over all nets, dense and pruned; intervals are of 95 % of 2,000 bootstrap samples of nets, "
    "differences of Student's t.",
    "Four parts: E per parameter goes with accuracy; pruned nets come sooner to 95 %; they end "
    "lower; higher E goes with more turns. A part is true or false where its interval leaves zero "
    "out, else null; more turns are false too where every net has as many, whatever its E. The "
    "claim needs all four. Within one width, correlations are printed too: over widths both sides "
    "change with size.",
)


class EmergencePruning(Study):
    """Four relations of emergence, each with its sign, its size and an interval."""

    name: ClassVar[str] = "emergence-pruning"
    claim: ClassVar[str] = (
        "Nets with more emergence per parameter are more accurate; pruned nets come sooner to 95 % "
        "of their final accuracy, which is lower; and more emergence goes with a more rugged loss."
    )
    cells: ClassVar[int] = 512
    published: ClassVar[str] = "the same four, in words (AlShinaifi et al. 2024)"

    def measure(self, settings: Settings) -> Findings:
        """3 widths, 2 shares and 4 seeds, or 5, 5 and 5."""
        computed = time.process_time()
        amount = FULL if settings.full else QUICK
        seeds = tuple(settings.seed + k for k in range(amount.seeds))
        nets: list[Net] = []
        for place, seed in enumerate(seeds):
            settings.tell(f"seed {seed}", place, len(seeds))
            for width in amount.widths:
                nets += of_width(width, seed, amount)
        measured, control = summarized(nets, amount)
        measured["minutes"] = figure((time.process_time() - computed) / 60)
        return Findings(
            measured=measured,
            reference={
                "parts": dict.fromkeys(measured["parts"], True),
                "source": "AlShinaifi et al. 2024, doi 10.48550/arXiv.2409.01568",
            },
            control=control,
            assumptions=ASSUMPTIONS,
            seeds=seeds,
            holds=holds(measured["parts"]),
        )


@dataclass
class Net:
    """What was seen of one net."""

    width: int
    seed: int
    pruned: float
    epochs: list[dict[str, float]] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    """Every few updates."""
    paths: Emerged | None = None
    others: dict[float, Emerged] = field(default_factory=dict)
    """At the end, by other thresholds."""
    turns: float = 0.0
    rise: float = 0.0

    @property
    def accuracy(self) -> float:
        """At the end."""
        return self.accuracies[-1]

    def sooner(self, per_epoch: int) -> float:
        """Epochs to 95 % of its final accuracy."""
        first = next(k for k, a in enumerate(self.accuracies) if a >= NEARLY * self.accuracy)
        return (first + 1) * LOOK / per_epoch


def of_width(width: int, seed: int, amount: Amount) -> list[Net]:
    """The dense net of a width, and those that are pruned from it."""
    learned, tested = digits(amount.images)(seed)
    model = made(width, seed)
    start = {name: own.detach().clone() for name, own in model.named_parameters()}
    nets = [trained(model, Net(width, seed, 0.0), learned, tested, amount)]
    for share in amount.pruned:
        prune(model, ByMagnitude(), 1 - share)
        put_back(model, start)
        nets.append(trained(model, Net(width, seed, share), learned, tested, amount))
    return nets


def put_back(model: nn.Module, start: Mapping[str, Tensor]) -> None:
    """The weights of a masked net where they started."""
    with torch.no_grad():
        for name, own in model.named_parameters():
            own.copy_(start[name.removesuffix("_orig")])


def made(width: int, seed: int) -> nn.Sequential:
    """Images [B, 1, 14, 14] to [B, 10]."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(POOLED**2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 10),
    )  # fmt: skip
    initialize(model, Kaiming(torch.Generator().manual_seed(seed)))
    return model


def trained(model: nn.Module, net: Net, learned: Pairs, tested: Pairs, amount: Amount) -> Net:
    """Train and look at it."""
    (x, y), order = learned, torch.Generator().manual_seed(net.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    per_epoch = len(x) // BATCH
    for update in range(1, amount.epochs * per_epoch + 1):
        chosen = torch.randint(len(x), (BATCH,), generator=order)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x[chosen]), y[chosen])
        loss.backward()
        optimizer.step()
        if update % LOOK == 0:
            net.accuracies.append(_accuracy(model, tested))
        if update % per_epoch == 0:
            net.paths = emergence(model, x[:500])
            net.epochs.append(
                {
                    "log E": net.paths.log_inside,
                    "E per parameter": net.paths.per_parameter,
                    "loss": float(loss.detach()),
                    "accuracy": net.accuracies[-1],
                }
            )
    net.others = {above: emergence(model, x[:500], active=Threshold(above)) for above in OTHERS}
    found = [line.losses for line in lines(model, net, tested)]
    net.turns, net.rise = mean(map(turns, found)), mean(map(rise, found))
    return net


def lines(model: nn.Module, net: Net, tested: Pairs) -> list[LossLine]:
    """The loss along random lines through where a net stands; masked weights stay zero."""
    draw = torch.Generator().manual_seed(net.seed)
    plain = made(net.width, net.seed)
    masks = dict(model.named_buffers())
    params = {
        name.removesuffix("_orig"): own.detach()
        * masks.get(name.removesuffix("_orig") + "_mask", 1.0)
        for name, own in model.named_parameters()
    }
    x, y = tested[0][:LOOKED_AT], tested[1][:LOOKED_AT]
    objective = Objective(plain, x, y, functional.cross_entropy)
    return [
        loss_line(objective, params, direction(params, draw), points=POINTS) for _ in range(LINES)
    ]


def direction(params: Mapping[str, Tensor], draw: torch.Generator) -> dict[str, Tensor]:
    """A random direction along what is not zero, each row as long as the parameter's own."""
    found = {}
    for name, way in random_direction(params, generator=draw).items():
        held = params[name]
        left = way * (held != 0)
        if held.dim() > 1:
            long = held.norm(dim=1, keepdim=True) / left.norm(dim=1, keepdim=True).clamp(min=1e-30)
            left = left * long
        found[name] = left
    return found


def turns(losses: Tensor) -> int:
    """How often a loss goes from rising to falling or back."""
    signs = losses.diff().sign()
    return int((signs[1:] * signs[:-1] < 0).sum())


def rise(losses: Tensor) -> float:
    """How much more a loss is at the ends of a line than in its middle."""
    return float((losses[0] + losses[-1]) / 2 - losses[len(losses) // 2])


def summarized(nets: Sequence[Net], amount: Amount) -> tuple[dict[str, Any], dict[str, Any]]:
    """The four relations with their intervals, and the controls."""
    relations = {
        "E per parameter with accuracy": _related(nets, _per_parameter, lambda n: n.accuracy),
        "log E with turns": _related(nets, _log, lambda n: n.turns),
        "log E with rise": _related(nets, _log, lambda n: n.rise),
    }
    seen = [net.turns for net in nets]
    sooner = _less_dense(nets, amount, lambda net: net.sooner(amount.images // BATCH))
    lower = _less_dense(nets, amount, lambda net: net.accuracy)
    most = f"{amount.pruned[-1]:.0%}"
    parts = {
        "more accurate with E per parameter": _sign(relations["E per parameter with accuracy"], 1),
        "pruned sooner": _sign(sooner[most], -1),
        "pruned lower": _sign(lower[most], -1),
        "more rugged with E": len(set(seen)) > 1 and _sign(relations["log E with turns"], 1),
    }
    measured = {
        "parts": parts,
        "rank correlation": relations,
        "log E of all nets": _range([_log(net) for net in nets]),
        "turns of all nets": _range(seen),
        "epochs to 95 %, pruned less dense": sooner,
        "accuracy, pruned less dense": lower,
        "by net": {
            f"{width} wide, {share:.0%} pruned": _told(
                [net for net in nets if (net.width, net.pruned) == (width, share)]
            )
            for width in amount.widths
            for share in (0.0, *amount.pruned)
        },
    }
    control = {
        "rank correlation within a width": _within(nets, amount),
        "rank correlation by other thresholds": {
            f"{above:g}": _at(nets, above) for above in OTHERS
        },
    }
    return measured, control


def _less_dense(nets: Sequence[Net], amount: Amount, of: Callable[[Net], float]) -> dict[str, Any]:
    """By how much a value of pruned nets is above that of dense ones, by the share pruned."""

    def values(share: float) -> list[float]:
        return [of(net) for net in nets if net.pruned == share]

    return {f"{share:.0%}": difference(values(share), values(0.0)) for share in amount.pruned}


def holds(parts: Mapping[str, bool | None]) -> bool | None:
    """All four; False where one surely goes the other way or is not there."""
    if any(part is False for part in parts.values()):
        return False
    return None if any(part is None for part in parts.values()) else True


def _range(values: Sequence[float]) -> list[float]:
    return [figure(min(values)), figure(max(values))]


def _log(net: Net) -> float:
    assert net.paths is not None
    return net.paths.log_inside


def _per_parameter(net: Net) -> float:
    assert net.paths is not None
    return net.paths.per_parameter


def _related(
    nets: Sequence[Net], one: Callable[[Net], float], other: Callable[[Net], float]
) -> dict[str, Any]:
    """Rank correlation over nets, with the interval of bootstrap samples."""
    pairs = torch.tensor([[one(net), other(net)] for net in nets], dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    picks = torch.randint(len(pairs), (RESAMPLED, len(pairs)), generator=draw)
    found = torch.tensor([_ranked(pairs[pick]) for pick in picks], dtype=torch.float64)
    if bool(found.isnan().all()):  # one of both is the same for all nets
        return {"mean": None, "interval": [None, None]}
    low, high = found[found == found].quantile(found.new_tensor([0.025, 0.975])).tolist()
    return {"mean": figure(_ranked(pairs)), "interval": [figure(low), figure(high)]}


def _ranked(pairs: Tensor) -> float:
    """Spearman's correlation of two columns; nan where one is constant."""
    ranks = torch.stack([_ranks(column) for column in pairs.T])
    return float(torch.corrcoef(ranks)[0, 1])


def _ranks(values: Tensor) -> Tensor:
    """Ranks, ties at their mean."""
    below = (values[:, None] > values).sum(1)
    same = (values[:, None] == values).sum(1)
    return below + (same - 1) / 2.0


def _within(nets: Sequence[Net], amount: Amount) -> dict[str, Any]:
    found = {}
    for width in amount.widths:
        own = [net for net in nets if net.width == width]
        found[f"{width} wide"] = {
            "E per parameter with accuracy": _of(own, _per_parameter, lambda n: n.accuracy),
            "log E with turns": _of(own, _log, lambda n: n.turns),
            "log E with rise": _of(own, _log, lambda n: n.rise),
        }
    return found


def _at(nets: Sequence[Net], above: float) -> dict[str, Any]:
    return {
        "E per parameter with accuracy": _of(
            nets, lambda n: n.others[above].per_parameter, lambda n: n.accuracy
        ),
        "log E with turns": _of(nets, lambda n: n.others[above].log_inside, lambda n: n.turns),
    }


def _of(
    nets: Sequence[Net], one: Callable[[Net], float], other: Callable[[Net], float]
) -> float | None:
    """Rank correlation over nets; None where one of both is the same for all."""
    pairs = torch.tensor([[one(net), other(net)] for net in nets], dtype=torch.float64)
    found = _ranked(pairs)
    return None if found != found else figure(found)


def _sign(found: Mapping[str, Any], claimed: int) -> bool | None:
    """Whether a figure surely has the claimed sign; None where its interval holds zero."""
    if None in found["interval"]:
        return None
    low, high = sorted(claimed * end for end in found["interval"])
    return True if low > 0 else False if high < 0 else None


def _told(nets: Sequence[Net]) -> dict[str, Any]:
    """Means over seeds, epoch by epoch and at the end."""
    epochs = zip(*(net.epochs for net in nets), strict=True)
    return {
        "turns": figure(mean(net.turns for net in nets)),
        "rise": figure(mean(net.rise for net in nets)),
        "epochs": [
            {key: float(f"{mean(own[key] for own in at):.4g}") for key in at[0]} for at in epochs
        ],
    }


def _accuracy(model: nn.Module, tested: Pairs) -> float:
    with torch.no_grad():
        return float((model(tested[0]).argmax(1) == tested[1]).double().mean())
