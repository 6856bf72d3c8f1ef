"""Layers of cells begin with the weights that their names say."""

from __future__ import annotations

import pytest
import torch

from amphid.dynamics import LIF
from amphid.models import cell_layers, dense_weights, permuted_weights, relay_weights


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_dense_weights_keep_the_size_of_what_they_weigh() -> None:
    found = dense_weights(seeded())(401, 307)
    assert found.shape == (307, 401)
    assert found.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert found.square().sum(1).mean().item() == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(("before", "behind"), [(5, 15), (7, 7), (7, 3)])
def test_permuted_weights_keep_cells_apart_and_use_them_equally_often(
    before: int, behind: int
) -> None:
    found = permuted_weights(seeded(), noise=0.0)(before, behind)
    assert (found.sort(1).values[:, -1] == 1.0).all()
    assert found.sum() == behind
    uses = found.sum(0)
    assert uses.max() - uses.min() <= 1
    noisy = permuted_weights(seeded(), noise=0.1)(before, behind) - found
    assert noisy.std().item() == pytest.approx(0.1, rel=0.5)


def test_a_relay_passes_each_channel_on_and_none_to_another() -> None:
    signal = torch.rand(11, 5, generator=seeded())
    x = signal
    for behind in (15, 15, 5):
        x = x @ relay_weights(5)(x.shape[1], behind).T
    torch.testing.assert_close(x, signal)


def test_layers_come_as_sizes_say_and_too_few_cells_are_a_sentence() -> None:
    weights = [dense_weights(seeded())] * 2
    net = cell_layers((3, 7, 5), [LIF(), LIF()], weights, gain=13.0, bias=True)
    assert net(torch.rand(11, 2, 3)).shape == (11, 2, 5)
    assert [float(own.gain) for own in net[1::3]] == [13.0, 13.0]
    assert not any(own.bias.any() for own in net[::3])
    with pytest.raises(ValueError, match="for each of 2 layers, got 1 and 2"):
        cell_layers((3, 7, 5), [LIF()], weights, gain=1.0)
