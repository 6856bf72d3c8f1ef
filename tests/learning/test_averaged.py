"""Several processes take one step together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from amphid.learning import Averaged, Backprop, fit

SCRIPT = """
import sys
import torch
from torch import distributed
from amphid.learning import Averaged, Backprop, fit

rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
inputs, targets, weights = torch.load(f"{folder}/data.pt", weights_only=True)
net = torch.nn.Linear(7, 3)
net.load_state_dict(weights)
fit(
    net, [(inputs[k::2][rank], targets[k::2][rank]) for k in range(1)] * 3, torch.nn.MSELoss(),
    optimizer=torch.optim.Adam(net.parameters(), lr=0.1), estimator=Averaged(Backprop()), epochs=2,
    folder=f"{folder}/{rank}",
)
distributed.destroy_process_group()
"""


def test_two_processes_are_one_with_the_batches_of_both(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(1)
    inputs, targets = torch.rand(3, 5, 7, generator=draw), torch.rand(3, 5, 3, generator=draw)
    net = nn.Linear(7, 3)
    torch.save((inputs, targets, net.state_dict()), tmp_path / "data.pt")
    ranks = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(rank), str(tmp_path)])
        for rank in range(2)
    ]
    assert [process.wait(60) for process in ranks] == [0, 0]
    from safetensors.torch import load_file

    one, two = (load_file(tmp_path / str(rank) / "model.safetensors") for rank in range(2))
    pairs = [(inputs[0], targets[0]), (inputs[2], targets[2])]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    fit(net, pairs * 3, nn.MSELoss(), optimizer=optimizer, epochs=2, accumulate=2)
    for name, p in net.state_dict().items():
        assert torch.equal(one[name], two[name])
        torch.testing.assert_close(one[name], p)


def test_a_wrapped_model_is_refused_with_the_way_out() -> None:
    wrapped = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"estimator=Averaged\(Backprop\(\)\)"):
        fit(wrapped, [], nn.MSELoss(), optimizer=optimizer, estimator=Averaged(Backprop()))
