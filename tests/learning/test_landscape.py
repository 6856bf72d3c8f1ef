"""Lines and planes through a loss have the values and slopes that are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from amphid.learning import Objective, loss_line, loss_plane, random_direction

A, B = 5, 3


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def params() -> dict[str, Tensor]:
    draw = seeded()
    return {
        "a": torch.randn(A, B, generator=draw).double(),
        "b": torch.randn(A, generator=draw).double(),
    }


def bowl(held: dict[str, Tensor]) -> Tensor:
    return held["a"].square().sum() + 3 * held["b"].sum()


def test_a_line_is_the_loss_at_its_points() -> None:
    own, way = params(), {"a": torch.ones(A, B).double()}
    line = loss_line(bowl, own, way, reach=0.5, points=7)
    for at, loss in zip(line.at, line.losses, strict=True):
        assert float(loss) == pytest.approx(float(bowl({**own, "a": own["a"] + at * way["a"]})))
    assert line.slope == pytest.approx(float(2 * own["a"].sum()))


def test_a_plane_has_one_direction_along_each_axis() -> None:
    own = params()
    ways = {"a": torch.ones(A, B).double()}, {"b": torch.ones(A).double()}
    plane = loss_plane(bowl, own, ways, points=5)
    assert plane.losses.shape == (5, 5)
    torch.testing.assert_close(plane.losses[:, 2], loss_line(bowl, own, ways[0], points=5).losses)
    torch.testing.assert_close(plane.losses[2], loss_line(bowl, own, ways[1], points=5).losses)


def test_jumps_are_what_goes_back_and_forth() -> None:
    own, way = {"x": torch.zeros(1).double()}, {"x": torch.ones(1).double()}
    assert loss_line(lambda p: p["x"].sum(), own, way).jumps == pytest.approx(0.0)
    saw = loss_line(lambda p: (40 * p["x"]).round().sum() % 2, own, way, reach=1.0, points=81)
    assert saw.jumps > 0.9
    assert loss_line(lambda p: 0 * p["x"].sum(), own, way).jumps == 0


def test_a_random_direction_is_as_long_as_the_parameters_row_by_row() -> None:
    own = params()
    way = random_direction(own, generator=seeded(2))
    torch.testing.assert_close(way["a"].norm(dim=1), own["a"].norm(dim=1))
    torch.testing.assert_close(way["b"].norm(), own["b"].norm())
    again = random_direction(own, generator=seeded(2))
    assert torch.equal(way["a"], again["a"])


def test_owners_are_averaged_and_a_model_is_not_changed() -> None:
    net = nn.Linear(B, A).double()
    x = torch.rand(7, B, generator=seeded(3)).double()

    def by_output(outputs: Tensor, targets: float) -> Tensor:
        return (outputs - targets).square().mean(0)

    loss, own = Objective(net, x, 1.0, by_output), dict(net.named_parameters())
    before = {name: p.detach().clone() for name, p in own.items()}
    line = loss_line(loss, own, random_direction(own, generator=seeded(4)), points=3)
    assert float(line.losses[1]) == pytest.approx(loss({}).mean().item())
    torch.testing.assert_close(dict(net.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("way", "more", "says"),
    [
        ({"c": torch.ones(1)}, {}, "direction must go with the parameters"),
        ({"b": torch.ones(B)}, {}, "direction must go with the parameters"),
        ({"b": torch.zeros(A)}, {}, "must not be zero everywhere"),
        ({"b": torch.ones(A)}, {"reach": 0.0}, "reach must be above zero"),
        ({"b": torch.ones(A)}, {"points": 2}, "points at least 3"),
    ],
)
def test_what_is_no_line_is_said(way: dict, more: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        loss_line(bowl, params(), way, **more)
