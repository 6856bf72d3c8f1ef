"""The fly's brain has the published constants, and its drive fires every cell it is meant for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import amphid as am
from amphid import models
from amphid.wiring import Cells, Connections, Connectome


def chain(synapses: float, sign: int = 1) -> Connectome:
    return Connectome(Cells(["a", "b"]), Connections([0], [1], synapses=synapses, sign=sign))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_synapse_raises_the_voltage_as_the_published_equations_say(sign: int) -> None:
    """t ms after it arrives: 0.275 mV * 5 / (5 - 20) (e^{-t/5} - e^{-t/20}), for each synapse."""
    net = models.fly_brain(chain(7.0, sign), driven=["a"]).double()
    g = torch.Generator().manual_seed(1)
    kick = models.fly_drive(net, "a", rate=1.0, duration=70.0, generator=g)
    current = torch.zeros(200, 2, dtype=torch.float64)
    sent = kick.dense()
    current[0, 0] = sent[sent > 0].min()
    with torch.no_grad():
        run = am.simulate(net, current, dt=0.1, record=("spike", "v"))
    assert run.spikes.index.tolist() == [[0], [0]]
    since = (np.arange(200) - 18) * 0.1  # fired in step 0, it arrives as step 19 begins
    rise = 7 * 0.275 * 5 / (5 - 20) * (np.exp(-since / 5) - np.exp(-since / 20))
    expected = -52 + sign * np.where(since > 0, rise, 0.0)
    np.testing.assert_allclose(run.v[:, 1].numpy(), expected, rtol=0, atol=1e-9)


def test_a_spike_of_the_drive_fires_a_cell_from_far_below_threshold() -> None:
    net = models.fly_brain(chain(0.0), driven=["a", "b"])
    g = torch.Generator().manual_seed(1)
    drive = models.fly_drive(net, "a", "b", rate=0.1, duration=300.0, generator=g)
    with torch.no_grad():
        spikes = am.simulate(net, drive, record=("spike",)).spikes
    sent = drive.dense()[:, :2] > 0
    lost = (sent[1:] & sent[:-1]).sum()
    assert len(spikes) == pytest.approx(int(sent.sum() - lost), abs=2)
    assert len(spikes) > 40
    with pytest.raises(ValueError, match="less than one a step"):
        models.fly_drive(net, "a", rate=150.0, generator=g)


def test_driven_cells_have_a_short_period_and_silenced_ones_reach_nobody() -> None:
    net = models.fly_brain(chain(5.0), driven=["b"], silenced=["a"])
    assert net.neuron.period.tolist() == pytest.approx([2.2, 0.1])
    assert net.weight.tolist() == [0.0]
    assert models.fly_brain(chain(5.0)).neuron.period == 2.2
    with pytest.raises(KeyError):
        models.fly_brain(chain(5.0), driven=["c"])


def test_a_generated_fly_marks_21_exciting_cells_of_high_degree() -> None:
    brain = models.generated_fly(cells=2003, generator=torch.Generator().manual_seed(2))
    driven = brain.select("driven")
    degree = np.bincount(brain.connections.pre, minlength=2003)
    assert len(driven) == 21
    assert set(brain.cells.kind[driven]) == {"excitatory"}
    assert degree[driven].min() > degree.mean()
    assert math.isclose(len(brain.connections) / 2003, 108.86, rel_tol=0.02)
    with pytest.raises(ValueError, match="at least 30"):
        models.generated_fly(cells=29, generator=torch.Generator())
