"""Plots of evolution show what was measured, with its units."""

import pytest
import torch

from amphid import learning
from amphid.interfaces import evolution_plots

pytest.importorskip("matplotlib", reason="plots need matplotlib")
from matplotlib.figure import Figure


def evolved():
    params = {"x": torch.full((5,), 2.0, dtype=torch.float64)}
    return learning.evolve(
        lambda p: p["x"].square().sum(), params, learning.Recombination(23, parents=7),
        generations=5, generator=torch.Generator().manual_seed(1), progress=False,
    )  # fmt: skip


def test_the_meters_stand_over_the_generations():
    found = evolved()
    ax = evolution_plots.meters(found.rows, Figure().subplots())
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines["effective parents"].get_ydata()) == found["parents"]
    assert list(lines["distance"].get_xdata()) == [1, 2, 3, 4, 5]
    assert "units of a gene" in ax.get_ylabel()
    right = next(other for other in ax.figure.axes if other is not ax)
    assert list(right.lines[0].get_ydata()) == found["luck"]


def test_the_losses_stand_on_a_logarithmic_axis_where_they_can():
    found = evolved()
    ax = evolution_plots.losses(found.rows, Figure().subplots())
    assert [line.get_label() for line in ax.lines] == ["mean", "best", "answer"]
    assert ax.get_yscale() == "log"
    low = [{**row, "best": -1.0} for row in found.rows]
    assert evolution_plots.losses(low, Figure().subplots()).get_yscale() == "linear"


def test_nothing_cannot_be_drawn():
    for draw in (evolution_plots.meters, evolution_plots.losses):
        with pytest.raises(ValueError, match="no generation"):
            draw([], Figure().subplots())
