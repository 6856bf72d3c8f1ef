"""Directions that share out the space among them more evenly than chance does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from amphid.learning.gradients.weak.designs import (
    Directions,
    Shapes,
    drawn,
    entries,
    mixed,
    random_signs,
    split,
)


@dataclass(frozen=True)
class Orthogonal:
    """Directions of equal length, each at right angles to the others of its block.

    As many as there are entries, in one block, tell the slope of a linear loss exactly.

    block: how many go together, at most as many as there are entries. Their cost grows with the
    square of it.
    Reference: Choromanski et al. 2018, doi 10.48550/arXiv.1804.02395.
    """

    block: int = 32

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"block must be at least 1, got {self.block!r}.")

    def __call__(self, key: int, first: int, stop: int, shapes: Shapes) -> Directions:
        """Directions first to stop of a key, for parameters of these shapes."""
        size = entries(shapes)
        block = min(self.block, size)
        begin, end = first // block, -(-stop // block)
        blocks = drawn(key, range(begin * block, end * block), size).view(-1, block, size)
        whole = torch.cat([_at_right_angles(own) for own in blocks])
        return split(whole[first - begin * block : stop - begin * block], shapes)


@dataclass(frozen=True)
class Hadamard:
    """Rows of a Hadamard matrix with signs drawn for each entry: 1 and -1, nearly at right angles.

    As many directions as the next power of two above the number of entries make one matrix, rows
    and columns in random order; after these comes another.
    """

    def __call__(self, key: int, first: int, stop: int, shapes: Shapes) -> Directions:
        """Directions first to stop of a key, for parameters of these shapes."""
        size = entries(shapes)
        order = 2 ** size.bit_length()
        parts = []
        for block in range(first // order, -(-stop // order)):
            begin, end = max(first - block * order, 0), min(stop - block * order, order)
            parts.append(_rows(key, block, range(begin, end), size))
        return split(torch.cat(parts), shapes)


@dataclass(frozen=True)
class Sobol:
    """Normal directions of a scrambled Sobol sequence, for at most 21,201 entries.

    Reference: Owen 1998, doi 10.1006/jcom.1998.0487 (scrambling).
    """

    def __call__(self, key: int, first: int, stop: int, shapes: Shapes) -> Directions:
        """Directions first to stop of a key, for parameters of these shapes."""
        size = entries(shapes)
        if size > SobolEngine.MAXDIM:
            raise ValueError(
                f"Sobol directions have at most {SobolEngine.MAXDIM} entries, got {size}: take "
                "Hadamard(), or perturb one block at a time with scope=Alternating()."
            )
        engine = SobolEngine(size, scramble=True, seed=mixed(key, 0) >> 2)
        points = engine.fast_forward(first).draw(stop - first, dtype=torch.float64)
        smallest = 2.0**-31
        uniform = points.clamp(smallest, 1 - smallest)
        return split(math.sqrt(2) * torch.erfinv(2 * uniform - 1), shapes)


def _at_right_angles(rows: Tensor) -> Tensor:
    """Rows [K, P] turned to right angles, one after another, with entries of unit variance."""
    basis, upper = torch.linalg.qr(rows.T.double())
    turned = basis * upper.diagonal().sign()  # so that no direction is preferred
    return math.sqrt(rows.shape[1]) * turned.T


def _rows(key: int, block: int, places: range, size: int) -> Tensor:
    """Rows of one Hadamard matrix [K, P], with the signs of its entries."""
    order = 2 ** size.bit_length()
    generator = torch.Generator().manual_seed(mixed(key, block))
    row = torch.randperm(order, generator=generator)[places.start : places.stop]
    # without the first column, which is the same in every row
    column = 1 + torch.randperm(order - 1, generator=generator)[:size]
    signs = random_signs(mixed(key, block), range(1), size)
    return (1.0 - 2.0 * _odd(row[:, None] & column)) * signs


def _odd(words: Tensor) -> Tensor:
    """Whether the number of bits of each word is odd, as 0 or 1."""
    for shift in (16, 8, 4, 2, 1):
        words = words ^ (words >> shift)
    return words & 1
