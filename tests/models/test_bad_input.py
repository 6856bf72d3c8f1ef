"""What a layer cannot take is said in a sentence that names the layer and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amphid.dynamics import LIF
from amphid.models import (
    Connections,
    FirstSpikeTime,
    Gain,
    PoissonCode,
    RateCode,
    Recurrent,
    Repeat,
    Sequential,
    TimeMean,
)
from amphid.wiring import random

T, B, N, M = 7, 5, 3, 11


def x() -> Tensor:
    return torch.rand(T, B, N, generator=torch.Generator().manual_seed(1))


def net() -> Sequential:
    return Sequential(nn.Linear(N, M), Gain(500.0), LIF(), TimeMean())


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "double": (
        lambda: net()(x().double()),
        TypeError,
        r"layer 0 \(Linear\) holds numbers of type float32, but its input is float64: "
        r"x.to\(torch.float32\) changes the input, model.to\(torch.float64\) the model.",
    ),
    "whole": (
        lambda: net()(x().long()),
        TypeError,
        r"its input is int64: x.to\(torch.float32\) changes the input.",
    ),
    "image": (
        lambda: Sequential(nn.Conv2d(1, 2, 3), LIF())(torch.rand(4, 5, 1, 8, 8).double()),
        TypeError,
        r"layer 0 \(Conv2d\) holds numbers of type float32",
    ),
    "recurrent double": (
        lambda: Recurrent(LIF(), nn.Linear(N, N))(x().double()),
        TypeError,
        r"Recurrent: projection \(Linear\) holds numbers of type float32",
    ),
    "connections double": (
        lambda: Connections(random(N, probability=1.0, generator=torch.Generator()))(x().double()),
        TypeError,
        "Connections holds numbers of type float32",
    ),
    "recurrent size": (
        lambda: Recurrent(LIF(), nn.Linear(M, M))(x()),
        ValueError,
        r"projection \(Linear\) takes 11 cells, but there are 3",
    ),
    "array": (
        lambda: net()(x().numpy()),
        TypeError,
        r"Sequential takes a tensor \[T, \*B, N\], got ndarray: torch.as_tensor",
    ),
    "array for cells": (lambda: LIF()(x().numpy()), TypeError, "LIF takes a tensor"),
    "number": (lambda: net()(torch.tensor(1.0)), ValueError, "got a single number"),
    "dt zero": (lambda: net()(x(), dt=0.0), ValueError, "dt must be a positive number of ms"),
    "dt negative": (lambda: net().run(x(), dt=-1.0), ValueError, "ms, got -1.0"),
    "dt text": (lambda: LIF()(x(), dt="1"), ValueError, "ms, got '1'"),
    "dt nan": (lambda: Repeat(5.0)(x()[0], dt=float("nan")), ValueError, "ms, got nan"),
    "class": (
        lambda: Sequential(nn.Linear(N, M), LIF),
        TypeError,
        r"layer 1 of Sequential must be a module, got LIF: it is a class.*LIF\(...\)",
    ),
    "list": (lambda: Sequential([nn.Linear(N, M)]), TypeError, r"Sequential\(\*layers\)"),
    "function": (lambda: Sequential(torch.relu), TypeError, "wrap what is no module"),
    "none": (lambda: Sequential(LIF(), None), TypeError, "layer 1 of Sequential .* got NoneType"),
    "poisson": (lambda: PoissonCode()(x() * torch.nan), ValueError, "not a number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_is_said(name: str) -> None:
    wrong, error, says = WRONG[name]
    with pytest.raises(error, match=says):
        wrong()


def test_whole_numbers_and_truth_values_are_numbers_too() -> None:
    spikes = x() > 0.5
    assert torch.equal(Gain(0.5)(spikes.long()), 0.5 * spikes.float())
    assert torch.equal(FirstSpikeTime()(spikes), FirstSpikeTime()(spikes.float()))
    for code in (RateCode, PoissonCode):
        drawn = [
            code(0.5, generator=torch.Generator().manual_seed(2))(own)
            for own in (spikes, spikes.float())
        ]
        assert torch.equal(*drawn)
