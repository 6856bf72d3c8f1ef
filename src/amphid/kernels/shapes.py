"""Shapes of tensors that stand side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def common_shape(*shapes: Sequence[int]) -> torch.Size:
    """The shape that tensors of these shapes broadcast to; torch's own loads an algebra system.

    Raises ValueError when they do not fit.
    """
    return torch.Size(np.broadcast_shapes(*(tuple(shape) for shape in shapes)))
