"""Steps as files: what they do is what the module does."""

import pytest
import torch
from torch import nn

from amphid import dynamics, models, simulation, wiring
from amphid.interfaces.step_files import export_step, load_step
from amphid.wiring import Cells, Connections, Connectome


def ring():
    return wiring.from_matrix(list("ABCDE"), 30.0 * torch.eye(5).roll(1, 0).numpy())


def network():
    wires = Connections(
        [0, 1, 2, 3, 4, 0, 2],
        [1, 2, 3, 4, 0, 3, 4],
        kind=["chemical"] * 5 + ["electrical"] * 2,
        synapses=[7, 5, 3, 2, 11, 2, 3],
        delay=[1.0, 2.0, 3.0, 1.0, 1.0, float("nan"), float("nan")],
    )
    ring = Connectome(Cells(list("ABCDE")), wires).signed(wiring.all_positive)
    synapse = {
        "chemical": dynamics.Exponential(tau=5.0, amplitude=40.0),
        "electrical": dynamics.GapJunction(conductance=1.0),
    }
    return simulation.Network(ring, neuron=dynamics.LIF(), synapse=synapse)


def layers():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 7), dynamics.LIF(v_rest=0.0, v_threshold=0.01), nn.Linear(7, 3),
        dynamics.LeakyIntegrator(),
    )  # fmt: skip


MAKE = {
    "LIF": dynamics.LIF,
    "Izhikevich": dynamics.Izhikevich,
    "AdEx": dynamics.AdEx,
    "HodgkinHuxley": dynamics.HodgkinHuxley,
    "Refractory": lambda: dynamics.Refractory(dynamics.LIF(), period=2.0),
    "heard": lambda: models.Sequential(
        models.Recurrent(dynamics.LIF(), ring().with_connections(delay=2.0)),
        models.Delay(3.0),
    ),
    "network": network,
    "layers": layers,
}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *((name, ".pt2") for name in MAKE),
        *((name, ".onnx") for name in ("HodgkinHuxley", "network", "layers")),
    ],
)
def test_a_step_file_does_what_the_module_does(name, suffix, tmp_path):
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    module = MAKE[name]()
    generator = torch.Generator().manual_seed(1)
    current = 800 + 300 * torch.rand(61, 3, 5, generator=generator)
    path = export_step(module, tmp_path / f"step{suffix}", inputs=5, dt=0.5)
    step = load_step(path)
    assert (step.dt, step.inputs) == (0.5, (5,))
    state, outputs = step.rest(3), []
    with torch.no_grad(), dynamics.step_by_step():
        for x in current:
            state, output = step(state, x)
            outputs.append(output)
        x = current
        parts = module if name == "layers" else (module,)
        for part in parts:
            x = part(x) if isinstance(part, nn.Linear) else part(x, dt=0.5)
    assert x.abs().sum() > 0
    torch.testing.assert_close(torch.stack(outputs), x, rtol=1e-4, atol=1e-4)


def test_nonsense_gets_a_sentence(tmp_path):
    cell = dynamics.LIF()
    with pytest.raises(TypeError, match=r"module must be an nn.Module such as LIF\(\), got <class"):
        export_step(dynamics.LIF, tmp_path / "step.pt2", inputs=3)
    with pytest.raises(ValueError, match=r"Sequential takes no step on inputs of shape \[3\]"):
        export_step(
            models.Sequential(nn.Linear(7, 5), dynamics.LIF()), tmp_path / "step.pt2", inputs=3
        )
    with pytest.raises(ValueError, match="must end in"):
        export_step(cell, tmp_path / "step.bin", inputs=5)
    with pytest.raises(ValueError, match="dt must be"):
        export_step(cell, tmp_path / "step.pt2", inputs=5, dt=0.0)
    with pytest.raises(FileNotFoundError, match="no folder"):
        export_step(cell, tmp_path / "no" / "step.pt2", inputs=5)
    with pytest.raises(TypeError, match="no init and step"):
        export_step(nn.GRU(5, 5), tmp_path / "step.pt2", inputs=5)
    step = load_step(export_step(cell, tmp_path / "step.pt2", inputs=5))
    with pytest.raises(ValueError, match=r"x must be \[B, 5\]"):
        step(step.rest(), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="must hold v"):
        step({"w": torch.zeros(1, 5)}, torch.zeros(1, 5))
    with pytest.raises(ValueError, match=r"x has 3 trials, but state 'v' has 1.*rest\(batch=3\)"):
        step(step.rest(), torch.zeros(3, 5))
    with pytest.raises(TypeError, match=r"x must be of type torch\.float32"):
        step(step.rest(), torch.zeros(1, 5).double())
    with pytest.raises(TypeError, match="TimeMean looks at a whole sequence"):
        export_step(models.Sequential(cell, models.TimeMean()), tmp_path / "step.pt2", inputs=5)
    (tmp_path / "bad.pt2").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        load_step(tmp_path / "bad.pt2")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_step(tmp_path / "none.pt2")


def test_a_module_is_left_as_it_was_and_nothing_is_left_beside_the_file(tmp_path):
    module = layers().train()
    export_step(module, tmp_path / "step.pt2", inputs=5)
    assert module.training
    assert [path.name for path in tmp_path.iterdir()] == ["step.pt2"]
