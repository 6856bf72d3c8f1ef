"""Few labels of digits: plainly, augmented, after other digits, after images without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from amphid.learning import EachUpdate, fit
from amphid.studies.paired import drawn
from amphid.studies.transfer import Pair, part, small_net
from amphid.tasks import Digits, accuracy

LABELS = (10, 30, 100, 300, 1000)
OLD, NEW = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
RATE = 3e-3  # at its highest, of one cycle
BATCH, AT_ONCE = 10, 64
TURN, GROW, MOVE = 0.25, 0.12, 2.0  # rad, share, pixels
COOL = 0.2  # temperature of the contrastive loss
ARMS = ("plain", "augmented", "transfer", "self-supervised")


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


def taught(known: Pair, seed: int) -> nn.Sequential:
    """A net that learned other digits, with labels."""
    net, order = small_net(_draw(seed)), _draw(seed + 1)
    _learn(net, known, AT_ONCE, 4 * len(known.targets) // AT_ONCE, order)
    return net


def looked(images: Tensor, seed: int, epochs: int) -> nn.Sequential:
    """A net that saw images [B, 28, 28] without labels, and learned which views are of one."""
    net, draw = small_net(_draw(seed)), _draw(seed + 1)
    features = net[:-1]
    optimizer = torch.optim.Adam(features.parameters(), lr=RATE / 3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=draw).split(AT_ONCE):
            shown = images[chosen][:, None].float() / 255.0
            optimizer.zero_grad()
            contrast(features(bent(shown, draw)), features(bent(shown, draw))).backward()
            optimizer.step()
    return net


def curves(seed: int, *, before: int, tested: int, updates: int) -> dict[str, dict[int, float]]:
    """Test accuracy of every arm on the digits 5 to 9, by how many labels it had.

    before: images of the digits 0 to 4 with labels, and of 5 to 9 without, that were seen before.
    """
    task = Digits(generator=_draw(seed))
    test = part(task, "test", NEW, tested)
    unlabeled = part(task, "train", NEW, before + LABELS[-1])
    starts = {
        "plain": small_net(_draw(seed)),
        "transfer": taught(part(task, "train", OLD, before), seed),
        "self-supervised": looked(unlabeled.images[LABELS[-1] :], seed, epochs=3),
    }
    starts["augmented"] = starts["plain"]
    each = [part(task, "train", (digit,), LABELS[-1] // 5).images for digit in NEW]
    found: dict[str, dict[int, float]] = {arm: {} for arm in ARMS}
    for count in LABELS:
        few = Pair(
            torch.cat([images[: count // 5] for images in each]),
            torch.arange(5).repeat_interleave(count // 5),
        )
        for arm in ARMS:
            net = tuned(starts[arm], few, seed, updates, augmented=arm == "augmented")
            found[arm][count] = accuracy(net, test.batches(500)).value
    return found


def tuned(
    start: nn.Sequential, few: Pair, seed: int, updates: int, *, augmented: bool
) -> nn.Sequential:
    """A copy of a net whose last layer is drawn anew, and all of which learns few labels."""
    net = small_net(_draw(seed))
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
    batches = pair.batches(size, order)
    if bend is not None:
        plain = batches.prepared
        batches = replace(batches, prepared=lambda images: bend(plain(images)))
    epochs = max(1, round(updates / len(batches)))
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * len(batches))
    fit(
        net,
        batches,
        functional.cross_entropy,
        optimizer=optimizer,
        epochs=epochs,
        schedule=EachUpdate(cycle),
        progress=None,
    )


def _draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
