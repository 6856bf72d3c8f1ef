"""A traced step of which some inputs are known computes the same with less."""

import math

import pytest
import torch
from torch import Tensor

from amphid.kernels import compile_source, trace, with_known, write_function


def change(weight: Tensor, trace: Tensor, first: Tensor, second: Tensor) -> Tensor:
    grown = torch.where(first > 0, weight * first + 0.1 * trace, weight - 0.0)
    return (grown - 0.3 * torch.exp(trace) * second).clamp(max=9.0)


def traced():
    return trace(change, *(torch.rand(5, dtype=torch.float64) for _ in range(4)))


def test_products_with_zero_and_one_and_known_choices_are_gone():
    counts = {
        known: len(with_known(traced(), {2: known[0], 3: known[1]}).operations)
        for known in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    }
    assert counts == {(0.0, 0.0): 1, (1.0, 0.0): 3, (0.0, 1.0): 4, (1.0, 1.0): 6}


def test_a_step_that_changes_nothing_gives_back_its_input():
    still = trace(lambda w, x, s: w + 0.1 * x * s, *(torch.rand(5) for _ in range(3)))
    left = with_known(still, {2: 0.0})
    assert left.outputs == (left.inputs[0],)
    assert not left.operations


@pytest.mark.parametrize("known", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_the_function_of_what_is_left_gives_what_the_step_gives(known):
    pytest.importorskip("numba", reason="numba is not installed")
    left = with_known(traced(), {2: known[0], 3: known[1]})
    module = compile_source("@outer\n" + write_function(left, "f", clamped=(-0.5, math.inf)))
    for weight, value in ((0.7, 0.2), (20.0, 1.1), (-3.0, 0.4)):
        given = [torch.tensor([x], dtype=torch.float64) for x in (weight, value, *known)]
        expected = float(change(*given).clamp(min=-0.5))
        assert module.f(weight, value, *known) == pytest.approx(expected, rel=1e-15)
