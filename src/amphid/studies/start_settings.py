"""Nets to start in several ways, and what they are to learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import avg_pool2d

from amphid.tasks import Digits

POOLED = 14  # pixels on a side
WORDS, LENGTH, WIDTH = 11, 7, 32  # of sentences, and of the transformer

Pairs = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Setting:
    """One net and what it learns.

    net: makes it. pairs: draws what is learned and what is tested, by seed. optimizer: its class.
    target: the training loss to reach. steps: the most that are taken. highest: the top of the
    range of learning rates. batch: examples of a step.
    """

    name: str
    net: Callable[[], nn.Module]
    pairs: Callable[[int], tuple[Pairs, Pairs]]
    optimizer: type[torch.optim.Optimizer]
    target: float
    steps: int
    highest: float
    batch: int = 100


def digits(images: int) -> Callable[[int], tuple[Pairs, Pairs]]:
    """Digits [B, 1, 14, 14], pooled and standardized: some to learn, 1,000 to test."""

    @cache
    def pairs(seed: int) -> tuple[Pairs, Pairs]:
        task = Digits(images, validation=0, generator=torch.Generator().manual_seed(seed))
        parts = [(task.images[split], task.labels[split]) for split in ("train", "test")]
        learned, tested = (
            (avg_pool2d(x[:count, None].float(), 2), y[:count])
            for (x, y), count in zip(parts, (images, 1000), strict=True)
        )
        mean, deviation = learned[0].mean(), learned[0].std()
        standard = [((x - mean) / deviation, y) for x, y in (learned, tested)]
        return standard[0], standard[1]

    return pairs


def reversals(sentences: int) -> Callable[[int], tuple[Pairs, Pairs]]:
    """Random sentences [B, 7] of 11 words, to be given back in reverse: a translation."""

    def pairs(seed: int) -> tuple[Pairs, Pairs]:
        draw = torch.Generator().manual_seed(seed)
        x = torch.randint(WORDS, (sentences + 1000, LENGTH), generator=draw)
        y = x.flip(1)
        return (x[:sentences], y[:sentences]), (x[sentences:], y[sentences:])

    return pairs


def dense(depth: int, width: int, *, norm: bool) -> Callable[[], nn.Module]:
    """`depth` layers with weights, rectified."""

    def made() -> nn.Module:
        sizes = [POOLED**2, *[width] * (depth - 1)]
        parts: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), *[nn.BatchNorm1d(after)] * norm, nn.ReLU()]
        return nn.Sequential(*parts, nn.Linear(sizes[-1], 10))

    return made


def convolutional(*, norm: bool) -> Callable[[], nn.Module]:
    """Five layers with weights: four convolutions and an output."""

    def made() -> nn.Module:
        parts: list[nn.Module] = []
        for before, after, stride in ((1, 8, 2), (8, 8, 1), (8, 16, 2), (16, 16, 1)):
            parts.append(nn.Conv2d(before, after, 3, stride, 1))
            parts += [*[nn.BatchNorm2d(after)] * norm, nn.ReLU()]
        return nn.Sequential(*parts, nn.Flatten(), nn.Linear(16 * 16, 10))

    return made


class Block(nn.Module):
    """Attention and two rectified layers, each beside a skip connection."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)
        self.wide, self.back = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.before = nn.LayerNorm(WIDTH) if norm else nn.Identity()
        self.between = nn.LayerNorm(WIDTH) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Sentences [B, L, 32] to such."""
        h = self.before(x)
        mixed = functional.scaled_dot_product_attention(self.query(h), self.key(h), self.value(h))
        x = x + self.out(mixed)
        return x + self.back(self.wide(self.between(x)).relu())


class Translator(nn.Module):
    """Words and places, two blocks, and a word for every place."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Parameter(torch.zeros(LENGTH, WIDTH))
        self.blocks = nn.Sequential(Block(norm=norm), Block(norm=norm))
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, words, L] of sentences [B, L]."""
        head: Tensor = self.head(self.blocks(self.words(x) + self.places))
        return head.mT


def draw_rest(net: nn.Module, generator: torch.Generator) -> None:
    """Draw what no initialization draws: words and places."""
    if isinstance(net, Translator):
        for own in (net.words.weight, net.places):
            nn.init.normal_(own, generator=generator)


SGD, ADAM = torch.optim.SGD, torch.optim.Adam
LEARNED = 5000  # images, or sentences
QUICK = (Setting("dense 6", dense(6, 64, norm=False), digits(2000), SGD, 0.3, 240, 0.1),)
FULL = (
    *(Setting(f"dense {depth}{' norm' * norm}", dense(depth, 64, norm=norm), digits(LEARNED), SGD,
              target, steps, 0.5 if norm else 0.1)
      for depth, target, steps in ((5, 0.3, 200), (10, 0.5, 220), (20, 1.0, 250))
      for norm in (False, True)),
    *(Setting(f"conv{' norm' * norm}", convolutional(norm=norm), digits(LEARNED), SGD, target,
              steps, 0.5 if norm else 0.1, 50)
      for norm, target, steps in ((False, 0.5, 200), (True, 0.3, 140))),
    *(Setting(f"transformer{' norm' * norm}", partial(Translator, norm=norm),
              reversals(LEARNED), ADAM, 0.3, steps, 0.05, 50)
      for norm, steps in ((False, 280), (True, 120))),
)  # fmt: skip
