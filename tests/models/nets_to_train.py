"""Nets for test_citizenship.py, and what each of its ranks does:

python nets_to_train.py RANK RANKS FOLDER
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from amphid.dynamics import LIF, HodgkinHuxley, LeakyIntegrator, SigmoidRelease, learned
from amphid.models import Delay, Recurrent, Sequential, TimeMean

T, B, INPUTS = 6, 4, 5


def spiking() -> Sequential:
    """Two layers of LIF cells, the second recurrent, with learned constants."""
    torch.manual_seed(0)
    net = Sequential(
        nn.Linear(INPUTS, 7),
        LIF(tau=learned(20.0)),
        nn.Linear(7, 7),
        Recurrent(LIF(v_threshold=learned(-50.0)), nn.Linear(7, 7)),
        Delay(learned(1.5), longest=3.0),
        nn.Linear(7, 3),
        LeakyIntegrator(),
        TimeMean(),
    )
    with torch.no_grad():
        for layer, scale in (
            (net[0], 9000),
            (net[2], 5000),
            (net[3].projection, 500),
            (net[5], 500),
        ):
            layer.weight.mul_(scale)
        net[2].bias.fill_(1000)
    return net


def biophysical() -> Sequential:
    """Hodgkin-Huxley cells with a learned conductance and graded release."""
    torch.manual_seed(0)
    net = Sequential(
        nn.Linear(INPUTS, 7),
        HodgkinHuxley(g_sodium=learned(12000.0), terminal=SigmoidRelease(v_half=-40.0)),
        nn.Linear(7, 3),
        LeakyIntegrator(tau=learned(20.0)),
        TimeMean(),
    )
    with torch.no_grad():
        net[0].weight.mul_(3000)
    return net


NETS = {"spiking": spiking, "biophysical": biophysical}


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, INPUTS, generator=torch.Generator().manual_seed(5))


def loss(y: Tensor) -> Tensor:
    """Mean over examples, as the mean over ranks of gradients asks for."""
    return (y - 0.3).square().sum(-1).mean()


def gradients(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    net.zero_grad()
    loss(net(x)).backward()
    return {name: own.grad.clone() for name, own in net.named_parameters()}


def work(rank: int, ranks: int, folder: Path) -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=120),
    )
    found = {}
    for name, make in NETS.items():
        net = nn.parallel.DistributedDataParallel(make().double())
        found[name] = gradients(net, inputs(T, B).double()[:, rank::ranks])
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    work(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
