"""In machine code of single precision, what is too small for all its digits is zero."""

import numpy as np
import pytest
import torch

from amphid.kernels import compile_source

pytest.importorskip("numba", reason="numba is not installed")

FADE = """
@outer
def fade(values, times):
    for _ in range(times):
        for k in range(values.size):
            values[k] *= values.dtype.type(0.98)
    if times == 13:
        raise ValueError("thirteen")
"""


@pytest.fixture(autouse=True)
def knows():
    known = torch.set_flush_denormal(True)
    torch.set_flush_denormal(False)
    if not known:
        pytest.skip("this processor cannot")


def faded(*, exact, times=6007):
    values = np.ones(7, np.float32)
    compile_source(FADE, exact=exact).fade(values, times)
    return values


def test_what_decays_ends_at_zero_and_as_written_it_never_does():
    assert not faded(exact=False).any()
    left = faded(exact=True)
    assert np.all((left > 0) & (left < 1.2e-38))


def test_whoever_calls_counts_on_as_before():
    faded(exact=False)
    with pytest.raises(ValueError, match="thirteen"):
        faded(exact=False, times=13)
    assert np.float32(1e-40) * np.float32(1) > 0
    torch.set_flush_denormal(True)
    try:
        faded(exact=False)
        assert np.float32(1e-40) * np.float32(1) == 0
    finally:
        torch.set_flush_denormal(False)


def test_what_is_large_enough_is_the_same_to_the_bit():
    assert np.array_equal(faded(exact=False, times=97), faded(exact=True, times=97))
