"""Plots: what stands on the axes is what was recorded, with its units."""

import builtins

import numpy as np
import pytest
import torch

from amphid.interfaces import plots
from amphid.simulation import Recording, Spikes
from amphid.wiring import Cells, Connections, Connectome
from amphid.wiring.celegans import celegans
from amphid.wiring.signs import by_transmitter

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

WORM = celegans(signs=by_transmitter)


@pytest.fixture
def ax():
    figure, ax = plt.subplots(layout="constrained")
    yield ax
    figure.canvas.draw()  # nothing that was drawn fails late
    plt.close(figure)


def recording(cells, *batch, steps=31, seed=3):
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(steps, *batch, cells, generator=generator)
    spike = v > 0.7
    events = Spikes(spike.nonzero().T, tuple(spike.shape), 0.5)
    return Recording(
        Cells([f"c{i}" for i in range(cells)], cell_class=["A"] * 3 + ["B"] * (cells - 3)),
        dt=0.5,
        fields={"v": v, "excitatory.g": v.abs(), "release": v.abs()},
        events=events,
    )


def texts(ax):
    return {text.get_text() for text in ax.texts}


@pytest.mark.parametrize("cells", [5, 101])
def test_a_raster_has_one_tick_per_spike_at_its_time_and_cell(ax, cells):
    run = recording(cells)
    (line,) = [line for line in plots.raster(run, ax).lines if line.get_marker() == "|"]
    drawn = np.stack(line.get_data())
    np.testing.assert_allclose(drawn[0], run.spikes.time)
    np.testing.assert_array_equal(drawn[1], run.spikes.cell)
    assert ax.get_xlabel() == "time (ms)"
    assert ax.get_xlim() == (0.0, 15.5)
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == ([f"c{i}" for i in range(5)] if cells == 5 else ["A", "B"])


def test_a_raster_of_a_batch_shows_the_trial_that_is_asked_for(ax):
    run = recording(7, 2, 5)
    (line,) = [line for line in plots.raster(run, ax, trial=8).lines if line.get_marker() == "|"]
    step, cell = run.spike[:, 1, 3].nonzero(as_tuple=True)
    np.testing.assert_allclose(line.get_xdata(), (step + 1) * 0.5)
    np.testing.assert_array_equal(line.get_ydata(), cell)


def test_traces_of_few_cells_are_all_named(ax):
    run = recording(5)
    lines = plots.traces(run, ax=ax).lines
    assert [line.get_label() for line in lines] == list(run.names)
    np.testing.assert_array_equal(lines[2].get_ydata(), run.v[:, 2])
    np.testing.assert_allclose(lines[2].get_xdata(), run.time)
    assert ax.get_ylabel() == "membrane potential (mV)"


def test_traces_of_many_cells_name_those_that_vary_most(ax):
    run = recording(101)
    run.v[7, [13, 17]] = torch.tensor([40.0, -90.0])
    named = [line.get_label() for line in plots.traces(run, ax=ax).lines]
    named = [label for label in named if not label.startswith("_")]
    assert named[:3] == ["95 other cells", "c17", "c13"]
    assert len(named) == 7


def test_traces_of_a_batch_keep_one_color_per_cell(ax):
    run = recording(5, 2, 3)
    lines = plots.traces(run, ax=ax).lines
    assert len(lines) == 5 * 6
    assert [line.get_label() for line in lines[::6]] == list(run.names)
    assert len({line.get_color() for line in lines[:6]}) == 1
    (alone,) = plots.traces(run["c1"], ax=ax, trial=4).lines[30:]
    np.testing.assert_array_equal(alone.get_ydata(), run.v[:, 1, 1, 1])


@pytest.mark.parametrize(
    ("field", "label"),
    [("excitatory.g", "excitatory conductance (nS)"), ("release", "release")],
)
def test_traces_name_the_variable_and_its_unit(ax, field, label):
    assert plots.traces(recording(5), field, ax).get_ylabel() == label


def test_cells_are_colored_by_their_values_around_zero(ax):
    values = np.linspace(-3.0, 9.0, len(WORM))
    plots.cells(WORM, values, ax, label="response (mV)", names=2)
    muscles, neurons = ax.collections
    assert (len(muscles.get_offsets()), len(neurons.get_offsets())) == (95, 302)
    assert (neurons.norm.vmin, neurons.norm.vmax) == (-9.0, 9.0)
    assert sorted([*muscles.get_array(), *neurons.get_array()]) == sorted(values)
    assert texts(ax) == {"head", "tail", " 100 um", *WORM.cells.name[-2:]}
    assert ax.figure.axes[-1].get_ylabel() == "response (mV)"


def test_cells_take_tensors_unknown_values_and_none(ax):
    values = torch.zeros(len(WORM), requires_grad=True) + torch.nan
    plots.cells(WORM, values, ax)
    plots.cells(WORM, ax=ax)
    assert texts(ax) == {"head", "tail", " 100 um"}


def test_values_over_decades_are_colored_by_a_logarithmic_scale(ax):
    values = torch.logspace(-4, 2, len(WORM))
    plots.cells(WORM, values, ax)
    ticks = [tick.get_text() for tick in ax.figure.axes[-1].get_yticklabels()]
    assert ticks == ["0", "1", "10", "100"]


@pytest.mark.parametrize("kind", ["chemical", "electrical"])
def test_the_matrix_shows_every_connection_sorted_by_kind(ax, kind):
    (image,) = plots.matrix(WORM, ax, kind=kind).images
    drawn = np.asarray(image.get_array())
    assert np.abs(drawn).sum() == WORM.matrix(kind).sum()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "sensory",
        "inter",
        "motor",
        "muscle",
    ]
    assert (drawn[-97:-2] == 0).all() == (kind == "chemical")  # muscles send nothing
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("to cell", "from cell")


def test_a_matrix_without_signs_or_kinds_is_a_plain_one(ax):
    small = Connectome(Cells(["a", "b", "c"]), Connections([0, 1], [2, 1], synapses=[5.0, 2.0]))
    (image,) = plots.matrix(small, ax).images
    np.testing.assert_array_equal(image.get_array(), small.matrix())


def test_plots_draw_on_the_current_axes_but_never_over_a_picture(ax):
    assert plots.raster(recording(5)) is ax
    second = plots.traces(recording(5))
    assert second.figure is not ax.figure
    assert plots.traces(recording(5), ax=ax) is ax
    second.figure.clear()


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda run: plots.raster(run), r"a raster needs spikes: simulate\(..., record="),
        (
            lambda run: plots.traces(run),
            r"no 'v' to draw in Recording\(2 cells, 3 ms: g \[3, 2\]\)",
        ),
        (lambda run: plots.traces(run, "g", trial=1), "trial must be below 1.* got 1"),
        (lambda _: plots.cells(WORM, [1.0]), r"has 397 cells, values have shape \[1\]"),
        (lambda _: plots.matrix(WORM, kind="magnetic"), "kind must be one of chemical"),
    ],
)
def test_what_cannot_be_drawn_is_said(ax, draw, sentence):
    run = Recording(Cells(["a", "b"]), dt=1.0, fields={"g": torch.zeros(3, 2)})
    with pytest.raises(ValueError, match=sentence):
        draw(run)


def test_without_matplotlib_the_install_line_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'amphid\[plot\]'"):
        plots.raster(recording(5))
