"""`amphid export`: what `amphid simulate` would run, for other programs."""

from __future__ import annotations

import pytest
import torch


def test_a_network_is_exported_as_simulate_builds_it(amphid, ring, tmp_path) -> None:
    pytest.importorskip("neuroml")
    from amphid.interfaces.neuroml import import_neuroml

    words = ("--neuron", "lif", "--chemical", "40", "--steady", "--json")
    told = amphid("export", ring, "ring.nml", *words).document
    assert told == {"written": "ring.nml", "cells": 5, "connections": 6}
    net = import_neuroml(tmp_path / "ring.nml")
    assert dict(net.groups())["excitatory"].conductance == 20.0  # half of the resources are used
    amphid("simulate", ring, "--neuron", "lif", "--stimulate", "A", "--out", "run", "--quiet")
    answer = amphid("export", "--config", "run/config.toml", "again.nml", "--steady")
    assert answer.code == 0, answer.err
    assert dict(import_neuroml(tmp_path / "again.nml").neuron.values()) == dict(net.neuron.values())


def test_a_step_is_exported_with_its_dt(amphid, ring, tmp_path) -> None:
    from amphid.interfaces.step_files import load_step

    answer = amphid("export", ring, "ring.pt2", "--neuron", "graded", "--dt", "0.25")
    assert answer.code == 0, answer.err
    step = load_step(tmp_path / "ring.pt2")
    assert (step.dt, step.inputs) == (0.25, (5,))
    state, output = step(step.rest(2), torch.zeros(2, 5))
    assert output.shape == (2, 5)
    assert set(state) == set(step.rest())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ring.txt",), "NETWORK and OUT are needed"),
        (("celegans", "ring.txt"), "OUT cannot end in '.txt'"),
        (("celegans", "worm.nml", "--neuron", "graded"), "no component"),
        (("celegans", "worm.nml", "--neuron", "lif"), "--steady writes them"),
        (("celegans", "there.nml"), "is there already"),
        (("nothing", "worm.nml"), "nothing"),
    ],
)
def test_nonsense_gets_a_sentence(amphid, tmp_path, words, sentence) -> None:
    pytest.importorskip("neuroml")
    (tmp_path / "there.nml").write_text("")
    answer = amphid("export", *words)
    assert answer.code == 2
    assert sentence in answer.sentence
