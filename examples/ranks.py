"""One network in as many processes as there are: each reads, and holds, its own part of the wiring.

    torchrun --nproc-per-node 2 examples/ranks.py

Run as it is, it is a single process with the whole network. The spikes are the same.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

import amphid as am
from amphid import dynamics, simulation, wiring

number, ranks = simulation.rank()
path = Path(tempfile.gettempdir()) / "amphid_example_ranks.h5"

if number == 0:  # one of them writes the file; a real one would be there already
    draw = torch.Generator().manual_seed(0)
    drawn = wiring.fixed_indegree(2000, indegree=100, generator=draw)
    wiring.write(drawn.with_connections(delay=np.full(len(drawn.connections), 1.5)), path)
if ranks > 1:
    torch.distributed.barrier()

wired = wiring.read(path, part=(number, ranks) if ranks > 1 else None)
rest = -60.0 + 20.0 * torch.rand(len(wired), generator=torch.Generator().manual_seed(1))
net = am.Network(
    wired,
    neuron=dynamics.Refractory(dynamics.LIF(v_rest=rest), period=2.0),
    synapse={
        "excitatory": dynamics.Delta(charge=60.0),
        "inhibitory": dynamics.Delta(charge=-300.0),
    },
)
push = am.pulse(wired, "*", amplitude=30.0, duration=200.0, dt=0.1)
engine = simulation.Distributed() if ranks > 1 else am.Compiled()
with torch.no_grad():
    run = am.simulate(net, push, record=("spike",), engine=engine)

if number == 0:  # every rank holds the whole recording; one of them prints
    print(run.notes[0])
    print(f"{len(wired.connections):,} connections in this process")
    print(f"{len(run.spikes):,} spikes of {len(run.cells):,} cells in {run.duration:g} ms")
    print(f"{1000 * len(run.spikes) / len(run.cells) / run.duration:.1f} Hz")
