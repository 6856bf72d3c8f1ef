"""When to stop: no progress for a while, or somebody presses Ctrl-C."""

from __future__ import annotations

import math
import signal
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
    """Within the block Ctrl-C is only noted; yields what tells whether it was pressed.

    Pressed again it interrupts at once. Elsewhere than in the main thread, and where the program
    has an own way with Ctrl-C, nothing is changed.
    """
    own = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if own or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
