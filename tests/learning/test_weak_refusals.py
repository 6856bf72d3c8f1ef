"""What an estimator that perturbs cannot be made of, or be asked, is a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from amphid import learning as am
from amphid.dynamics import LIF

LINE = {"x": torch.ones(3)}
NONSENSE: dict[str, tuple[Callable[[torch.Generator], Any], str]] = {
    "generator": (lambda g: am.Mollified(0), "generator must be a torch.Generator"),
    "generator of SPSA": (lambda g: am.SPSA("0"), "generator must be a torch.Generator"),
    "generator of Auto": (lambda g: am.Auto(None), "generator must be a torch.Generator"),
    "odd pairs": (lambda g: am.Mollified(g, samples=3), "a multiple of 2, got 3"),
    "half samples": (lambda g: am.Regression(g, samples=2.5), "samples must be a number of losses"),
    "named samples": (lambda g: am.Guided(g, samples="8"), "samples must be a number of losses"),
    "named radius": (
        lambda g: am.Mollified(g, radius="wide"),
        "radius must be a number, or Anneal",
    ),
    "no radius": (lambda g: am.Regression(g, radius=0), "radius must be above zero"),
    "design class": (lambda g: am.Mollified(g, design=am.Gaussian), "design must be one such as"),
    "kernel name": (lambda g: am.Mollified(g, kernel="bump"), r"kernel must be one such as Gauss"),
    "sides name": (
        lambda g: am.Mollified(g, sides="both"),
        r"sides must be one such as Antithetic",
    ),
    "solver name": (
        lambda g: am.Regression(g, solver="ridge"),
        r"solver must be one such as Ridge",
    ),
    "spread class": (lambda g: am.Spread(am.Mollified), "estimator must be one such as Mollified"),
    "nothing": (lambda g: am.Mollified(g)(lambda p: 1.0, {}), "at least one parameter"),
    "numbers": (
        lambda g: am.SPSA(g)(lambda p: 1.0, {"n": torch.ones(2, dtype=torch.long)}),
        "'n' must be a tensor of real numbers, got torch.int64",
    ),
    "audit": (
        lambda g: am.surrogate_audit(LIF(), LINE["x"], nn.MSELoss(), generator=g),
        "batch must be a pair",
    ),
    "landscape": (
        lambda g: am.loss_line(lambda p: p["x"].sum(), LINE, "x"),
        "direction must be tensors by name",
    ),
    "islands": (lambda g: am.Islands(am.Aging()), "schemes must be a tuple of schemes"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_told_by_the_name_of_the_argument(name: str) -> None:
    asked, told = NONSENSE[name]
    with pytest.raises((TypeError, ValueError), match=told):
        asked(torch.Generator())
