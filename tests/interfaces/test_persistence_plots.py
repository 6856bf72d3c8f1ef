"""A map of what lasts is drawn with every class told apart."""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from amphid.interfaces import persistence_plots
from amphid.measures import Activity
from amphid.studies import PersistenceMap


def test_a_map_tells_all_classes_apart_on_the_axes_that_are_given():
    open_before = plt.get_fignums()
    classes = ((Activity.SUSTAINED, None, Activity.QUIESCENT), (Activity.SATURATED,) * 3)
    own = PersistenceMap(
        torch.tensor([10.0, 100.0, 1000.0]), torch.tensor([1.0, 5.0]), torch.ones(3), classes,
        torch.tensor([[0.5, math.nan, 0.0], [1.0, 1.0, 1.0]]), torch.ones(2, 3),
    )  # fmt: skip
    ax = persistence_plots.persistence_map(own, Figure().subplots())
    share, quiet, saturated = (drawn.get_array() for drawn in ax.collections)
    assert share.compressed().tolist() == [0.5]
    assert (quiet.count(), saturated.count()) == (1, 3)
    assert [line.get_xdata().tolist() for line in ax.lines] == [[100.0]]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert plt.get_fignums() == open_before
