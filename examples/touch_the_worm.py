"""Touch the worm at its tail, and see which cells answer most.

The complete wiring of C. elegans with graded cells; 20 pA into both PLM touch receptors.
"""

import torch

import amphid as am
from amphid import dynamics, measures, wiring

worm = wiring.celegans(signs=wiring.by_transmitter)
net = am.Network(worm, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses())
touch = am.pulse(
    worm, "PLML", "PLMR", start=100.0, stop=600.0, amplitude=20.0, duration=1000.0, dt=2.0
)
with torch.no_grad():
    run = am.simulate(net, touch, record=("v",))

print(worm)
print(run.notes[0])
peak = measures.response(run, before=100.0)
for cell in peak.abs().argsort(descending=True)[:8].tolist():
    kind = worm.cells.kind[cell]
    print(f"{worm.cells.name[cell]:6s} {kind:8s} {peak[cell]:+8.3f} mV")
