"""The closed form for layers that are connected all to all, each to the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from amphid.measures.emerging.found import Emerged


def layered(layers: Sequence[object]) -> Emerged:
    r"""Emergence of layers, each given as which of its units are active [N_i].

    .. math:: E = \sum_{i<L} (N_i - a_i) \sum_{j>i} \prod_{k=i+1}^{j} a_k, \qquad
              E' = \sum_{i<j} (N_i - a_i) a_j \prod_{k=i+1}^{j-1} N_k

    with a_i active units of N_i. Parameters are the connections.
    """
    if not layers:
        raise ValueError("a network given as its layers must have at least one, got none.")
    masks = [_mask(layer) for layer in layers]
    sizes, active = [len(mask) for mask in masks], [int(mask.sum()) for mask in masks]
    inside = through = ahead = beyond = 0
    for size, on in zip(sizes[::-1], active[::-1], strict=True):
        inside, through = inside + (size - on) * ahead, through + (size - on) * beyond
        ahead, beyond = on * (1 + ahead), on + size * beyond
    return Emerged(inside, through, sum(sizes), sum(active), sum(a * b for a, b in pairwise(sizes)))


def _mask(layer: object) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = np.asarray(layer)
    if mask.dtype != np.bool_:
        raise TypeError(
            "a network given as its layers must say for each unit whether it is active, as "
            f"booleans [N], got {mask.dtype}: values > threshold."
        )
    return mask.ravel()
