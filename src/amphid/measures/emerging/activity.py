"""What counts as active: a convention, which every figure of emergence hangs on."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

from torch import Tensor


class Convention(Protocol):
    """Which units are active, by what they gave out."""

    def __call__(self, values: Tensor, leading: int) -> Tensor:
        """[*N] of values [*S, *N], whose `leading` first axes are time and examples."""


@dataclass(frozen=True)
class Threshold:
    """A unit is active whose mean magnitude over time and examples is above `above`.

    normalized: the values of a layer are divided by their standard deviation over all its units,
    times and examples first; they are not shifted, so that what is zero stays silent. Without it
    the magnitude is taken as it comes: then a net whose layers differ in scale has layers that are
    all active beside others that are all silent, and the count says little but that.
    above: 0.5 by default, at which about half of the units of a rectified net on digits are active.
    At 0.05, 96 % of them are, so that the count is of a few stragglers.
    """

    above: float = 0.5
    normalized: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.above, Real) or not 0 <= self.above < float("inf"):
            raise ValueError(f"Threshold: above must not be negative, got {self.above!r}.")

    def __call__(self, values: Tensor, leading: int) -> Tensor:
        """Which units [*N] of values [*S, *N] are active."""
        found = _magnitude(values, leading)
        if not self.normalized:
            return found > self.above
        return found > self.above * values.double().std(correction=0)


@dataclass(frozen=True)
class RelativeThreshold:
    """A unit is active whose mean magnitude is above a share of that of its layer's strongest.

    Scaling a layer changes nothing. share: from 0 to 1.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        _check_share("RelativeThreshold", self.share)

    def __call__(self, values: Tensor, leading: int) -> Tensor:
        """Which units [*N] of values [*S, *N] are active."""
        found = _magnitude(values, leading)
        return found > self.share * found.max()


@dataclass(frozen=True)
class ShareOfTime:
    """A unit is active that is on in at least a share of the time, of all examples.

    On is above zero: a spike, a one of a Boolean net. share: above 0, up to 1; 0.05 is that of
    random Boolean networks. window: so many steps in a row count as one, on where any is, as a
    spike lasts one step however short it is; what is left at the end makes no window.
    """

    share: float = 0.05
    window: int = 1

    def __post_init__(self) -> None:
        _check_share("ShareOfTime", self.share)
        if not self.share or not isinstance(self.window, int) or self.window < 1:
            raise ValueError(
                "ShareOfTime: share must be above 0 and window a number of steps, got "
                f"{self.share!r} and {self.window!r}."
            )

    def __call__(self, values: Tensor, leading: int) -> Tensor:
        """Which units [*N] of values [T, *B, *N] are active."""
        _check_finite(values)
        on, window = values > 0, self.window
        if window > 1:
            steps = len(on) // window
            if not steps:
                raise ValueError(
                    f"ShareOfTime: a window of {window} steps does not fit into {len(on)}."
                )
            on = on[: steps * window].unflatten(0, (steps, window)).any(1)
        flat = on.flatten(0, leading - 1) if leading else on[None]
        return flat.double().mean(0) >= self.share


def _magnitude(values: Tensor, leading: int) -> Tensor:
    _check_finite(values)
    found = values.detach().double().abs()
    return (found.flatten(0, leading - 1) if leading else found[None]).mean(0)


def _check_finite(values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise ValueError(
            "emergence: a layer gives out what is no finite number, by which no unit can be told "
            "to be active or silent."
        )


def _check_share(name: str, share: Any) -> None:
    if not isinstance(share, Real) or not 0 <= float(share) <= 1:
        raise ValueError(f"{name}: share must be from 0 to 1, got {share!r}.")
