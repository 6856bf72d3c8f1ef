"""`amphid train`: a task or a function of one's own is trained, kept, resumed and scored."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from amphid.interfaces import fit_plots

OWN = """
import torch
from torch import nn

def build(generator, width=7, rate=1.0):
    inputs = torch.rand(11, 5, 3, generator=generator)
    targets = inputs.sum(-1, keepdim=True) * rate
    net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))
    for held in net.parameters():
        nn.init.uniform_(held, -0.5, 0.5, generator=generator)
    batches = list(zip(inputs, targets))
    return net, batches[:7], nn.functional.mse_loss, batches[7:]

def slow(generator):
    import time
    net, batches, loss, validate = build(generator)
    return net, batches, lambda y, t: time.sleep(0.02) or loss(y, t)

def streams(generator):
    net, batches, loss, _ = build(generator)
    return net, lambda epoch: iter(batches), loss

def wild(generator):
    net, batches, loss, _ = build(generator)
    return net, batches, lambda y, t: loss(y, t) * float("nan")

def two(generator):
    return build(generator)[:2]

def wants(size):
    return size
"""


@pytest.fixture
def own(amphid: Callable[..., object], tmp_path: Path) -> Callable[..., object]:
    (tmp_path / "own.py").write_text(OWN)
    return amphid


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of digits: 5,103 images to learn from, 211 to be tested on; a bright row tells."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for which, count in (("train", 5103), ("t10k", 211)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.zeros((count, 28, 28), np.uint8)
        images[np.arange(count), 2 * labels + 3] = 255
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            (folder / f"{which}-{name}-ubyte").write_bytes(head + values.tobytes())
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path / "data"))


def test_a_task_is_trained_validated_and_tested(amphid, digits, tmp_path) -> None:
    words = ("train", "digits", "--hidden", "13", "--steps", "4", "--batch", "11", "--seed", "3")
    told = amphid(*words, "--epochs", "2", "--learning-rate", "0.03", "--json", "--out", "r")
    told = told.document
    assert told["test"]["value"] > 0.8
    assert told["test"]["samples"] == 211
    assert told["chance"] == 22 / 211
    assert told["reference"][0]["score"] == 0.953
    assert [row["epoch"] for row in told["epochs"]] == [1, 2]
    assert told["epochs"][-1]["accuracy"] > 0.8
    assert told["parameters"] == 784 * 13 + 13 + 13 * 10 + 10
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {
        "config.toml", "run.json", "metrics.jsonl", "checkpoints", "model.safetensors",
        "learning_curve.png",
    }  # fmt: skip
    log = json.loads((tmp_path / "r" / "run.json").read_text())
    assert log["test"] == told["test"]
    assert log["argv"][:3] == ["amphid", "train", "digits"]


def test_the_configuration_repeats_a_training_bit_for_bit(own, tmp_path) -> None:
    words = ("train", "own.py:build", "--set", "width=5", "--epochs", "3", "--seed", "3")
    own(*words, "--out", "one", "--quiet")
    own("train", "--config", "one/config.toml", "--out", "two", "--quiet")
    own("train", "--config", "one/config.toml", "--out", "three", "--quiet", "--seed", "4")
    one, two, three = (load_file(tmp_path / name / "model.safetensors") for name in (
        "one", "two", "three"
    ))  # fmt: skip
    assert one["0.weight"].shape == (5, 3)
    assert all((one[name] == two[name]).all() for name in one)
    assert not (one["0.weight"] == three["0.weight"]).all()


def test_a_training_goes_on_as_though_it_had_not_ended(own, tmp_path) -> None:
    words = ("train", "own.py:build", "--schedule", "constant", "--quiet")
    own(*words, "--epochs", "5", "--out", "whole")
    own(*words, "--epochs", "2", "--out", "parts")
    told = own("train", "--resume", "parts", "--epochs", "5", "--json").document
    assert len(told["epochs"]) == 5
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all((whole[name] == parts[name]).all() for name in whole)
    assert "epochs = 5" in (tmp_path / "parts" / "config.toml").read_text()


def test_ctrl_c_leaves_a_checkpoint_that_goes_on(own, tmp_path) -> None:
    words = ("train", "own.py:slow", "--epochs", "9", "--quiet")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-m", "amphid", *words, "--out", "r"],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = tmp_path / "r" / "metrics.jsonl"
    while child.poll() is None and not (metrics.exists() and metrics.read_text()):
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "amphid train --resume r goes on with it" in err
    assert (tmp_path / "r" / "run.json").is_file()
    told = own("train", "--resume", "r", "--json").document
    assert told["ended"] == "done"
    own(*words, "--out", "whole")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "r"))
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_patience_ends_a_training_and_keeps_the_best(own) -> None:
    words = ("train", "own.py:build", "--optimizer", "sgd", "--schedule", "constant")
    told = own(*words, "--learning-rate", "0.3", "--epochs", "200", "--patience", "2", "--json")
    told = told.document
    assert told["ended"] == "early stopping"
    assert len(told["epochs"]) == told["best_epoch"] + 2


def test_a_loss_that_is_not_finite_fails_with_its_sentence(own) -> None:
    answer = own("train", "own.py:wild", "--quiet", "--out", "r")
    assert answer.code == 1
    assert "the loss is nan" in answer.sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "WHAT is missing"),
        (("digts",), "Did you mean digits?"),
        (("digits",), "amphid connectome fetch mnist"),
        (("digits", "--surrogate", "arctn"), "Did you mean arctan?"),
        (("digits", "--set", "a=1"), "function of your own"),
        (("digits", "--dropout", "1"), "dropout: input should be less than 1"),
        (("digits", "--maps", "3,5"), "--maps is not of a dense network"),
        (("digits", "--network", "convolutional", "--hidden", "7"), "--hidden is not of a conv"),
        (("own.py:buld",), "Did you mean build?"),
        (("own.py:build", "--set", "widht=5"), "takes no 'widht'; it takes generator, width, rate"),
        (("own.py:build", "--set", "width"), "NAME=VALUE"),
        (("own.py:build", "--hidden", "7"), "--hidden is of the networks for tasks"),
        (("own.py:wants",), "give --set size=VALUE"),
        (("own.py:wants", "--set", "size=3"), "must return (model, batches, loss)"),
        (("own.py:two",), "must return (model, batches, loss)"),
        (("own.py:streams",), "--schedule constant"),
        (("--resume", "nowhere"), "there is no nowhere/config.toml"),
        (("--resume", "run"), "does not say what is trained: it is of no training"),
        (("--config", "own.py"), "cannot be read as TOML"),
    ],
)
def test_nonsense_gets_a_sentence_and_leaves_no_folder(own, tmp_path, words, sentence) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text("[network]\n")  # of another command
    answer = own("train", *words, "--quiet")
    assert answer.code == 2
    assert sentence in answer.sentence
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--seed", "4"), "leave out --seed"),
        (("--learning-rate", "1"), "leave out --learning-rate"),
        (("--epochs", "9"), "a cycle of learning rates ends with its epochs"),
        (("own.py:build",), "leave out WHAT"),
    ],
)
def test_a_resumed_training_is_what_it_was(own, words, sentence) -> None:
    own("train", "own.py:build", "--epochs", "1", "--out", "r", "--quiet")
    answer = own("train", *words, "--resume", "r")
    assert answer.code == 2
    assert sentence in answer.sentence


def test_a_folder_with_files_is_never_written_into(own, tmp_path) -> None:
    answer = own("train", "own.py:build", "--out", tmp_path)
    assert answer.code == 2
    assert "never writes over" in answer.sentence


def test_a_learning_curve_has_a_line_for_whatever_was_measured() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    rows = [
        {"epoch": k, "update": 7 * k, "loss": 2.0 / (k + 1), "accuracy": k / 5, "seconds": 0.1}
        for k in range(3)
    ]
    figure = Figure()
    ax = fit_plots.learning_curve(rows, figure.subplots())
    assert ax.lines[0].get_ydata().tolist() == [2.0, 1.0, 2.0 / 3]
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3]
    (right,) = (other for other in figure.axes if other is not ax)
    assert right.get_ylabel() == "accuracy"
    assert ax.get_yscale() == "log"
    with pytest.raises(ValueError, match="no whole epoch"):
        fit_plots.learning_curve([], figure.subplots())
