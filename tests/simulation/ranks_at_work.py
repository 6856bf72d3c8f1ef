"""What each rank of test_distributed.py does: python ranks_at_work.py NUMBER RANKS FOLDER SCENARIO.

Scenarios are functions of this module; each writes what it found for the test to look at.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import amphid as am
from amphid import dynamics
from amphid.dynamics import Graded
from amphid.simulation import Distributed
from amphid.wiring import Connectome
from engine_cases import Cases, depressing, mixed, spiking

CELLS, EDGES, STEPS, DT = 307, 2003, 113, 0.5


CASES = Cases(CELLS, EDGES, STEPS, DT, junctions=0.0)
drive = CASES.uniform


def wired(junctions: float = 0.0, shortest: int = 2, seed: int = 0) -> Connectome:
    return CASES.drawn(seed, junctions=junctions, shortest=shortest)


# each with its wiring, its current in pA, its dt in ms and what is recorded
NETWORKS: dict[str, tuple[Any, dict[str, Any], float, float, list[str]]] = {
    "spiking": (spiking, {}, 260.0, DT, ["v", "inhibitory.g", "spike"]),
    "depressing": (depressing, {}, 220.0, DT, ["v", "excitatory.u", "spike"]),
    "mixed": (mixed, {"junctions": 0.2, "shortest": 0}, 220.0, 0.05, ["v", "output"]),
}


def found(run: am.Recording) -> dict[str, Any]:
    """What a recording holds, in a form that files can."""
    leaves = torch.utils._pytree.tree_leaves(tuple(run.state))
    return {
        "fields": run.fields,
        "spikes": None if run.events is None else run.events.index,
        "names": list(run.names),
        "state": [leaf for leaf in leaves if isinstance(leaf, Tensor)],
        "notes": list(run.notes),
    }


def runs(engine: Any, *, part: tuple[int, int] | None) -> dict[str, Any]:
    """Every network, of the whole connectome or of a part."""
    made = {}
    for name, (make, wires, amplitude, dt, record) in NETWORKS.items():
        connectome = wired(**wires)
        net = make(connectome if part is None else connectome.part(*part))
        run = am.simulate(net, drive(amplitude), dt=dt, record=record, every=3, engine=engine)
        made[name] = found(run)
    return made


def whole_networks() -> Any:
    return runs(Distributed(), part=None)


def parts_of_networks() -> Any:
    return runs(Distributed(), part=am.simulation.rank())


def trials_in_single_precision() -> Any:
    net = spiking(wired()).float()
    return found(
        am.simulate(net, drive(260.0, 2).float(), dt=DT, record=["spike"], engine=Distributed())
    )


def own_cells_and_onward() -> Any:
    """A run in two pieces that keeps the cells of each rank on that rank."""
    pieces = {}
    for name, (make, wires, amplitude, dt, record) in NETWORKS.items():
        net, state, made = make(wired(**wires).part(*am.simulation.rank())), None, []
        for current in drive(amplitude).split([40, 73]):
            run = am.simulate(
                net, current, dt=dt, record=record, state=state, engine=Distributed(gather=False)
            )
            state = run.state
            made.append(found(run))
        pieces[name] = made
    return pieces


def refusals() -> Any:
    """What ranks are told when they do not agree, or one fails."""
    number, count = am.simulation.rank()
    first, told = number == 0, {}

    def note(name: str, work: Any) -> None:
        try:
            work()
            told[name] = "went well"
        except (ValueError, RuntimeError, ZeroDivisionError) as error:
            told[name] = f"{type(error).__name__}: {error}"

    def go(net: am.Network, steps: int = STEPS, **given: Any) -> Any:
        engine = Distributed(timeout=60.0)
        return am.simulate(net, drive(260.0)[:steps], dt=DT, engine=engine, **given)

    def fail(done: int, steps: int) -> None:
        raise ZeroDivisionError("the progress bar broke")

    from amphid.simulation.distributed import walk

    walk.PATIENCE = 0.0
    net = spiking(wired())
    note("another seed", lambda: go(spiking(wired(seed=int(first)))))
    note("other steps", lambda: go(net, steps=STEPS - number))
    note("same part", lambda: go(spiking(wired().part(0, count))))
    note("part and whole", lambda: go(net if first else spiking(wired().part(number, count))))
    note("one fails", lambda: go(net, progress=fail if number == count - 1 else None))
    note("another state", lambda: go(net, state=_moved(net, float(number))))
    groups = dynamics.graded_synapses()
    stiff = am.Network(wired(junctions=0.2, shortest=0), neuron=Graded(), synapse=groups).double()
    note("stiff", lambda: go(stiff))
    note("one process", lambda: am.simulate(spiking(wired().part(0, 2)), drive(1.0), dt=DT))
    note("after all", lambda: go(net))
    return told


def _moved(net: am.Network, by: float) -> Any:
    state = net.rest(DT)
    neuron = state.neuron.neuron._replace(v=state.v + by)
    return state._replace(neuron=state.neuron._replace(neuron=neuron))


def interruption() -> Any:
    """The last rank is interrupted; all return what was run up to the same step."""
    from amphid.simulation.distributed import walk

    signal.signal(signal.SIGINT, signal.default_int_handler)
    walk.PATIENCE = 0.0
    number, count = am.simulation.rank()

    def stop(done: int, steps: int) -> None:
        if done >= 40 and number == count - 1:
            os.kill(os.getpid(), signal.SIGINT)

    run = am.simulate(
        spiking(wired()), drive(260.0), dt=DT, record=["v", "spike"], engine=Distributed(),
        progress=stop,
    )  # fmt: skip
    return found(run)


def death() -> Any:
    """The last rank is killed on the way."""
    from amphid.simulation.distributed import walk

    walk.PATIENCE = 0.0
    number, count = am.simulation.rank()

    def stop(done: int, steps: int) -> None:
        if number == count - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        am.simulate(
            spiking(wired()), drive(260.0), dt=DT, engine=Distributed(timeout=20.0), progress=stop
        )
    except RuntimeError as error:
        return {"error": str(error)}


def main() -> None:
    number, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    place = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=place, rank=number, world_size=count)
    with torch.no_grad():
        for scenario in sys.argv[4:]:
            torch.save(globals()[scenario](), folder / f"{scenario}_{number}.pt")
    if "death" not in sys.argv:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
