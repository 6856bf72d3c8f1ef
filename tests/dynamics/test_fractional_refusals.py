"""What memories and functions of fractional order say to arguments that make no sense."""

import math

import numpy as np
import pytest
import torch

from amphid.dynamics import (
    LIF,
    ExponentialMemory,
    Fractional,
    FractionalDiffusion,
    FullMemory,
    mittag_leffler,
)

LINE = FractionalDiffusion(order=0.5, constant=1.0, spacing=1.0)
PLACES = torch.ones(5, dtype=torch.float64)


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda: mittag_leffler(0.5, -1.0), TypeError, "z must be a tensor"),
        (lambda: mittag_leffler(0.5, np.array([-1.0])), TypeError, "z must be a tensor"),
        (lambda: mittag_leffler(0.5, torch.tensor([-1, -2])), TypeError, r"give z\.double\(\)"),
        (lambda: mittag_leffler(0.5, torch.tensor([-1j])), TypeError, "complex"),
        (lambda: mittag_leffler(1 - 1e-12, -PLACES), ValueError, "too many terms"),
        (lambda: mittag_leffler(1e-12, -PLACES), ValueError, "too many terms"),
        (lambda: mittag_leffler(0.5, PLACES * math.nan), ValueError, "at most zero"),
        (lambda: ExponentialMemory(horizon=10**9), ValueError, "at most 100,000,000 steps"),
        (lambda: FractionalDiffusion(0.5, 1.0, 1.0, FullMemory), TypeError, "memory must be one"),
        (lambda: FractionalDiffusion(0.5, 1.0, 1.0, None), TypeError, "memory must be one"),
        (lambda: LINE.run([1.0, 2.0], steps=2, dt=0.01), TypeError, "u must be a tensor"),
        (lambda: LINE.run(PLACES.long(), steps=2, dt=0.01), TypeError, "got torch.int64"),
        (lambda: LINE.run(PLACES > 0, steps=2, dt=0.01), TypeError, "got torch.bool"),
        (lambda: LINE.run(PLACES[:0], steps=2, dt=0.01), ValueError, "one or more places"),
        (lambda: LINE.run(PLACES[0], steps=2, dt=0.01), ValueError, "one or more places"),
        (lambda: LINE.run(PLACES * math.nan, steps=2, dt=0.01), ValueError, "u must be finite"),
        (lambda: LINE.run(PLACES, steps=0, dt=0.01), ValueError, "steps must be a whole number"),
        (lambda: LINE.run(PLACES, steps=1.5, dt=0.01), ValueError, "steps must be a whole number"),
        (lambda: LINE.run(PLACES, steps=2, dt=torch.tensor(math.nan)), ValueError, "dt must be"),
        (lambda: LINE.run(PLACES, steps=2, dt="1"), ValueError, "dt must be"),
    ],
)  # fmt: skip
def test_nonsense_is_a_sentence(ask, error, sentence):
    with pytest.raises(error, match=sentence):
        ask()


def test_a_relaxation_ends_at_zero():
    ends = mittag_leffler(0.5, torch.tensor([-math.inf, 0.0], dtype=torch.float64))
    assert ends.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("cell", [LIF(), Fractional(LIF(), order=0.8)], ids=["LIF", "Fractional"])
def test_a_current_of_whole_numbers_is_run_as_any_other(cell):
    whole = torch.full((7, 3), 300)
    run, after = cell.run(whole, dt=0.5)
    expected, end = cell.run(whole.to(torch.get_default_dtype()), dt=0.5)
    assert run.equal(expected)
    assert after.v.equal(end.v)
    assert after.v.dtype == torch.get_default_dtype()


def test_a_complex_current_is_refused():
    with pytest.raises(TypeError, match=r"current must be real, in pA, got torch.complex64: give"):
        LIF().run(torch.ones(7, 3, dtype=torch.complex64))
