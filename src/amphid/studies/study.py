"""One claim: run it, and print what was measured beside what was published."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How a study is run.

    seed: of every random draw. full: the whole protocol instead of the quick one. progress: hears
    what is being done, how many parts are done, and of how many.
    """

    seed: int = 0
    full: bool = False
    progress: Progress | None = None

    def tell(self, doing: str, done: int, of: int) -> None:
        """Tell who listens how far the study is."""
        if self.progress:
            self.progress(doing, done, of)


@dataclass(frozen=True)
class Findings:
    """What a study found.

    measured, reference and control hold figures by name; assumptions are sentences. `holds` is
    computed from `measured`: True, False, or None when the claim could not be judged.
    """

    measured: Mapping[str, Any]
    reference: Mapping[str, Any]
    control: Mapping[str, Any]
    assumptions: tuple[str, ...]
    seeds: tuple[int, ...]
    holds: bool | None


@dataclass(frozen=True)
class Report:
    """Findings, with the name and the claim of their study and the seconds that they took."""

    study: str
    claim: str
    measured: Mapping[str, Any]
    reference: Mapping[str, Any]
    control: Mapping[str, Any]
    assumptions: tuple[str, ...]
    seeds: tuple[int, ...]
    seconds: float
    holds: bool | None

    def json(self) -> str:
        """The report as one JSON document."""
        return json.dumps(asdict(self), indent=2)


class Study(ABC):
    """A claim that can be run. Abstract: concrete studies are final."""

    name: ClassVar[str]
    claim: ClassVar[str]
    cells: ClassVar[int] = 397
    """Cells of its largest network, which decides how many threads are worth their while."""
    published: ClassVar[str]
    """The published figure, in words, as `amphid study list` prints it."""

    def run(self, settings: Settings) -> Report:
        """Measure the claim. Raises FileNotFoundError in a sentence when it lacks its data."""
        start = time.perf_counter()
        findings = self.measure(settings)
        seconds = time.perf_counter() - start
        return Report(study=self.name, claim=self.claim, seconds=seconds, **vars(findings))

    @abstractmethod
    def measure(self, settings: Settings) -> Findings:
        """What `run` reports; a study defines it."""
