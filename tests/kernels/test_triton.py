"""What is written for accelerators computes what the plain loop computes, forward and backward."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import triton_shim
from compiled_cells import CELLS, NEURONS, concrete, noise
from torch import Tensor
from torch.utils import _pytree as pytree

from amphid.dynamics import LIF, LeakyIntegrator, Mixed, Neuron, sequence
from amphid.dynamics.sequence import run_plainly, run_sequence
from amphid.kernels import TritonLoop, UnknownOperation
from amphid.kernels.triton_text import in_blocks

T, B, DT = 7, 3, 0.3
INTERPRETED = importlib.util.find_spec("triton") and os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture(
    params=[
        "shim",
        pytest.param(
            "interpreter",
            marks=pytest.mark.skipif(
                not INTERPRETED, reason="needs triton and TRITON_INTERPRET=1 in the environment"
            ),
        ),
    ]
)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sequences are run by Triton's kernels, on the processor."""
    if request.param == "shim":
        for name, module in triton_shim.modules().items():
            monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sequence, "Compiled", TritonLoop)
    with np.errstate(all="ignore"):
        yield


def followed(
    run: Callable[..., Any], neuron: Neuron[Any], current: Tensor, state: Any
) -> list[Tensor]:
    """Output, state at the end, and gradients of a weighted sum of all of them."""
    current = current.clone().requires_grad_()
    output, after = run(neuron, current, state, DT)
    leaves = [output, *pytree.tree_leaves(after)]
    weighted = [
        (leaf * noise(*leaf.shape, seed=k).to(leaf)).sum()
        for k, leaf in enumerate(leaves)
        if leaf.requires_grad
    ]
    wrt = [current, *neuron.parameters()]
    found = torch.autograd.grad(sum(weighted), wrt, materialize_grads=True) if weighted else ()  # type: ignore[arg-type]
    return [*leaves, *found]


def test_the_list_holds_all_there_are_but_mixtures() -> None:
    assert {type(neuron) for neuron, _ in NEURONS.values()} == concrete(Neuron) - {Mixed}


@pytest.mark.parametrize(("neuron", "drive"), NEURONS.values(), ids=NEURONS.keys())
@pytest.mark.usefixtures("blocks")
def test_every_neuron_is_the_plain_loop(neuron: Neuron[Any], drive: float) -> None:
    current = drive * (0.5 + noise(T, B, CELLS).abs())
    with torch.no_grad():
        state = neuron.double().init(current[0])
    got, wanted = (followed(run, neuron, current, state) for run in (run_sequence, run_plainly))
    for ours, theirs in zip(got, wanted, strict=True):
        scale = theirs.abs().max().double().item() if theirs.is_floating_point() else 0.0
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10 * (1 + scale))


@pytest.mark.usefixtures("blocks")
def test_more_cells_than_a_block_and_one_row_of_gradients_for_all_steps() -> None:
    neuron, current = LIF(tau=7.0), 400 * noise(T, 5, 53).abs()
    given = current.requires_grad_()
    fast = torch.autograd.grad(
        run_sequence(neuron, given, neuron.init(given[0]), DT)[0].sum(), given
    )
    plain = torch.autograd.grad(
        run_plainly(neuron, given, neuron.init(given[0]), DT)[0].sum(), given
    )
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("blocks")
def test_single_precision_stays_single() -> None:
    neuron, current = LeakyIntegrator(tau=7.0), noise(T, B, CELLS).float()
    output, state = run_sequence(neuron, current, neuron.init(current[0]), DT)
    plain, _ = run_plainly(neuron, current, neuron.init(current[0]), DT)
    assert output.dtype == state.v.dtype == torch.float32
    torch.testing.assert_close(output, plain)


def test_a_function_that_triton_has_not_is_refused_by_name() -> None:
    with pytest.raises(UnknownOperation, match=r"np\.sinc"):
        in_blocks("np.sinc(x0)")


@pytest.mark.parametrize(
    ("scalar", "blocks"),
    [
        ("(a if b > c else d)", "tl.where(b > c, a, d)"),
        ("f4(0.1) * x", "tl.full((), 0.1, tl.float32) * x"),
        ("x ** f4(y)", "libdevice.pow(x, tl.cast(y, tl.float32))"),
        ("not x", "~x"),
        ("f4(-np.inf)", "tl.cast(-tl.full((), float('inf'), tl.float64), tl.float32)"),
    ],
)
def test_scalar_code_is_rewritten(scalar: str, blocks: str) -> None:
    assert in_blocks(scalar) == blocks
