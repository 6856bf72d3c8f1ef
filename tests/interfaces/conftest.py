"""The command line, called in process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from amphid.interfaces.command_line import main
from amphid.wiring import Cells, Connections, Connectome, files


@dataclass(frozen=True)
class Answer:
    """What a command did: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line on stderr; there must be no other output."""
        assert self.out == ""
        assert self.err.startswith("amphid: ")
        assert self.err.count("\n") == 1
        return self.err.strip()


@pytest.fixture
def amphid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Answer]]:
    """The command, in an empty folder, without data sets and with its own cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.delenv("AMPHID_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    threads = torch.get_num_threads()

    def call(*words: str | Path) -> Answer:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    yield call
    torch.set_num_threads(threads)


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """A file of 5 cells in a ring, one of them inhibitory, with a gap junction."""
    cells = Cells(
        ["A", "B", "C", "D", "E"],
        kind=["sensory", "inter", "inter", "inter", "motor"],
        transmitter=["acetylcholine", "GABA", "glutamate", "acetylcholine", "acetylcholine"],
    )
    wires = Connections(
        [0, 1, 2, 3, 4, 0],
        [1, 2, 3, 4, 0, 3],
        kind=["chemical"] * 5 + ["electrical"],
        synapses=[7, 5, 3, 2, 11, 13],
    )
    return files.write(Connectome(cells, wires, name="ring"), tmp_path / "ring.h5")
