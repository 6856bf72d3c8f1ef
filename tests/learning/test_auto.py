"""Auto takes the estimator that a loss asks for, says why, and keeps to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amphid.dynamics import BinaryThreshold
from amphid.learning import Auto, Backprop, Objective, fit
from amphid.models import Sequential

B, K, N, C = 13, 7, 5, 3


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start(size: int = 11) -> dict[str, Tensor]:
    return {"x": torch.randn(size, generator=seeded()).double()}


def bowl(p: dict[str, Tensor]) -> Tensor:
    return (p["x"] - 2).square().sum()


def asked(loss: Any, params: dict[str, Tensor]) -> tuple[Auto, dict[str, Tensor]]:
    auto = Auto(seeded(3))
    return auto, auto(loss, params)[1]


def test_a_smooth_loss_gets_its_exact_gradient() -> None:
    auto, found = asked(bowl, start())
    torch.testing.assert_close(found, Backprop()(bowl, start())[1])
    assert "it is trusted" in str(auto)


def test_a_staircase_gets_a_weak_gradient() -> None:
    auto, found = asked(lambda p: bowl({"x": (5 * p["x"]).round() / 5}), start())
    assert "zero everywhere" in str(auto)
    true = Backprop()(bowl, start())[1]["x"]
    assert float(nn.functional.cosine_similarity(found["x"], true, dim=0)) > 0.2


def test_a_black_box_gets_a_weak_gradient() -> None:
    auto, _ = asked(lambda p: float((p["x"].numpy() ** 2).sum()), start())
    assert "no gradient that autograd knows" in str(auto)
    assert auto.choice.exact == ()


def test_ripples_that_lead_astray_are_not_followed() -> None:
    """Teeth a thousandth wide: the gradient is theirs, the slope is not."""
    auto, _ = asked(lambda p: bowl(p) + 0.1 * (1000 * p["x"]).sin().sum(), start())
    assert "it is no guide" in str(auto) or "corrected by a weak gradient" in str(auto)
    assert auto.choice.weak == ("x",) or auto.choice.corrected


def step(distance: Tensor) -> Tensor:
    return (distance > 0).to(distance)


def binary(hidden: int) -> Objective:
    cells = BinaryThreshold(v_threshold=0.0, surrogate=step)
    net = Sequential(nn.Linear(K, hidden), cells, nn.Linear(hidden, C)).double()
    draw = seeded(5)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    x = torch.randn(B, K, generator=draw).double()
    labels = torch.randint(0, C, (B,), generator=draw)
    return Objective(
        net, x, labels, lambda o, t: nn.functional.cross_entropy(o, t, reduction="none")
    )


def test_what_has_no_gradient_is_weak_beside_what_has_one() -> None:
    loss = binary(N)
    params = dict(loss.model.named_parameters())
    auto, found = asked(loss, params)
    assert auto.choice.weak == ("0.weight", "0.bias")
    exact = Backprop()(loss, params)[1]
    torch.testing.assert_close(found["2.weight"], exact["2.weight"])
    assert found["0.weight"].any()


def test_many_weights_of_cells_are_left_alone_and_the_cells_perturbed() -> None:
    loss = binary(401)
    auto, _ = asked(loss, dict(loss.model.named_parameters()))
    assert auto.choice.activity
    assert "noise on what arrives at the cells" in str(auto)


def test_a_seed_decides_the_choice_and_a_fit_keeps_it(tmp_path: Path) -> None:
    def trained(folder: str, **more: Any) -> tuple[Tensor, Auto]:
        loss, auto = binary(N), Auto(seeded(3))
        optimizer = torch.optim.Adam(loss.model.parameters(), lr=0.01)
        fit(
            loss.model, [(loss.inputs, loss.targets)] * 4, loss.loss, optimizer=optimizer,
            estimator=auto, folder=tmp_path / folder, checkpoint_every=1, **more,
        )  # fmt: skip
        return torch.cat([p.detach().flatten() for p in loss.model.parameters()]), auto

    whole, chosen = trained("whole")
    trained("parts", callbacks=[lambda now: now.update == 2])
    again, resumed = trained("parts", resume=True)
    assert torch.equal(whole, again)
    assert resumed.choice == chosen.choice


def test_before_the_first_call_nothing_is_chosen() -> None:
    assert "Nothing was chosen yet" in str(Auto(seeded()))
    with pytest.raises(ValueError, match="probes must be at least 32"):
        Auto(seeded(), probes=8)
