"""What the steps of a network were traced to, remembered while nothing that they read has changed.

Tracing takes longer than a short run does. A step reads its arguments and what its module holds;
all of that is compared, to the last bit, so it does not matter how it was changed. Only the code of
amphid's own classes is taken for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.simulation.kept import Kept

T = TypeVar("T")

LATEST = 4  # networks on one connectome whose steps are remembered
NO_MATTER = set(nn.Module().__dict__) - {"_parameters", "_buffers", "_modules"}


class Unseen(Exception):
    """Something that a step may read, but that nobody else can look into."""


_REMEMBERED: Kept[list[tuple[Hashable, Any]]] = Kept()


def remembered(owner: object, read: Any, make: Callable[[], T]) -> T:
    """What `make` gives: made now unless everything in `read` is as it was a short while ago.

    It is forgotten with its owner. What cannot be seen into makes it anew every time.
    """
    try:
        key = (torch.get_default_dtype(), seen(read))
    except Unseen:
        return make()
    held = _REMEMBERED.of(owner, None, list)
    found: T = next((value for known, value in held if known == key), None) or make()
    held[:] = [(key, found), *(pair for pair in held if pair[1] is not found)][:LATEST]
    return found


def seen(value: Any) -> Hashable:
    """All that there is in a value, as something that is equal only to the same. Raises Unseen."""
    if isinstance(value, Tensor):
        return value.dtype, value.shape, _bytes(value)
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, float):
        return float, value.hex()
    if value is None or isinstance(value, int | str | torch.dtype | torch.Generator):
        return type(value), value
    if isinstance(value, Mapping):
        return tuple((key, seen(own)) for key, own in value.items())
    if isinstance(value, tuple | list):
        return type(value), *map(seen, value)
    if isinstance(value, nn.Module) and _is_ours(value):
        own = {name: held for name, held in value.__dict__.items() if name not in NO_MATTER}
        return type(value), seen(own)
    if is_dataclass(value) and _is_ours(value):
        return type(value), seen(vars(value))
    raise Unseen(value)


def shapes(tree: Any) -> Any:
    """What a trace sees of the tensors that it is given: their order, types and shapes."""
    return [(leaf.dtype, tuple(leaf.shape)) for leaf in pytree.tree_leaves(tree)]


def _bytes(held: Tensor) -> bytes:
    return held.detach().reshape(-1).view(torch.uint8).numpy().tobytes()


def _is_ours(value: object) -> bool:
    """Whether its methods read nothing but what it holds: those that others write may read more."""
    return type(value).__module__.startswith(("amphid.", "torch.nn."))
