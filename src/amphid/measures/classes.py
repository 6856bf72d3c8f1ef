"""How well classes are told apart when some are rare."""

from __future__ import annotations

from torch import Tensor


def recalls(chosen: Tensor, classes: Tensor) -> dict[int, float]:
    """Share of the examples of each class that were given that class, by class.

    chosen: the classes [B] that were given; classes: the true ones [B]. A class that never occurs
    has none.
    """
    _check(chosen, classes)
    return {
        kind: float((chosen[classes == kind] == kind).double().mean())
        for kind in classes.unique().tolist()
    }


def balanced_accuracy(chosen: Tensor, classes: Tensor) -> float:
    """Mean over the classes that occur of the share of each that was given its class.

    chosen: the classes [B] that were given; classes: the true ones [B]. An answer that does not
    look has one over the number of classes, however rare some are.
    Reference: Brodersen et al. 2010, doi 10.1109/ICPR.2010.764.
    """
    found = recalls(chosen, classes)
    return sum(found.values()) / len(found)


def _check(chosen: Tensor, classes: Tensor) -> None:
    for name, given in (("chosen", chosen), ("classes", classes)):
        if not isinstance(given, Tensor) or given.is_floating_point() or given.is_complex():
            got = given.dtype if isinstance(given, Tensor) else type(given).__name__
            raise TypeError(
                f"{name} must be whole numbers, got {got}. Of outputs [B, classes], "
                "`outputs.argmax(-1)` are the classes."
            )
    if chosen.dim() != 1 or chosen.shape != classes.shape:
        raise ValueError(
            f"chosen and classes must be one class [B] for each example, got shapes "
            f"{list(chosen.shape)} and {list(classes.shape)}."
        )
    if not len(classes):
        raise ValueError("classes must hold at least one example, got none.")
