"""Directions in which parameters are perturbed, each a pure function of a key and its number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Shapes = Mapping[str, torch.Size]
WORDS = 2**64


@dataclass(frozen=True, eq=False)
class Factors:
    """One matrix of low rank for each direction: left right^T, of the shape [O, *I] of a parameter.

    left: [K, O, r]. right: [K, I, r], with all further axes of the parameter as one.
    """

    left: Tensor
    right: Tensor

    def __len__(self) -> int:
        return len(self.left)

    def to(self, like: Tensor) -> Factors:
        """The same in the type and place of a tensor."""
        return Factors(self.left.to(like), self.right.to(like))

    def dense(self, shape: torch.Size) -> Tensor:
        """The matrices themselves [K, *shape]."""
        return (self.left @ self.right.mT).view(len(self), *shape)


Directions = dict[str, Tensor | Factors]
"""Directions of parameters by name, [K, *shape] each."""


class Design(Protocol):
    """Where to look: directions of unit variance in every entry.

    Direction k of a key is the same however many are asked for, and whichever with it, so that any
    process can draw any of them again.
    """

    def __call__(self, key: int, first: int, stop: int, shapes: Shapes) -> Directions:
        """Directions first to stop of a key, for parameters of these shapes."""


@dataclass(frozen=True)
class Gaussian:
    """Every entry is standard normal."""

    def __call__(self, key: int, first: int, stop: int, shapes: Shapes) -> Directions:
        """Directions first to stop of a key, for parameters of these shapes."""
        return split(drawn(key, range(first, stop), entries(shapes)), shapes)


@dataclass(frozen=True)
class Rademacher:
    """Every entry is 1 or -1."""

    def __call__(self, key: int, first: int, stop: int, shapes: Shapes) -> Directions:
        """Directions first to stop of a key, for parameters of these shapes."""
        return split(random_signs(key, range(first, stop), entries(shapes)), shapes)


@dataclass(frozen=True)
class LowRank:
    r"""Matrices of low rank, for large layers; what is no matrix gets normal entries.

    .. math:: \frac{1}{\sqrt r} \sum_{i=1}^r a_i b_i^\top, \qquad a_i, b_i \sim N(0, I)

    Each costs O + I numbers, not O I, and the network never forms the matrices.
    Reference: Sarkar et al. 2025, doi 10.48550/arXiv.2511.16652.
    """

    rank: int = 1

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank!r}.")

    def __call__(self, key: int, first: int, stop: int, shapes: Shapes) -> Directions:
        """Directions first to stop of a key, for parameters of these shapes."""
        sizes = [self._numbers(shape) for shape in shapes.values()]
        parts = drawn(key, range(first, stop), sum(sizes)).split(sizes, dim=1)
        return {
            name: self._shaped(part, shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }

    def _numbers(self, shape: torch.Size) -> int:
        return self.rank * (shape[0] + shape[1:].numel()) if len(shape) > 1 else shape.numel()

    def _shaped(self, part: Tensor, shape: torch.Size) -> Tensor | Factors:
        if len(shape) < 2:
            return part.view(-1, *shape)
        left, right = part.split([self.rank * shape[0], self.rank * shape[1:].numel()], dim=1)
        left = left.reshape(len(part), shape[0], self.rank) / math.sqrt(self.rank)
        return Factors(left, right.reshape(len(part), -1, self.rank))


def entries(shapes: Shapes) -> int:
    """How many numbers parameters of these shapes are."""
    return sum(shape.numel() for shape in shapes.values())


def generators(key: int, places: range) -> Iterator[torch.Generator]:
    """A generator for each direction, at the start of its own stream."""
    generator = torch.Generator()
    for place in places:
        yield generator.manual_seed(mixed(key, place))


def mixed(key: int, place: int) -> int:
    """A seed that is far from those of other keys and places (SplitMix64)."""
    word = (key + 0x9E3779B97F4A7C15 * (place + 1)) % WORDS
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % WORDS
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % WORDS
    return word ^ (word >> 31)


def drawn(
    key: int,
    places: range,
    size: int,
    draw: Callable[..., Tensor] = Tensor.normal_,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Numbers [K, size] of the directions at these places."""
    held = torch.empty(len(places), size, dtype=dtype)
    for row, generator in zip(held, generators(key, places), strict=True):
        draw(row, generator=generator)
    return held


def random_signs(key: int, places: range, size: int) -> Tensor:
    """Numbers 1 and -1 [K, size] of the directions at these places, each from one bit."""
    octets = drawn(key, places, -(-size // 8), _random_octets, torch.uint8)
    bits = torch.from_numpy(np.unpackbits(octets.numpy(), axis=1, count=size))
    return 1.0 - 2.0 * bits


def _random_octets(row: Tensor, *, generator: torch.Generator) -> Tensor:
    return row.random_(0, 256, generator=generator)


def split(flat: Tensor, shapes: Shapes) -> Directions:
    """Rows of all entries [K, P] as directions of the parameters."""
    parts = flat.split([shape.numel() for shape in shapes.values()], dim=1)
    return {
        name: part.view(len(flat), *shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
