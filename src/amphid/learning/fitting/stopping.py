"""When to stop: no progress for a while, or somebody asks for it."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

Better = Callable[[float, float], float]


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when an epoch after epoch brings nothing better; the best parameters are restored.

    patience: epochs without anything better after which the fit ends. least: by how much a value
    must be better to count. watch: what is looked at; "validation" where the fit validates, else
    "loss", when None. better: `min` where less is better, `max` where more is.
    """

    patience: int = 10
    least: float = 0.0
    watch: str | None = None
    better: Better = min

    def __post_init__(self) -> None:
        if not isinstance(self.patience, int) or self.patience < 1:
            raise ValueError(f"patience must be epochs, at least 1, got {self.patience!r}.")
        if not self.least >= 0:
            raise ValueError(f"least must not be negative, got {self.least!r}.")
        if self.better not in (min, max):
            raise ValueError(f"better must be the function min or max, got {self.better!r}.")

    def improves(self, value: float, best: float | None) -> bool:
        """Whether a value is better than the best so far; nan never is."""
        if math.isnan(value):
            return False
        if best is None:
            return True
        return best - value > self.least if self.better is min else value - best > self.least


def watched(row: Mapping[str, float], name: str | None) -> float:
    """The number of an epoch that schedules and early stopping look at.

    Raises KeyError naming what there is.
    """
    name = name or ("validation" if "validation" in row else "loss")
    if name not in row:
        raise KeyError(f"watch names {name!r}, but an epoch has {', '.join(row)}.")
    return row[name]


@contextmanager
def patient() -> Iterator[Callable[[], bool]]:
    """Within the block Ctrl-C and SIGTERM are only noted; yields what tells whether one came.

    Ctrl-C pressed again interrupts at once. After SIGTERM, by which a cluster or `torchrun` ends a
    process, the process ends at the end of the block. Elsewhere than in the main thread, and where
    the program has an own way with a signal, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in came:
            raise KeyboardInterrupt
        came.append(number)

    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    taken = {number: own for number, own in usual.items() if signal.getsignal(number) is own}
    for number in taken:
        signal.signal(number, note)
    try:
        yield lambda: bool(came)
    except Exception as error:
        if signal.SIGTERM in came:  # nobody else will tell
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise
    finally:
        for number, before in taken.items():
            signal.signal(number, before)
        if signal.SIGTERM in came:
            signal.raise_signal(signal.SIGTERM)
