"""Few labels of digits: plainly, augmented, after other digits, after images without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.learning import EachUpdate, fit
from amphid.studies.paired import drawn
from amphid.studies.transfer import UNITS, Pair, part, small_net
from amphid.tasks import Batches, Digits, accuracy
from amphid.tasks.task import Split

LABELS = (10, 30, 100, 300, 1000)
OLD, NEW = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
RATE = 3e-3  # at its highest, of one cycle
BATCH, AT_ONCE = 32, 64
CENTER, SPREAD = 0.13, 0.31  # of the brightness of all training images
TURN, GROW, MOVE = 0.25, 0.12, 2.0  # rad, share, pixels
COOL, COMPARED = 0.2, 32  # temperature of the contrastive loss; numbers a view is compared by
ARMS = ("plain", "augmented", "transfer", "self-supervised")


@dataclass(frozen=True)
class Amount:
    """How much a seed learns.

    before: images of 0 to 4 with labels, and of 5 to 9 without, that are seen before. tested:
    images that arms are scored on. updates: with the labels, in every arm and for every number of
    them, to the nearest whole epoch. taught, looked: updates before, with labels of others and
    without labels.
    """

    before: int
    tested: int
    updates: int
    taught: int
    looked: int


def bent(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [B, 1, H, W], each turned, scaled and moved a little by a random map of its own."""
    count, side = len(images), images.shape[-1]

    def within(reach: float) -> Tensor:
        return reach * (2 * torch.rand(count, generator=generator) - 1)

    angle, size = within(TURN), 1 + within(GROW)
    cosine, sine = size * angle.cos(), size * angle.sin()
    moved = [within(2 * MOVE / side) for _ in range(2)]
    rows = (torch.stack((cosine, -sine, moved[0]), 1), torch.stack((sine, cosine, moved[1]), 1))
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def contrast(one: Tensor, other: Tensor) -> Tensor:
    r"""Loss of two views [B, F]: each should be nearest to the other view of its own image.

    .. math:: -\log \frac{e^{z_i \cdot z_i' / T}}{\sum_{k \ne i} e^{z_i \cdot z_k / T}}

    over all 2 B views, of unit length. Reference: Chen et al. 2020, arXiv 2002.05709.
    """
    both = functional.normalize(torch.cat((one, other)), dim=1)
    alike = both @ both.T / COOL
    alike = alike.masked_fill(torch.eye(len(both), dtype=torch.bool), float("-inf"))
    partner = torch.arange(len(both)).roll(len(one))
    return functional.cross_entropy(alike, partner)


def shown(images: Tensor) -> Tensor:
    """Images from 0 to 1 as the net sees them: of mean about zero and spread about one."""
    return (images - CENTER) / SPREAD


def fresh(seed: int) -> nn.Sequential:
    """The net of the study `transfer`, laid out in memory for fast convolutions."""
    net: nn.Sequential = small_net(_draw(seed))
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def taught(known: Pair, seed: int, updates: int) -> nn.Sequential:
    """A net that learned other digits, with labels."""
    net = fresh(seed)
    _learn(net, known, AT_ONCE, updates, _draw(seed + 1))
    return net


def looked(images: Tensor, seed: int, updates: int) -> nn.Sequential:
    """A net that saw images [B, 28, 28] without labels, and learned which views are of one.

    Views are compared behind two more layers, which are thrown away.
    """
    net, draw = fresh(seed), _draw(seed + 1)
    compared = nn.Sequential(nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, COMPARED))
    drawn(compared, draw)
    features = nn.Sequential(net[:-1], compared)
    optimizer, cycle = _cycle(features, updates)
    for _ in range(updates):
        chosen = torch.randint(len(images), (AT_ONCE,), generator=draw)
        seen = images[chosen][:, None].float() / 255.0
        optimizer.zero_grad()
        one, other = features(shown(torch.cat([bent(seen, draw), bent(seen, draw)]))).chunk(2)
        contrast(one, other).backward()
        optimizer.step()
        cycle.step()
    return net


def curves(seed: int, amount: Amount, split: Split = "test") -> dict[str, dict[int, float]]:
    """Accuracy of every arm on images of 5 to 9 of a split, by how many labels it had."""
    task = Digits(generator=_draw(seed))
    scored = part(task, split, NEW, amount.tested)
    each = [part(task, "train", (digit,), LABELS[-1] // 5).images for digit in NEW]
    unlabeled = part(task, "train", NEW, len(task.labels["train"])).images[-amount.before :]
    starts = {
        "plain": fresh(seed),
        "transfer": taught(part(task, "train", OLD, amount.before), seed, amount.taught),
        "self-supervised": looked(unlabeled, seed, amount.looked),
    }
    starts["augmented"] = starts["plain"]
    found: dict[str, dict[int, float]] = {arm: {} for arm in ARMS}
    for count in LABELS:
        few = Pair(
            torch.cat([images[: count // 5] for images in each]),
            torch.arange(5).repeat_interleave(count // 5),
        )
        for arm in ARMS:
            net = tuned(starts[arm], few, seed, amount.updates, augmented=arm == "augmented")
            found[arm][count] = _accuracy(net, scored)
    return found


def tuned(
    start: nn.Sequential, few: Pair, seed: int, updates: int, *, augmented: bool
) -> nn.Sequential:
    """A copy of a net whose last layer is drawn anew, and all of which learns few labels."""
    net = fresh(seed)
    net.load_state_dict(start.state_dict())
    drawn(net[-1], _draw(seed + 2))
    draw = _draw(seed + 3)
    _learn(net, few, BATCH, updates, draw, bend=(lambda x: bent(x, draw)) if augmented else None)
    return net


def _learn(
    net: nn.Sequential,
    pair: Pair,
    size: int,
    updates: int,
    order: torch.Generator,
    bend: Callable[[Tensor], Tensor] | None = None,
) -> None:
    batches = _shown(pair.batches(size, order), bend)
    epochs = max(1, round(updates / len(batches)))
    optimizer, cycle = _cycle(net, epochs * len(batches))
    fit(
        net,
        batches,
        functional.cross_entropy,
        optimizer=optimizer,
        epochs=epochs,
        schedule=EachUpdate(cycle),
        guard=None,
        progress=None,
    )


def _shown(batches: Batches, bend: Callable[[Tensor], Tensor] | None = None) -> Batches:
    """The same batches as the net sees them, bent before if they are to be."""
    bright = batches.prepared
    seen = bright if bend is None else lambda images: bend(bright(images))
    return replace(batches, prepared=lambda images: shown(seen(images)))


def _cycle(
    net: nn.Module, updates: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam, and one cycle of its rate."""
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=updates)


def _accuracy(net: nn.Module, pair: Pair) -> float:
    return accuracy(net, _shown(pair.batches(500))).value


def _draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
