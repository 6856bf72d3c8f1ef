"""Kill cells and ask again: which lesion changes what posterior touch does to the command cells?"""

import torch

import amphid as am
from amphid import dynamics, measures, wiring

rule = wiring.Except(
    wiring.by_transmitter,
    pre=wiring.TOUCH_RECEPTORS,
    post=wiring.COMMAND_INTERNEURONS,
    sign=-1,
)
worm = wiring.celegans(signs=rule)


def response(connectome: wiring.Connectome) -> am.Recording:
    net = am.Network(connectome, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses())
    touch = am.pulse(connectome, "PLM", start=50.0, amplitude=10.0, duration=2000.0, dt=10.0)
    with torch.no_grad():
        return am.simulate(net, touch, record=("v",))


print("lesion        AVA       AVB     (mV, mean of left and right)")
for lesion in ((), ("PVC",), ("DVA",), ("AVB", "PVC")):
    run = response(worm.without(*lesion) if lesion else worm)
    shown = []
    for pool in ("AVA", "AVB"):
        if pool in lesion:
            shown.append("    dead")
        else:
            shown.append(f"{measures.response(run[pool], before=50.0).mean():+8.3f}")
    print(f"{'+'.join(lesion) or 'none':10s}", *shown)
