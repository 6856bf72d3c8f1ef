"""An exported circuit is the network: read by libsonata and run here, or run by NEST itself."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import amphid as am
from amphid.dynamics import (
    LIF,
    AdEx,
    Alpha,
    AlphaConductance,
    Conductance,
    Delta,
    Exponential,
    GapJunction,
    Izhikevich,
    Mixed,
    Refractory,
    ShortTerm,
)
from amphid.interfaces.sonata import export_sonata
from amphid.wiring import Cells, Connections, Connectome

pytestmark = pytest.mark.reference
libsonata = pytest.importorskip("libsonata", reason="needs libsonata")

N, E, DT, DURATION = 29, 211, 0.1, 200.0
SHORT = 60.0  # ms, before small differences have grown


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def drawn(*, delay: float = 0.5) -> Connectome:
    rng = np.random.default_rng(11)
    return Connectome(
        Cells([f"n{k}" for k in range(N)], kind="inter", position=rng.normal(size=(N, 3))),
        Connections(
            rng.integers(0, N, E),
            rng.integers(3, N, E),  # the first three are sources only
            synapses=rng.integers(1, 5, E),
            sign=rng.choice([-1, 1, 1, 1], E),
            delay=np.round(delay + rng.integers(0, 30, E) * DT, 6) if delay else np.nan,
        ),
    )


def each(low: float, high: float) -> torch.Tensor:
    """A value of its own for every cell, of few different ones."""
    return torch.linspace(low, high, 5)[torch.arange(N) % 5]


def lif(**changes: Any) -> Refractory:
    given = {"tau": each(12.0, 22.0), "v_threshold": each(-52.0, -48.0), "v_reset": -62.0}
    return Refractory(LIF(**given | changes), period=2.0)


def pair(kind: Callable[..., Any], **shared: Any) -> dict[str, Any]:
    """Conductances that excite and inhibit."""
    return {
        "excitatory": kind(tau=3.0, conductance=0.4, reversal=0.0, **shared),
        "inhibitory": kind(tau=7.0, conductance=1.1, reversal=-80.0, **shared),
    }


def depressing(amplitude: float) -> ShortTerm:
    current = Exponential(tau=2.0, amplitude=amplitude)
    return ShortTerm(current, use=0.4, recovery=90.0, facilitation=40.0)


# cells, synapses, mean constant current in pA, and how far spikes may be off in steps of DT
MODELS: dict[str, tuple[Any, Any, float, int]] = {
    "iaf_psc_delta": (lif, Delta(charge=180.0), 170.0, 0),
    "iaf_psc_exp": (
        lif,
        {
            "excitatory": Exponential(tau=2.0, amplitude=40.0),
            "inhibitory": Exponential(tau=5.0, amplitude=-30.0),
        },
        170.0,
        1,
    ),
    "iaf_psc_exp without a refractory period": (
        lambda: LIF(tau=17.0),
        Exponential(tau=2.0, amplitude=40.0),
        170.0,
        1,
    ),
    "iaf_psc_exp with short-term plasticity": (
        lif,
        {"excitatory": depressing(110.0), "inhibitory": depressing(-90.0)},
        170.0,
        1,
    ),
    "iaf_psc_alpha": (lif, Alpha(tau=2.0, amplitude=25.0), 170.0, 1),
}
# the same; NEST takes steps of its own between ours, and resets within them
ADAPTIVE: dict[str, tuple[Any, Any, float, int]] = {
    "iaf_cond_exp": (lif, pair(Conductance), 170.0, 30),
    "iaf_cond_alpha": (lif, pair(AlphaConductance), 170.0, 30),
    "aeif_cond_exp": (lambda: AdEx(v_reset=-60.0), pair(Conductance), 900.0, 50),
    "aeif_cond_alpha": (lambda: AdEx(v_reset=-60.0), pair(AlphaConductance), 900.0, 50),
    "aeif_psc_exp": (
        lambda: Refractory(AdEx(v_reset=-60.0), period=3.0),
        Exponential(tau=2.0, amplitude=120.0),
        900.0,
        50,
    ),
    "aeif_psc_alpha": (lambda: AdEx(v_reset=-60.0), Alpha(tau=2.0, amplitude=60.0), 900.0, 50),
    "aeif_psc_delta": (lambda: AdEx(v_reset=-60.0), Delta(charge=300.0), 900.0, 50),
    "izhikevich": (lambda: Izhikevich.of_2003(), Delta(charge=1.0), 10.0, 50),
    "mixed": (
        lambda: Mixed({"n1*": LIF(tau=15.0), "*": AdEx(v_reset=-60.0)}),
        Exponential(tau=2.0, amplitude=60.0),
        600.0,
        50,
    ),
}
EVERY = MODELS | ADAPTIVE
every_model = pytest.mark.parametrize("name", EVERY)


def build(name: str, dt: float = DT, duration: float = DURATION) -> tuple[am.Network, torch.Tensor]:
    """The network and a constant current into each cell [T, N]."""
    cell, synapse, mean, _ = EVERY[name]
    network = am.Network(drawn(), neuron=cell(), synapse=synapse)
    return network, (mean * each(0.8, 1.5)).expand(round(duration / dt), N)


def run(network: am.Network, current: Any, dt: float = DT) -> list[np.ndarray]:
    """When each cell fires, in steps from the start."""
    with torch.no_grad():
        recording = am.simulate(network, current, dt=dt, record=("spike",))
    step, cell = recording.spikes.index.numpy()
    return [step[cell == k] + 1 for k in range(N)]


class Folder:
    """An exported circuit, as a reader that knows SONATA and nothing of us finds it."""

    def __init__(self, folder: Path) -> None:
        text = (folder / "circuit_config.json").read_text()
        self.folder, self.config = folder, json.loads(text)
        self.models: list[str] = [""] * N
        self.cells: list[dict[str, float]] = [{}] * N
        self.read_cells()

    def path(self, text: str) -> Path:
        for word, place in reversed(self.config["manifest"].items()):
            text = text.replace(word, place)
        return self.folder / text

    def table(self, text: str, key: str) -> dict[int, dict[str, str]]:
        with self.path(text).open() as file:
            return {int(row[key]): row for row in csv.DictReader(file, delimiter=" ")}

    def read_cells(self) -> None:
        files = self.config["networks"]["nodes"][0]
        rows = self.table(files["node_types_file"], "node_type_id")
        storage = libsonata.NodeStorage(str(self.path(files["nodes_file"])))
        nodes = storage.open_population("cells")
        self.names = nodes.get_attribute("name", nodes.select_all())
        with h5py.File(self.path(files["nodes_file"])) as file:
            types = file["nodes/cells/node_type_id"][:]
        for k, number in enumerate(types):
            self.models[k] = rows[number]["model_template"]
            where = self.config["components"]["point_neuron_models_dir"]
            text = self.path(f"{where}/{rows[number]['dynamics_params']}").read_text()
            self.cells[k] = json.loads(text)

    def connections(self) -> dict[str, np.ndarray]:
        files = self.config["networks"]["edges"][0]
        storage = libsonata.EdgeStorage(str(self.path(files["edges_file"])))
        edges = storage.open_population("cells_to_cells")
        every = edges.select_all()
        rows = self.table(files["edge_types_file"], "edge_type_id")
        with h5py.File(self.path(files["edges_file"])) as file:
            types = file["edges/cells_to_cells/edge_type_id"][:]
        delay = np.array([float(rows[number]["delay"]) for number in types])
        np.testing.assert_allclose(edges.get_attribute("delay", every), delay)
        return {
            "pre": edges.source_nodes(every),
            "post": edges.target_nodes(every),
            "weight": edges.get_attribute("syn_weight", every),
            "delay": delay,
        }

    def column(self, name: str) -> torch.Tensor:
        return torch.tensor([cell[name] for cell in self.cells])


def rebuilt(folder: Path) -> tuple[am.Network, torch.Tensor]:
    """The network that a circuit of iaf_psc_delta or iaf_psc_exp describes, made of its numbers."""
    found = Folder(folder)
    wires, column = found.connections(), found.column
    neuron = Refractory(
        LIF(
            tau=column("tau_m"),
            resistance=column("tau_m") / column("C_m"),
            v_rest=column("E_L"),
            v_threshold=column("V_th"),
            v_reset=column("V_reset"),
        ),
        period=column("t_ref") + DT,
    )
    delay, weight = wires["delay"], torch.from_numpy(np.abs(wires["weight"]))
    synapse: Any
    if found.models[0] == "nest:iaf_psc_delta":
        delay = delay - DT
        tau, jump = column("tau_m"), column("C_m")
        synapse = Delta(charge=jump * DT / tau / -torch.expm1(-DT / tau))
    else:
        synapse = {
            "excitatory": Exponential(tau=column("tau_syn_ex"), amplitude=1.0),
            "inhibitory": Exponential(tau=column("tau_syn_in"), amplitude=-1.0),
        }
    connectome = Connectome(
        Cells(list(found.names)),
        Connections(
            wires["pre"], wires["post"], sign=np.sign(wires["weight"]).astype(int), delay=delay
        ),
    )
    network = am.Network(connectome, neuron=neuron, synapse=synapse, weight=weight)
    return network, column("I_e").expand(round(DURATION / DT), N)


@pytest.mark.parametrize("name", ["iaf_psc_delta", "iaf_psc_exp"])
def test_a_circuit_read_by_libsonata_fires_the_same_spikes(name: str, tmp_path: Path) -> None:
    network, current = build(name)
    folder = export_sonata(network, tmp_path / "c", dt=DT, duration=DURATION, stimulus=current)
    ours, theirs = run(network, current), run(*rebuilt(folder))
    assert sum(map(len, ours)) > 150
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@every_model
def test_every_model_is_a_circuit_that_libsonata_opens(name: str, tmp_path: Path) -> None:
    network, current = build(name)
    folder = export_sonata(network, tmp_path / "c", dt=DT, duration=DURATION, stimulus=current)
    config = libsonata.CircuitConfig.from_file(str(folder / "circuit_config.json"))
    assert config.node_populations == {"cells"}
    assert config.edge_populations == {"cells_to_cells"}
    assert config.node_population("cells").size == N
    found = Folder(folder)
    wanted = {"iaf_psc_exp", "aeif_psc_exp"} if name == "mixed" else {name.split()[0]}
    assert {model.removeprefix("nest:") for model in found.models} == wanted
    assert list(found.names) == [f"n{k}" for k in range(N)]


RUNNER = """
import csv, json, sys
from itertools import groupby
import h5py, numpy as np, nest
nest.set_verbosity("M_ERROR")
folder, threads = sys.argv[1], int(sys.argv[2])
read = lambda name: json.load(open(f"{folder}/{name}"))
circuit, simulation = read("circuit_config.json"), read("simulation_config.json")
nest.ResetKernel()
nest.local_num_threads = threads
def built_by_nest():
    net = nest.SonataNetwork(f"{folder}/circuit_config.json", f"{folder}/simulation_config.json")
    return net, net.BuildNetwork()
def path(text):
    for word, place in reversed(circuit["manifest"].items()):
        text = text.replace(word, place)
    return f"{folder}/{text}"
def table(name):
    return list(csv.DictReader(open(path(name)), delimiter=" "))
def built_here():
    # NEST without HDF5 cannot read a circuit itself: the same calls, file by file
    nest.resolution = simulation["run"]["dt"]
    made = {}
    try:
        import pandas, nest.lib.hl_api_sonata as reader
    except ModuleNotFoundError:
        pass
    else:  # NEST's own reader makes the cells and reads the types of connections
        reader.have_hdf5 = True
        net = nest.SonataNetwork(
            f"{folder}/circuit_config.json", f"{folder}/simulation_config.json")
        made = net.Create()
        assert len(net._create_graph_specs()["edges"]) == len(circuit["networks"]["edges"])
    for files in [] if made else circuit["networks"]["nodes"]:
        rows = {int(row["node_type_id"]): row for row in table(files["node_types_file"])}
        with h5py.File(path(files["nodes_file"])) as file:
            (name, population), = file["nodes"].items()
            types = population["node_type_id"][:]
        if rows[types[0]]["model_type"] == "virtual":
            where = simulation["inputs"][name]["input_file"].replace("$BASE_DIR", folder)
            with h5py.File(where) as file:
                ids = file[f"spikes/{name}/node_ids"][:]
                times = file[f"spikes/{name}/timestamps"][:]
            given = [{"spike_times": times[ids == k], "allow_offgrid_times": True}
                     for k in range(len(types))]
            made[name] = nest.Create("spike_train_injector", len(types), params=given)
            continue
        nodes = nest.NodeCollection()
        for number, same in groupby(types):
            row = rows[number]
            where = circuit["components"]["point_neuron_models_dir"]
            parameters = json.load(open(path(where + "/" + row["dynamics_params"])))
            model = row["model_template"].removeprefix("nest:")
            nodes += nest.Create(model, len(list(same)), params=parameters)
        made[name] = nodes
    for files in circuit["networks"]["edges"]:
        rows = {int(row["edge_type_id"]): row for row in table(files["edge_types_file"])}
        with h5py.File(path(files["edges_file"])) as file:
            (_, edges), = file["edges"].items()
            ends = [(edges[key].attrs["node_population"], edges[key][:])
                    for key in ("source_node_id", "target_node_id")]
            types, weight = edges["edge_type_id"][:], edges["0/syn_weight"][:]
        source, target = (np.array(made[name].tolist())[ids.astype(int)] for name, ids in ends)
        for number, row in rows.items():
            chosen = types == number
            if not chosen.any():
                continue
            where = circuit["components"]["synaptic_models_dir"]
            extra = json.load(open(path(where + "/" + row["dynamics_params"])))
            count = int(chosen.sum())
            nest.Connect(source[chosen], target[chosen], "one_to_one", {
                "synapse_model": row["model_template"], "weight": weight[chosen],
                "delay": np.full(count, float(row["delay"])),
                **{key: np.full(count, value) for key, value in extra.items()}})
    return made
if nest.build_info["have_hdf5"]:
    net, made = built_by_nest()
else:
    made = built_here()
recorder = nest.Create("spike_recorder")
nest.Connect(made["cells"], recorder)
nest.Simulate(simulation["run"]["tstop"])
first = min(made["cells"].tolist())
events = recorder.events
print("SPIKES" + json.dumps([(events["senders"] - first).tolist(), events["times"].tolist()]))
"""


@cache
def python_with_nest() -> str | None:
    """A Python that can import NEST: this one, or that of AMPHID_NEST_PYTHON."""
    for python in (sys.executable, os.environ.get("AMPHID_NEST_PYTHON")):
        if python:
            asked = subprocess.run([python, "-c", "import nest, h5py"], capture_output=True)
            if asked.returncode == 0:
                return python
    return None


def nest(folder: Path, dt: float = DT) -> list[np.ndarray]:
    """When NEST lets each cell fire, in steps from the start."""
    python = python_with_nest()
    if python is None:
        pytest.skip("NEST is not installed: pip install nest-simulator, or set AMPHID_NEST_PYTHON")
    asked = subprocess.run(
        [python, "-c", RUNNER, str(folder), "1"], capture_output=True, text=True, check=False
    )
    assert "SPIKES" in asked.stdout, asked.stderr[-2000:]
    cell, time = (np.array(column) for column in json.loads(asked.stdout.split("SPIKES")[1]))
    step = np.rint(np.sort(time) / dt).astype(int)
    cell = cell[np.argsort(time, kind="stable")]
    return [step[cell == k] for k in range(N)]


@pytest.mark.parametrize("name", MODELS)
def test_nest_fires_the_same_spikes(name: str, tmp_path: Path) -> None:
    network, current = build(name)
    folder = export_sonata(network, tmp_path / "c", dt=DT, duration=DURATION, stimulus=current)
    ours, theirs, off = run(network, current), nest(folder), MODELS[name][3]
    assert sum(map(len, ours)) > 150
    assert list(map(len, ours)) == list(map(len, theirs))
    apart = np.abs(np.concatenate(ours) - np.concatenate(theirs))
    assert apart.max() <= off
    assert (apart == 0).mean() > 0.95


@pytest.mark.parametrize("name", ADAPTIVE)
def test_nest_and_we_approach_each_other_as_steps_become_short(name: str, tmp_path: Path) -> None:
    """Where one of us takes steps of first order, a quarter of the step is a quarter of the gap."""
    gaps = []
    for dt in (0.2, 0.05):
        network, current = build(name, dt, SHORT)
        folder = tmp_path / f"{dt:g}"
        export_sonata(network, folder, dt=dt, duration=SHORT, stimulus=current)
        pairs = zip(run(network, current, dt), nest(folder, dt), strict=True)
        apart = [np.abs(a[: len(b)] - b[: len(a)])[:3] * dt for a, b in pairs]
        gaps.append(float(np.mean(np.concatenate(apart))))
    assert gaps[1] < 0.35 * gaps[0] + 0.005
    assert gaps[1] < 0.3  # ms


def test_cells_that_fire_as_told_are_virtual_nodes_with_spike_times(tmp_path: Path) -> None:
    network, current = build("iaf_psc_delta")
    current = current.clone()
    current[:, :3] = 0.0
    rng = np.random.default_rng(3)
    told = {f"n{k}": np.unique(rng.integers(1, 95, 40)) * 20 * DT for k in range(3)}
    steady = current.clone()
    for k, times in enumerate(told.values()):  # a strong pulse in the step that ends then
        current[np.rint(times / DT).astype(int) - 1, k] = 1e6
    ours = run(network, current)
    folder = export_sonata(
        network, tmp_path / "c", dt=DT, duration=DURATION, stimulus=steady, spikes=told
    )
    reader = libsonata.SpikeReader(str(folder / "inputs/inputs.h5"))
    found = np.array(reader["inputs"].get())
    for k, times in enumerate(told.values()):
        np.testing.assert_allclose(found[found[:, 0] == k, 1], times)
    config = libsonata.CircuitConfig.from_file(str(folder / "circuit_config.json"))
    assert config.node_populations == {"cells", "inputs"}
    assert config.edge_populations == {"cells_to_cells", "inputs_to_cells"}
    theirs = nest(folder)
    for one, other in zip(ours[3:], theirs, strict=False):
        np.testing.assert_array_equal(one, other)


def network(neuron: Any, synapse: Any, **wires: Any) -> am.Network:
    columns = {"sign": 1, "delay": 1.0} | wires
    wired = Connectome(Cells(["A", "B", "C"]), Connections([0, 1], [1, 2], **columns))
    return am.Network(wired, neuron=neuron, synapse=synapse)


EXPONENTIAL = Exponential(tau=2.0, amplitude=40.0)
PULSE = torch.zeros(20, 3)
PULSE[7:] = 5.0


@pytest.mark.parametrize(
    ("net", "given", "sentence"),
    [
        (lambda: network(am.dynamics.ALIF(), EXPONENTIAL), {}, "no model that is ALIF with"),
        (lambda: network(Izhikevich(), EXPONENTIAL), {}, "Izhikevich with Exponential"),
        (lambda: network(Izhikevich(), Delta(charge=1.0)), {}, "Izhikevich.of_2003"),
        (lambda: network(LIF(), EXPONENTIAL, delay=0.0), {}, "2 chemical connections have less"),
        (lambda: network(LIF(), EXPONENTIAL), {"stimulus": PULSE}, "this stimulus changes"),
        (lambda: network(LIF(), EXPONENTIAL), {"stimulus": PULSE[:, :2]}, r"must be \[T, 3\]"),
        (lambda: network(LIF(), EXPONENTIAL), {"dt": 0.0}, "dt must be a positive"),
        (lambda: network(LIF(), EXPONENTIAL), {"spikes": {"B": [1.0]}}, "B fires as told"),
        (lambda: network(LIF(), EXPONENTIAL), {"spikes": {"A": [-1.0]}}, "above 0"),
        (lambda: network(LIF(), EXPONENTIAL).lesioned("A"), {}, "only a single network"),
        (
            lambda: network(
                LIF(),
                {"chemical": EXPONENTIAL, "electrical": GapJunction(conductance=1.0)},
                kind=["chemical", "electrical"],
                sign=[1, 0],
                delay=[1.0, np.nan],
            ),
            {},
            "no gap junctions",
        ),
        (
            lambda: network(
                LIF(),
                {
                    "excitatory": EXPONENTIAL,
                    "inhibitory": Conductance(tau=2.0, conductance=1.0, reversal=-80.0),
                },
                sign=[1, -1],
            ),
            {},
            "has Conductance and Exponential",
        ),
        (
            lambda: network(
                LIF(),
                {
                    "excitatory": EXPONENTIAL,
                    "inhibitory": Exponential(tau=9.0, amplitude=40.0),
                },
                sign=[1, -1],
            ),
            {},
            "differ in tau_syn_ex",
        ),
    ],
)
def test_what_nest_cannot_say_is_a_sentence_and_leaves_nothing(
    net: Any, given: Any, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=sentence):
        export_sonata(net(), tmp_path / "c", **{"dt": DT, "duration": 10.0} | given)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    net = network(LIF(), EXPONENTIAL)
    with pytest.raises(FileExistsError, match="is there already"):
        export_sonata(net, tmp_path, dt=DT, duration=10.0)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        export_sonata(net, tmp_path / "a" / "b", dt=DT, duration=10.0)
    (tmp_path / "empty").mkdir()
    folder = export_sonata(net, tmp_path / "empty", dt=DT, duration=10.0)
    assert (folder / "simulation_config.json").is_file()
