"""Parameters evolve, are kept, go on bit for bit, and hold the answer."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import amphid.learning as room
from amphid.learning import CMAES, SNES, Aging, Cloning, Islands, Recombination, Scheme, evolve

pytest.importorskip("cma", reason="CMAES needs cma")

S, P = 23, 5


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sphere(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum(-1)


def network(seed: int = 3) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    draw = seeded(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw, dtype=p.dtype))
    return net


def batches(net: nn.Module, count: int = 3) -> list[room.Objective]:
    draw, teacher = seeded(9), network(11)
    losses = []
    for _ in range(count):
        x = torch.randn(17, 7, generator=draw, dtype=torch.float64)
        losses.append(room.Objective(net, x, teacher(x).detach(), nn.functional.mse_loss))
    return losses


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.mark.parametrize("scheme", [Aging(S), SNES(S), CMAES(S)], ids=repr)
def test_a_network_evolves_and_holds_the_answer(scheme: Scheme) -> None:
    net = network()
    losses = batches(net)
    told = []
    found = evolve(
        losses, net, scheme, generations=31, generator=seeded(), watch=None,
        progress=lambda done, of: told.append((done, of)),
    )  # fmt: skip
    assert found.loss < 0.5 * found["answer"][0]
    assert losses[31 % 3](dict(net.named_parameters())).item() == pytest.approx(found.loss)
    assert found["evaluations"][-1] == 31 * (S + 2)
    assert told[-1] == (31, 31)
    assert (len(found), found.why) == (31, "done")
    assert len(set(found["parents"])) >= 1
    with pytest.raises(KeyError, match="there is generation"):
        _ = found["parent"]


def test_any_function_of_parameters_evolves() -> None:
    params = {"x": torch.full((P,), 2.0, dtype=torch.float64)}

    def black_box(p):
        return float(abs(p["x"].numpy()).max() > 0.5) + float((p["x"].numpy() ** 2).sum())

    found = evolve(black_box, params, Recombination(S, 0.1, parents=7), generations=60,
                   generator=seeded(), absolute=True)  # fmt: skip
    assert found.loss < 0.2
    assert float(sphere(params["x"])) == pytest.approx(found.loss)


def test_an_evolution_goes_on_bit_for_bit(tmp_path) -> None:
    def evolved(folder: str, generations: int) -> nn.Module:
        net = network()
        noisy = nn.Sequential(net, nn.Dropout(0.1))
        losses = batches(noisy)
        draw = torch.get_rng_state()
        torch.manual_seed(5)
        evolve(
            losses, noisy, Islands((Aging(11), Cloning(7)), every=2), generations=generations,
            generator=seeded(), folder=tmp_path / folder, resume=True, checkpoint_every=3,
        )  # fmt: skip
        torch.set_rng_state(draw)
        return net

    evolved("parts", 4)
    parts, whole = evolved("parts", 9), evolved("whole", 9)
    assert torch.equal(weights(parts), weights(whole))
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("parts", "whole")
    ]
    for row in (*rows[0], *rows[1]):
        row.pop("seconds")
    assert rows[0] == rows[1]
    assert len(rows[0]) == 9
    assert (tmp_path / "whole" / "model.safetensors").exists()
    with pytest.raises(FileExistsError, match="already holds"):
        evolve(batches(parts), parts, generations=1, generator=seeded(), folder=tmp_path / "whole")


def test_a_callback_sees_the_meters_and_ends_it() -> None:
    net, seen = network(), []

    def look(evolving: room.Evolving) -> object:
        seen.append((evolving.row["parents"], evolving.inbreeding.ancestor, evolving.doing()))
        return "stop" if len(seen) == 3 else None

    found = evolve(batches(net), net, Cloning(S), generations=9, generator=seeded(),
                   callbacks=[look])  # fmt: skip
    assert (found.why, len(found)) == ("callback", 3)
    assert "generation 3 of 9, loss" in seen[-1][2]
    assert "common ancestor 1.0 generations back" in seen[-1][2]


def test_what_cannot_evolve_is_refused() -> None:
    net = network()
    with pytest.raises(TypeError, match="ask and tell"):
        evolve(sphere, torch.zeros(3), generations=1, generator=seeded())
    with pytest.raises(TypeError, match="list of some"):
        evolve([], net, generations=1, generator=seeded())
    with pytest.raises(ValueError, match="resume=True needs"):
        evolve(batches(net), net, generations=1, generator=seeded(), resume=True)
    with pytest.raises(TypeError, match="scheme must be"):
        evolve(batches(net), net, Aging, generations=1, generator=seeded())
