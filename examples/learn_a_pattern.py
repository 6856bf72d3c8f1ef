"""A cell finds a pattern that comes back in noise, by spike timing alone: nobody teaches it."""

import numpy as np
import torch

import amphid as am
from amphid import dynamics, learning
from amphid.wiring import Cells, Connections, Connectome

INPUTS, STEPS, DT = 200, 20_000, 1.0
draw = torch.Generator().manual_seed(4)

noise = torch.rand(STEPS, INPUTS, generator=draw) < 0.01
pattern = torch.rand(50, INPUTS, generator=draw) < 0.01
pattern[:, INPUTS // 2 :] = False  # half of the inputs take part
pattern[20:25, : INPUTS // 2] |= torch.rand(5, INPUTS // 2, generator=draw) < 0.12
begins = torch.arange(100, STEPS - 100, 200)
for begin in begins:
    noise[begin : begin + 50, : INPUTS // 2] = pattern[:, : INPUTS // 2]

wired = Connectome(
    Cells([f"input{k}" for k in range(INPUTS)] + ["reader"]),
    Connections(np.arange(INPUTS), np.full(INPUTS, INPUTS), sign=np.ones(INPUTS)),
)
net = am.Network(
    wired,
    neuron=dynamics.Mixed({"input*": dynamics.BinaryThreshold(), "reader": dynamics.LIF(tau=10.0)}),
    synapse={
        "excitatory": dynamics.Exponential(tau=3.0, amplitude=60.0),
        "inhibitory": dynamics.Exponential(tau=3.0, amplitude=-60.0),
    },
    weight=torch.full((INPUTS,), 0.5),
)
rule = learning.STDP(potentiation=0.02, depression=0.022, tau_plus=17.0, tau_minus=34.0)
current = torch.cat((noise.float(), torch.zeros(STEPS, 1)), 1)
with torch.no_grad():
    run = am.simulate(
        net, current, dt=DT, plasticity=(rule,), engine=am.Compiled(),
        record=("spike", "weight"), every=STEPS // 4,
    )  # fmt: skip

fired = run["reader"].spike[:, 0]
inside = torch.zeros(STEPS, dtype=torch.bool)
for begin in begins:
    inside[begin : begin + 50] = True
print(f"the pattern takes {inside.float().mean():.0%} of the time")
print("quarter   spikes   in the pattern   weight of its inputs   of the others")
for quarter, weight in enumerate(run.weight):
    part = slice(quarter * STEPS // 4, (quarter + 1) * STEPS // 4)
    hits = (fired[part] * inside[part]).sum() / fired[part].sum().clamp(min=1)
    member, other = weight[: INPUTS // 2].mean(), weight[INPUTS // 2 :].mean()
    print(
        f"{quarter + 1:7d} {int(fired[part].sum()):8d} {float(hits):15.0%} {float(member):19.2f} "
        f"{float(other):17.2f}"
    )
