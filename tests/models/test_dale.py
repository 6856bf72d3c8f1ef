"""Cells of a layer keep their sign, start balanced, and learn."""

import pytest
import torch
from torch import nn

import amphid as am
from amphid.dynamics import LIF
from amphid.learning import fit
from amphid.models import DaleLinear

B, K, N = 211, 97, 53


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def test_it_is_the_linear_layer_of_its_weight():
    layer = DaleLinear(K, N, inhibitory=7, generator=seeded()).double()
    x = torch.rand(3, 5, K, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
    assert layer.inhibitory == 7
    assert DaleLinear(K, N).inhibitory == 13


def test_it_starts_balanced_and_each_side_spreads_as_a_linear_layer_of_kaiming():
    """Rectified normal inputs: their mean square is one half, so 2 / N times N / 2 is one each."""
    layer = DaleLinear(K, N, generator=seeded())
    x = torch.randn(B, K, generator=seeded()).relu()
    y = layer(x).detach()
    assert y.mean().abs() < 0.3
    assert 1.2 < y.var() < 3.2
    excitation = layer.excite.abs().sum().item()
    inhibition = (layer.inhibit.abs() @ layer.recruit.abs()).sum().item()
    assert inhibition == pytest.approx(excitation, rel=0.06)


@pytest.mark.parametrize("cells", [3, 5, 11])
def test_every_output_is_inhibited_once_and_no_cell_is_idle(cells):
    shares = DaleLinear(7, 5, inhibitory=cells).inhibit
    torch.testing.assert_close(shares.sum(1), torch.ones(5))
    assert (shares > 0).any(0).all()
    assert ((shares > 0).sum(0) == 1).all() or cells < 5


def test_no_step_changes_the_sign_of_a_cell():
    layer = DaleLinear(5, 3, generator=seeded())
    optimizer = torch.optim.SGD(layer.parameters(), lr=5.0)
    x = torch.rand(7, 5, generator=seeded())
    for _ in range(3):
        optimizer.zero_grad()
        layer(x).square().mean().backward()
        optimizer.step()
    assert (layer.excite < 0).any()  # which counts by its magnitude
    more = x.clone()
    more[:, 2] += 1.0
    assert (nn.functional.linear(more - x, layer.excite.abs()) >= 0).all()


def test_layers_of_cells_learn_with_it():
    net = am.Sequential(
        DaleLinear(7, 5, generator=seeded()), am.models.Gain(500.0), LIF(), DaleLinear(5, 3)
    )
    x = torch.rand(17, 11, 7, generator=seeded())
    history = fit(
        net, [(x, torch.ones(17, 11, 3))], nn.functional.mse_loss, epochs=5, progress=None,
        optimizer=torch.optim.Adam(net.parameters(), lr=0.05),
    )  # fmt: skip
    assert history.losses[-1] < history.losses[0]
    with pytest.raises(ValueError, match="takes 7 cells along the last axis, but there are 3"):
        net[0](x[..., :3])
    with pytest.raises(ValueError, match="but there are no axes"):
        DaleLinear(7, 3)(torch.tensor(1.0))
    with pytest.raises(ValueError, match="outputs must be a number of cells, got 'x'"):
        DaleLinear(7, "x")
    with pytest.raises(ValueError, match="inhibitory must be a number of cells, got 0"):
        DaleLinear(3, 3, inhibitory=0)
