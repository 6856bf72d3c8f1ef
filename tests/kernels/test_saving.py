"""What is saved for the way back is the least from which it follows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from amphid.dynamics import ALIF, LIF, FastSigmoid, HodgkinHuxley, LeakyIntegrator, Neuron

CASES: list[tuple[Neuron[Any], int]] = [
    (LIF(tau=7.0), 1),  # the voltage that is compared with the threshold
    (LIF(tau=7.0, reset_gradient=True, surrogate=FastSigmoid(width=2.0)), 1),
    (LeakyIntegrator(tau=7.0), 0),  # a linear cell has the same adjoint everywhere
    (ALIF(), 1),  # the distance to the threshold
]


def numbers_saved(neuron: Neuron[Any], current: torch.Tensor) -> int:
    """How many tensors [T, N] or [T + 1, N] are saved for a gradient of the current."""
    found = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        neuron(current)
    return sum(size >= current.numel() for size in found)


@pytest.mark.parametrize(("neuron", "expected"), CASES)
def test_as_many_numbers_are_saved_as_the_equations_need(neuron: Any, expected: int) -> None:
    current = torch.randn(31, 5, requires_grad=True)
    assert numbers_saved(neuron, current) == expected


def test_no_more_is_saved_than_what_goes_into_a_step() -> None:
    assert numbers_saved(HodgkinHuxley(), torch.randn(31, 5, requires_grad=True)) <= 5
