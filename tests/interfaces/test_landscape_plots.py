"""Lines and planes of a loss are drawn as they are."""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from amphid.interfaces import landscape_plots
from amphid.learning import loss_line, loss_plane


def bowl(params):
    return params["x"].square().sum()


def test_lines_and_planes_are_drawn_on_the_axes_that_are_given():
    open_before = plt.get_fignums()
    params = {"x": torch.tensor([0.3, -0.2])}
    ways = {"x": torch.tensor([1.0, 0.0])}, {"x": torch.tensor([0.0, 1.0])}
    line = loss_line(bowl, params, ways[0], points=5)
    ax = landscape_plots.line({"one": line, "two": line}, Figure().subplots(), label="error")
    assert [own.get_label() for own in ax.lines[1:]] == ["one", "two"]
    assert ax.get_ylabel() == "error"
    assert landscape_plots.line(line, Figure().subplots()).get_legend() is None
    ax = landscape_plots.plane(loss_plane(bowl, params, ways, points=5), Figure().subplots())
    assert len(ax.figure.axes) == 2
    flat = loss_plane(lambda p: 0 * p["x"].sum(), params, ways, points=3)
    landscape_plots.plane(flat, Figure().subplots())
    assert plt.get_fignums() == open_before
