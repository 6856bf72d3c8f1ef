"""Variables kept for chosen cells: the columns of the whole recording, in both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import amphid as am
from amphid import measures
from amphid.dynamics import ALIF, LIF, Alpha, Mixed
from amphid.simulation import Compiled
from amphid.wiring import Cells, Connections, Connectome

CELLS, STEPS, DT = 43, 109, 0.5
CHOSEN: dict[str, Any] = {
    "spike": ["n2*"],
    "v": ["n7", "n3"],
    "chemical.s": None,
    "chemical.rising": ["n1*"],
}
ENGINES = [am.Torch(), Compiled(), Compiled(skip_resting=True)]


def network(neuron: Any = None) -> am.Network:
    rng = np.random.default_rng(3)
    ends = rng.integers(0, CELLS, 211), rng.integers(0, CELLS, 211)
    wired = Connectome(
        Cells([f"n{k}" for k in range(CELLS)]), Connections(*ends, sign=rng.choice([-1, 1], 211))
    )
    tau = torch.linspace(9.0, 21.0, CELLS, dtype=torch.float64)
    return am.Network(
        wired, neuron=neuron or LIF(tau=tau), synapse=Alpha(tau=3.0, amplitude=90.0)
    ).double()


def run(
    record: Any, engine: Any = None, net: am.Network | None = None, **given: Any
) -> am.Recording:
    net = net or network()
    generator = torch.Generator().manual_seed(0)
    drive = am.poisson(
        net.connectome, "*", rate=2.0, amplitude=300.0, duration=STEPS * DT, dt=DT,
        generator=generator, trials=3,
    )  # fmt: skip
    with torch.no_grad():
        return am.simulate(net, drive, record=record, engine=engine or am.Torch(), **given)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("every", [1, 5])
def test_chosen_cells_are_the_columns_of_the_whole(engine: Any, every: int) -> None:
    whole = run(list(CHOSEN), every=every)
    few = run(CHOSEN, engine, every=every)
    names = list(whole.names)
    assert [names[k] for k in few.kept["v"]] == ["n7", "n3"]
    for name in ("v", "chemical.s", "chemical.rising"):
        columns = few.kept.get(name, torch.arange(CELLS))
        expected = whole.fields[name][..., columns]
        torch.testing.assert_close(few.fields[name], expected, rtol=1e-9, atol=1e-9)
    assert few.fields["v"].shape == (STEPS // every, 3, 2)
    assert few.spike.shape == (STEPS, 3, 11)
    assert torch.equal(few.spike, whole.spike[..., few.kept["spike"]])
    assert few.spike.sum() > 20


def test_variables_of_mixed_cells_are_kept_for_chosen_cells() -> None:
    net = network(Mixed({"n1*": ALIF(), "*": LIF()}))
    record = {"v": ["n5"], "output": ["n11", "n2"]}
    whole, few = run(list(record), Compiled(), net), run(record, Compiled(), net)
    assert torch.equal(few.v, whole.v[..., [5]])
    assert torch.equal(few.output, whole.output[..., [11, 2]])


def test_a_differentiable_recording_keeps_chosen_cells() -> None:
    net = network()
    drive = torch.full((STEPS, CELLS), 250.0, dtype=torch.float64)
    few = am.simulate(net, drive, dt=DT, record={"spike": ["n4", "n2"], "v": ["n3"]})
    whole = am.simulate(net, drive, dt=DT, record=["spike", "v"])
    assert few.spike.requires_grad
    assert torch.equal(few.spike, whole.spike[:, [4, 2]])
    assert torch.equal(few.v, whole.v[:, [3]])
    assert few.spikes is not None
    assert few.spikes.shape == (STEPS, 2)


def test_a_cell_has_what_was_kept_for_it() -> None:
    few = run(CHOSEN)
    assert torch.equal(few["n3"].v, few.v[..., [1]])
    assert torch.equal(few["n3", "n7"].v, few.v[..., [1, 0]])
    assert few["n3"].fields.keys() == {"v", "chemical.s"}
    assert torch.equal(few["n2", "n20"].spike, few.spike[..., [0, 1]])
    assert few.of("v").names.tolist() == ["n7", "n3"]
    assert few.of("chemical.s") is few
    with pytest.raises(AttributeError, match=r"v was kept for n3 of these cells, not for n4: take"):
        _ = few["n3", "n4"].v
    with pytest.raises(AttributeError, match="spike was kept for none of these cells, not for n3"):
        _ = few["n3"].spike
    with pytest.raises(AttributeError, match="take them from the whole recording"):
        _ = few["n3", "n4"]["n3"].v
    assert few["n3"].spikes is None


def test_chosen_cells_of_one_trial() -> None:
    few = run(CHOSEN)
    alone = few.trial(1)
    assert torch.equal(alone["n3"].v, few.v[:, 1, [1]])
    assert torch.equal(alone.of("spike").spike, few.spike[:, 1])


def test_a_recording_of_chosen_cells_is_kept_on_disk(tmp_path: Path) -> None:
    few = run(CHOSEN)
    back = am.Recording.load(few.save(tmp_path / "few.h5"))
    assert torch.equal(back["n3"].v, few["n3"].v)
    assert torch.equal(back["n20"].spike, few["n20"].spike)
    assert back.kept.keys() == few.kept.keys()
    with pytest.raises(AttributeError, match="v was kept for none"):
        _ = back["n4"].v


def test_measures_are_those_of_the_chosen_cells() -> None:
    whole, few = run(["spike", "v"]), run({"spike": ["n2*"], "v": ["n7", "n3"]})
    assert torch.equal(measures.rate(few), measures.rate(whole)[..., few.kept["spike"]])
    expected = measures.response(whole, 10.0)[..., [7, 3]]
    assert torch.equal(measures.response(few, 10.0), expected)
    fired, moved = measures.rate(few) > 0, expected.abs() > 1.0
    share = (fired.sum(-1) + moved.sum(-1)).double() / 13
    torch.testing.assert_close(measures.active(few, 10.0), share)


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"v": ["nope"]}, "nope"),
        ({"v": "n1"}, r"record\['v'\] must be a list of cells"),
        ({"v": 3}, r"record\['v'\] must be a list of cells"),
        ({"v": []}, r"record\['v'\] names no cell"),
        ({"w": ["n1"]}, "has no variable"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES[:2])
def test_cells_that_cannot_be_kept_are_refused(record: Any, named: str, engine: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError), match=named):
        run(record, engine)
