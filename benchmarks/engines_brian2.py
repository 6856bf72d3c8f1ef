"""The networks of engines.py in Brian 2's C++ standalone mode; runs in an environment of its own.

    python engines_brian2.py NETWORK.npz FOLDER

Builds and compiles, tells the CPU seconds that took, then runs once for every line it is given and
tells the CPU seconds of the simulation loop, the spikes and the largest memory of any process it
started, the compiler included, as lines of JSON.
"""

import json
import resource
import sys
import time

import numpy as np
from brian2 import (
    Hz,
    Network,
    NeuronGroup,
    PoissonInput,
    SpikeMonitor,
    Synapses,
    defaultclock,
    device,
    ms,
    mV,
    set_device,
)


def cpu_seconds():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def coba_cells(given):
    """Conductances in units of the leak."""
    return NeuronGroup(
        len(given["v"]),
        """dv/dt = (ge*(0*mV - v) + gi*(-80*mV - v) - v - 40*mV)/(20*ms) : volt (unless refractory)
           dge/dt = -ge / (5*ms) : 1
           dgi/dt = -gi / (10*ms) : 1""",
        threshold="v > -50*mV",
        reset="v = -60*mV",
        refractory=5 * ms,
        method="exponential_euler",
    )


def coba(given):
    """6 nS and 67 nS over 10 nS."""
    cells = coba_cells(given)
    return [
        cells,
        connected(cells, given, 1, "ge += 0.6"),
        connected(cells, given, -1, "gi += 6.7"),
    ]


def coba_stdp(given):
    """The same with pair STDP of all spikes on the excitatory connections, as Brian 2's own pages
    write it: traces of each connection, decayed when it is looked at."""
    cells = coba_cells(given)
    chosen = ordered(given, 1)
    synapses = Synapses(
        cells,
        cells,
        """w : 1
           dbefore/dt = -before / (20*ms) : 1 (event-driven)
           dafter/dt = -after / (20*ms) : 1 (event-driven)""",
        on_pre="""ge += 0.6 * w
                  before += 0.005
                  w = clip(w + after, 0, 2)""",
        on_post="""after -= 0.00525
                   w = clip(w + before, 0, 2)""",
    )
    synapses.connect(i=given["pre"][chosen], j=given["post"][chosen])
    synapses.w = 1
    return [cells, synapses, connected(cells, given, -1, "gi += 6.7")]


def brunel(given):
    """Pulses of 0.1 and -0.5 mV, and Poisson pulses of 0.1 mV from outside."""
    cells = NeuronGroup(
        len(given["v"]),
        "dv/dt = -v / (20*ms) : volt (unless refractory)",
        threshold="v > 20*mV",
        reset="v = 10*mV",
        refractory=2 * ms,
        method="exact",
    )
    on_pre = "v += {} * mV * int(not_refractory)"
    return [
        cells,
        connected(cells, given, 1, on_pre.format("0.1"), delay=1.5 * ms),
        connected(cells, given, -1, on_pre.format("(-0.5)"), delay=1.5 * ms),
        # 1,000 sources at twice the rate that just reaches threshold
        PoissonInput(cells, "v", N=1000, rate=20 * Hz, weight=0.1 * mV),
    ]


def fly(given):
    """The published equations, with one refractory period for all but the driven cells."""
    cells = NeuronGroup(
        len(given["v"]),
        """dv/dt = (-52*mV - v + g) / (20*ms) : volt (unless refractory)
           dg/dt = -g / (5*ms) : volt (unless refractory)
           period : second (constant)""",
        method="linear",
        threshold="v > -45*mV",
        reset="v = -52*mV; g = 0*mV",
        refractory="period",
    )
    period = np.full(len(given["v"]), 2.2)
    period[given["driven"]] = 0.0
    cells.period = period * ms
    synapses = Synapses(cells, cells, "w : volt", on_pre="g += w", delay=1.8 * ms)
    synapses.connect(i=given["pre"], j=given["post"])
    synapses.w = given["synapses"] * given["sign"] * 0.275 * mV
    inputs = [
        PoissonInput(cells[int(i) : int(i) + 1], "v", N=1, rate=150 * Hz, weight=68.75 * mV)
        for i in given["driven"]
    ]
    return [cells, synapses, *inputs]


def connected(cells, given, sign, on_pre, **delay):
    chosen = ordered(given, sign)
    synapses = Synapses(cells, cells, on_pre=on_pre, **delay)
    synapses.connect(i=given["pre"][chosen], j=given["post"][chosen])
    return synapses


def ordered(given, sign):
    """By the cell they come from, as Brian 2 lays connections out when it draws them itself."""
    chosen = np.flatnonzero(given["sign"] == sign)
    return chosen[np.lexsort((given["post"][chosen], given["pre"][chosen]))]


def main():
    path, folder = sys.argv[1:]
    given = np.load(path)
    began = cpu_seconds()
    set_device("cpp_standalone", build_on_run=False, directory=folder + "/build")
    defaultclock.dt = 0.1 * ms
    known = {"coba": coba, "coba-stdp": coba_stdp, "brunel": brunel, "fly": fly}
    parts = known[str(given["equations"])](given)
    parts[0].v = given["v"] * mV
    spikes = SpikeMonitor(parts[0])
    Network(*parts, spikes).run(int(given["steps"]) * defaultclock.dt)
    device.build(directory=folder + "/build", compile=True, run=False, with_output=False)
    print(json.dumps({"build": cpu_seconds() - began}), flush=True)
    for _ in sys.stdin:
        device.run(folder + "/build", with_output=False, run_args=[])
        told = {
            "loop": device._last_run_time,
            "spikes": int(spikes.num_spikes),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        }
        if str(given["equations"]) == "coba-stdp":
            told["weight"] = float(np.mean(parts[1].w[:]))
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
