"""Cortical-column: figures decide about the class of a state, and all of them about the claim."""

from __future__ import annotations

import copy

import pytest
import torch

from amphid.measures import rate
from amphid.models.microcircuit import FULL_RATES, POPULATIONS
from amphid.simulation import Recording, Spikes
from amphid.studies import cortical_column as study
from amphid.wiring import Cells


def recorded(dense: torch.Tensor) -> Recording:
    cells = Cells([f"c{k}" for k in range(dense.shape[-1])])
    return Recording(cells, 0.5, events=Spikes(dense.nonzero().T, tuple(dense.shape), 0.5))


def clocks() -> torch.Tensor:
    dense = torch.zeros(2003, 53)
    dense[::17] = 1.0
    return dense


def noise(strength: torch.Tensor | float = 0.05) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    return (torch.rand(2003, 53, generator=g) < strength).double()


def test_clocks_that_tick_together_are_synchronous_and_regular() -> None:
    assert study.classified(study.state(recorded(clocks()))) == "synchronous regular"


def test_clocks_of_their_own_are_asynchronous_and_regular() -> None:
    dense = torch.zeros(2003, 53)
    for cell in range(53):
        dense[cell % 7 :: 29 + cell, cell] = 1.0
    assert study.classified(study.state(recorded(dense))) == "asynchronous regular"


def test_independent_poisson_cells_are_asynchronous_and_irregular() -> None:
    assert study.classified(study.state(recorded(noise()))) == "asynchronous irregular"


def test_poisson_cells_that_share_a_rhythm_are_synchronous_and_irregular() -> None:
    wave = (torch.arange(2003) % 23 < 3).double()[:, None] * 0.3
    assert study.classified(study.state(recorded(noise(wave)))) == "synchronous irregular"


def test_shifting_trains_in_time_keeps_their_rates_and_ends_their_volleys() -> None:
    before = recorded(clocks())
    after = study.shifted_in_time(before, torch.Generator().manual_seed(2))
    torch.testing.assert_close(rate(after), rate(before))
    assert study.state(after)["fluctuation"] < 0.3 * study.state(before)["fluctuation"]
    index = after.spikes.index[0]
    assert bool((index.diff() >= 0).all())


def test_runs_are_told_by_when_they_fire() -> None:
    dense = torch.zeros(2003, 3)
    dense[7, 0] = 1.0
    short, long = recorded(dense), recorded(clocks())
    assert study.fires([short, long], 0.0) == [short, long]
    assert study.fires([short, long], 900.0) == [long]


def good() -> dict:
    """Figures under which everything holds."""
    lively = {"most draws go on": True, "CV": 0.9, "rate, Hz": 20.0}
    regimes = {
        name: {"class": f"{together} {alone}"}
        for name, (_, together, alone) in study.REGIMES.items()
    }
    column = {
        name: {"rate, Hz": 1.3 * full, "CV": 0.8}
        for name, full in zip(POPULATIONS, FULL_RATES, strict=True)
    }
    names = ("Vogels-Abbott, conductances", "Vogels-Abbott, currents")
    return {**{name: dict(lively) for name in names}, "Brunel": regimes, "microcircuit": column}


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("Vogels-Abbott, conductances", "most draws go on"), False),
        (("Vogels-Abbott, currents", "CV"), 0.1),
        (("Vogels-Abbott, currents", "rate, Hz"), 190.0),
        (("Brunel", "g 5, drive 2", "class"), "synchronous irregular"),
        (("microcircuit", "L4E", "rate, Hz"), 11.0),
        (("microcircuit", "L6E", "rate, Hz"), None),
        (("microcircuit", "L5I", "CV"), 0.05),
    ],
    ids=lambda given: given[-1] if isinstance(given, tuple) else "",
)
def test_one_figure_that_is_off_refutes_the_claim(where: tuple[str, ...], value: object) -> None:
    assert study.holds(good())
    figures = copy.deepcopy(good())
    part = figures
    for name in where[:-1]:
        part = part[name]
    part[where[-1]] = value
    assert not study.holds(figures)
