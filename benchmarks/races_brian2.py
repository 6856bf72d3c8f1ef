"""The race of races.py in Brian 2's C++ standalone mode; may run in an environment of its own.

    python races_brian2.py NETWORK.npz FOLDER

Synapses act before thresholds within a step and delays are one step shorter, so that signals and
refractoriness mean the same to the tick. Builds and compiles, then runs once for every line it is
given and tells the CPU seconds of the simulation loop and the spikes as lines of JSON.
"""

import json
import sys

import numpy as np
from brian2 import (
    Network,
    NeuronGroup,
    SpikeMonitor,
    Synapses,
    defaultclock,
    device,
    ms,
    prefs,
    set_device,
)


def main():
    path, folder = sys.argv[1:]
    given = np.load(path)
    set_device("cpp_standalone", build_on_run=False, directory=folder + "/build")
    prefs.devices.cpp_standalone.openmp_threads = 0
    dt = float(given["dt"]) * ms
    defaultclock.dt = dt
    cells = NeuronGroup(
        int(given["cells"]), "reached : 1", threshold="reached > 0", reset="reached = 0",
        refractory=int(given["period"]) * dt,
    )  # fmt: skip
    cells.reached = np.isin(np.arange(int(given["cells"])), given["struck"]).astype(float)
    synapses = Synapses(cells, cells, on_pre="reached_post = int(not_refractory_post)")
    synapses.connect(i=given["pre"], j=given["post"])
    synapses.delay = (given["lag"] - 1) * dt
    spikes = SpikeMonitor(cells)
    network = Network(cells, synapses, spikes)
    network.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]
    network.run(int(given["ticks"]) * dt)
    device.build(directory=folder + "/build", compile=True, run=False, with_output=False)
    print("{}", flush=True)
    for _ in sys.stdin:
        device.run(folder + "/build", with_output=False, run_args=[])
        told = {"loop": device._last_run_time, "spikes": int(spikes.num_spikes)}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
