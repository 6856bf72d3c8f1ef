"""Train the weights of a spiking network by surrogate gradients through time.

Ten input cells, twenty hidden, three outputs; the outputs learn to fire 2, 5 and 8 spikes.
"""

import torch

import amphid as am
from amphid import dynamics, wiring

generator = torch.Generator().manual_seed(0)
layers = wiring.layered(10, 20, 3).signed(wiring.all_positive)
start = torch.rand(len(layers.connections), generator=generator) * 2 - 0.2
net = am.Network(
    layers,
    neuron=dynamics.LIF(surrogate=dynamics.FastSigmoid(width=5.0)),
    synapse=dynamics.Exponential(tau=5.0, amplitude=60.0),
    weight=torch.nn.Parameter(start),
    dale=False,
)
drive = am.noise(
    layers, "L0.*", mean=250.0, deviation=50.0, tau=10.0, duration=100.0, dt=1.0,
    generator=generator,
)  # fmt: skip
wanted = torch.tensor([2.0, 5.0, 8.0])
optimizer = torch.optim.Adam(net.parameters(), lr=0.03)

for step in range(81):
    counts = am.simulate(net, drive).spike[:, -3:].sum(0)
    loss = (counts - wanted).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step:2d}: loss {loss.item():6.3f}, spikes {counts.int().tolist()}")
