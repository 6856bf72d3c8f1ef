"""The same NIR graph in snnTorch and here: the same spikes, in both directions."""

import contextlib
import io

import numpy as np
import pytest
import torch
from torch import nn

from amphid import dynamics, models
from amphid.interfaces.nir import Cuba, from_nir, to_nir

pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore"),  # snnTorch's own
]
snntorch = pytest.importorskip("snntorch", reason="compares with snnTorch: pip install snntorch")
pytest.importorskip("nir", reason="NIR needs nir")
pytest.importorskip("nirtorch", reason="snnTorch needs nirtorch for NIR: pip install nirtorch")
from snntorch.export_nir import export_to_nir  # noqa: E402
from snntorch.import_nir import import_from_nir  # noqa: E402

STEP = 0.1  # ms, the step for which snnTorch writes and reads its graphs
STEPS, BATCH, CELLS = 211, 3, 7


def cell(kind=snntorch.Leaky, cells=1, **values):
    """Its export needs one value for each cell."""
    held = {k: torch.full((cells,), v) if k in ("alpha", "beta") else v for k, v in values.items()}
    threshold = torch.ones(cells)
    return kind(threshold=threshold, reset_mechanism="zero", reset_delay=False, **held)


def drive(seed=0):
    return torch.rand(STEPS, BATCH, CELLS, generator=torch.Generator().manual_seed(seed))


def spikes_of_snntorch(net, x):
    """Spikes [T, *B, N] of a network whose cells keep their own state."""
    outputs = []
    for present in x:
        for layer in net:
            present = layer(present)
        outputs.append(present[0] if isinstance(present, tuple) else present)
    return torch.stack(outputs)


def agree(ours, theirs):
    """The same spikes but for those that stand on the threshold to the last digit."""
    assert ours.shape == theirs.shape
    assert 0.02 < float(theirs.mean()) < 0.6
    assert int((ours != theirs).sum()) == 0


MAKE = {
    "Leaky": lambda: cell(cells=5, beta=0.9, init_hidden=True, output=True),
    "Synaptic": lambda: cell(
        snntorch.Synaptic, cells=5, alpha=0.8, beta=0.93, init_hidden=True, output=True
    ),
}


@pytest.mark.parametrize("name", MAKE)
@torch.no_grad()
def test_a_graph_written_by_snntorch_gives_its_spikes_here(name):
    torch.manual_seed(1)
    last = MAKE[name]()
    net = nn.Sequential(
        nn.Linear(CELLS, 11), cell(cells=11, beta=0.85, init_hidden=True), nn.Linear(11, 5), last
    )
    net[0].weight.abs_()
    net[2].weight.abs_().mul_({"Leaky": 1.0, "Synaptic": 0.05}[name])
    with contextlib.redirect_stdout(io.StringIO()):
        graph = export_to_nir(net, torch.rand(1, CELLS), ignore_dims=[0])
    theirs = spikes_of_snntorch(net, drive())
    agree(from_nir(graph, euler=STEP)(drive(), dt=STEP), theirs)


@torch.no_grad()
def test_a_recurrent_graph_written_by_snntorch_gives_its_spikes_here():
    torch.manual_seed(2)
    recurrent = cell(
        snntorch.RLeaky, beta=0.9, linear_features=CELLS, init_hidden=True, output=True
    )
    net = nn.Sequential(nn.Linear(CELLS, CELLS), recurrent)
    net[0].weight.abs_()
    with contextlib.redirect_stdout(io.StringIO()):
        graph = export_to_nir(net, torch.rand(1, CELLS), ignore_dims=[0])
    theirs = spikes_of_snntorch(net, drive())
    agree(from_nir(graph, euler=STEP)(drive(), dt=STEP), theirs)


def ours():
    torch.manual_seed(3)
    lif = dynamics.LIF(tau=1.3, resistance=1.0, v_rest=0.0, v_threshold=0.3, v_reset=0.0)
    net = models.Sequential(nn.Linear(CELLS, 11), lif, nn.Linear(11, 5), lif.changed(tau=0.9))
    with torch.no_grad():
        net[0].weight.abs_().mul_(2)
        net[2].weight.abs_().mul_(3)
    return net


@torch.no_grad()
def test_a_graph_written_here_gives_our_spikes_in_snntorch():
    net = ours()
    graph = to_nir(net, inputs=CELLS, euler=STEP)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = import_from_nir(graph)
    outputs, state = [], None
    for present in drive():
        output, state = theirs(present, state) if state is not None else theirs(present)
        outputs.append(output)
    agree(net(drive(), dt=STEP), torch.stack(outputs))


def test_cells_behind_a_filter_are_those_of_snntorch():
    """Its Synaptic, in the numbers that its export gives: alpha and beta are Euler factors."""
    alpha, beta = 0.8, 0.93
    graph_tau = {"syn": STEP / (1 - alpha), "mem": STEP / (1 - beta)}
    exact = {name: -STEP / np.log1p(-STEP / tau) for name, tau in graph_tau.items()}
    lif = dynamics.LIF(
        tau=exact["mem"], resistance=graph_tau["mem"] / STEP, v_rest=0.0, v_threshold=1.0,
        v_reset=0.0,
    )  # fmt: skip
    layer = Cuba(lif, tau=exact["syn"], weight=graph_tau["syn"] / STEP)
    other = cell(snntorch.Synaptic, alpha=alpha, beta=beta, init_hidden=True)
    x = 0.05 * drive()
    with torch.no_grad():
        agree(layer(x, dt=STEP), torch.stack([other(present) for present in x]))
