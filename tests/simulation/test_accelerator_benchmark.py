"""The benchmark of accelerators runs on a processor, too, in a small setting."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "accelerator.py"


def test_it_measures_both_networks(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    spec = importlib.util.spec_from_file_location("accelerator", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "STEPS", 23)
    monkeypatch.setattr(script, "SHORT", 3)
    script.main(["--device", "cpu", "--share", "0.0005", "--repeat", "1", "--json"])
    found = {one["workload"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
    assert found.keys() == {"worm", "brain"}
    for one in found.values():
        assert 0 < one["least_mb"] < one["moved_mb"]
        assert one["replayed_ms"] > 0
