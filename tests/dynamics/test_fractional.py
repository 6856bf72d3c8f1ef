"""Cells and concentrations with a derivative of fractional order, and what they remember."""

from __future__ import annotations

import logging
import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import erfcx, gamma
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from amphid.dynamics import (
    LIF,
    AdaptiveMemory,
    AdEx,
    BinaryThreshold,
    BlockMemory,
    ExponentialMemory,
    Fractional,
    FractionalDiffusion,
    FullMemory,
    Graded,
    HodgkinHuxley,
    LeakyIntegrator,
    Memory,
    MorrisLecar,
    Neuron,
    Refractory,
    ShortMemory,
    SummedMemory,
    ThresholdIntegrator,
    mittag_leffler,
)
from amphid.dynamics.fractional.adaptive import intervals
from amphid.dynamics.fractional.blocks import mean_weights
from amphid.dynamics.fractional.weights import falling, weights

MEMORIES: list[Memory] = [
    FullMemory(),
    ShortMemory(steps=13),
    AdaptiveMemory(base=3),
    SummedMemory(base=3),
    BlockMemory(blocks=2),
    ExponentialMemory(error=1e-4, horizon=1000),
]
every_memory = pytest.mark.parametrize("memory", MEMORIES, ids=lambda m: type(m).__name__)


@pytest.fixture(autouse=True)
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def above(memory: Memory, values: Tensor, order: float) -> Tensor:
    """How far each value stands above what came before it."""
    state, found = memory.init(values[0], order), []
    for x in values:
        state, own = memory.step(state, x, order)
        found.append(own)
    return torch.stack(found)


def concrete(kind: type) -> set[type]:
    below = {own for sub in kind.__subclasses__() for own in concrete(sub)}
    return below if getattr(kind, "__abstractmethods__", None) else {kind, *below}


def test_the_list_holds_every_memory_there_is() -> None:
    assert {type(memory) for memory in MEMORIES} == concrete(Memory)


def test_weights_are_binomial_coefficients_and_sum_to_one() -> None:
    order, like = 0.7, torch.zeros(1)
    a, b = weights(order, 2000, like).numpy(), falling(order, 2000)
    exact = [-((-1) ** k) * np.prod([(order - j) / (j + 1) for j in range(k)]) for k in (1, 2, 7)]
    np.testing.assert_allclose(a[[0, 1, 6]], exact, rtol=1e-13)
    np.testing.assert_allclose(1 - np.cumsum(a), b[1:], rtol=1e-11)
    assert b[2000] == pytest.approx(2000**-order / gamma(1 - order), rel=1e-3)


def test_full_memory_is_the_sum_over_all_of_the_past() -> None:
    """Also where what is recent has become what is older, which it does every 256 steps."""
    values = noise(601, 2, 3)
    found = above(FullMemory(), values, 0.4)
    own = weights(0.4, 601, values)
    for n in (1, 2, 255, 256, 257, 258, 601):
        past = torch.einsum("k,kbn->bn", own[:n], values[:n].flip(0))
        torch.testing.assert_close(found[n - 1], values[n - 1] - past)


def test_short_memory_is_the_sum_over_the_latest() -> None:
    values, steps = noise(600, 3), 270
    own = weights(0.4, steps, values)
    found = above(ShortMemory(steps=steps), values, 0.4)[-1]
    torch.testing.assert_close(found, values[-1] - own @ values[-steps:].flip(0))


@pytest.mark.parametrize("memory", [AdaptiveMemory(base=64), SummedMemory(base=64)], ids=str)
def test_what_is_all_base_is_all_read(memory: Memory) -> None:
    values = noise(61, 5, 3)
    torch.testing.assert_close(above(memory, values, 0.6), above(FullMemory(), values, 0.6))


def test_intervals_are_odd_and_leave_nothing_out() -> None:
    """The published rule: strides of 2 i - 1 up to base^i, what is left one by one."""
    middles, lengths = intervals(70, 4)
    assert middles[:6].tolist() == [1, 2, 3, 4, 6, 9]
    assert lengths[:8].tolist() == [1, 1, 1, 1, 3, 3, 3, 3]
    assert middles[8:11].tolist() == [19, 24, 29]
    covered = [
        lag
        for middle, length in zip(middles.tolist(), lengths.tolist(), strict=True)
        for lag in range(middle - length // 2, middle + length // 2 + 1)
    ]
    assert covered == list(range(1, 71))


@pytest.mark.parametrize("memory", [SummedMemory(base=3), BlockMemory(blocks=1)], ids=str)
def test_summed_weights_are_exact_where_nothing_changed(memory: Memory) -> None:
    values = torch.ones(301, 3)
    found = above(memory, values, 0.3)
    torch.testing.assert_close(found[:, 0], torch.from_numpy(falling(0.3, 301)[1:]))


def test_multiplied_weights_are_not() -> None:
    values = torch.ones(301, 3)
    found = above(AdaptiveMemory(base=3), values, 0.3)[-1]
    assert (found / falling(0.3, 301)[-1] - 1).abs().min() > 0.03


def test_blocks_are_sums_that_double() -> None:
    """Three of each length, or two once two have become one of twice the length."""
    memory = BlockMemory(blocks=2)
    state, values = memory.init(torch.zeros(3), 0.5), noise(60, 3)
    for x in values:
        state, _ = memory.step(state, x, 0.5)
    whole = values.flip(0)
    for number, level in enumerate(state[1:]):
        for block in level.unflatten(-1, (-1, 3)):
            torch.testing.assert_close(block, whole[: 2**number].sum(0))
            whole = whole[2**number :]
    assert not len(whole)
    assert {level.shape[-1] // 3 for level in state[1:-1]} <= {2, 3}


def test_the_error_of_blocks_falls_with_the_square_of_their_number() -> None:
    values = (torch.arange(1.0, 1500.0) / 100).sqrt()[:, None]
    exact = above(FullMemory(), values, 0.6)[-1]
    errors = [abs(above(BlockMemory(n), values, 0.6)[-1] - exact).item() for n in (8, 32)]
    assert 8 < errors[0] / errors[1] < 32


@pytest.mark.parametrize("order", [0.05, 0.5, 0.95])
def test_exponentials_keep_their_error_at_every_lag(order: float) -> None:
    memory = ExponentialMemory(error=1e-5, horizon=20_000)
    own = memory.exponentials(order)
    lags = np.arange(1, 20_001)
    sums = sum(w * s ** (lags - 1.0) for w, s in zip(own.weights, own.shares, strict=True))
    error = np.abs(sums / falling(order, 20_000)[1:] - 1).max()
    assert error == pytest.approx(own.error, rel=0.05)
    assert error < 1.05e-5
    assert min(own.weights) > 0
    assert len(own.weights) < 25


def test_exponentials_grow_with_the_logarithm_of_the_horizon() -> None:
    counts = [
        len(ExponentialMemory(1e-5, horizon).exponentials(0.5).weights)
        for horizon in (100, 10_000, 1_000_000)
    ]
    assert counts[0] < counts[1] < counts[2] < counts[0] + 2 * (counts[1] - counts[0]) + 3


def test_more_than_can_be_had_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="error must be a number of at least 1e-9"):
        ExponentialMemory(error=0.0)
    with pytest.raises(ValueError, match=r"horizon must be a whole number >= 2, got 1\.5"):
        ExponentialMemory(horizon=1.5)  # type: ignore[arg-type]


@every_memory
@pytest.mark.parametrize("steps", [0, 1, 5, 11, 40, 300])
def test_a_memory_is_as_large_as_it_says(memory: Memory, steps: int) -> None:
    like = torch.zeros(2, 3)
    state = memory.init(like, 0.5)
    for _ in range(steps):
        state, _ = memory.step(state, like, 0.5)
    told = memory.after(like, steps, 0.5)
    sizes = [[leaf.shape[-1] for leaf in pytree.tree_leaves(tree)] for tree in (told, state)]
    assert sum(sizes[0]) == sum(sizes[1])
    assert memory.reads(steps, 0.5) <= steps or isinstance(memory, ExponentialMemory)


@every_memory
def test_memories_are_values(memory: Memory) -> None:
    assert memory == type(memory)(**vars(memory))
    with pytest.raises(FrozenInstanceError):
        memory.blocks = 3  # type: ignore[attr-defined]


@every_memory
def test_every_memory_knows_a_cell_that_relaxes(memory: Memory) -> None:
    cell = Fractional(LeakyIntegrator(tau=5.0), order=0.8, memory=memory)
    v = cell(torch.full((11, 2, 3), 100.0), dt=0.5)
    whole = Fractional(LeakyIntegrator(tau=5.0), order=0.8, memory=FullMemory())
    exact = whole(torch.full((11, 2, 3), 100.0), dt=0.5)
    torch.testing.assert_close(v, exact, rtol=0.02, atol=0.0)


@pytest.mark.parametrize(
    "cell",
    [LIF(), ThresholdIntegrator(), Graded(), HodgkinHuxley(), AdEx(), MorrisLecar()],
    ids=lambda cell: type(cell).__name__,
)
@pytest.mark.parametrize("memory", [FullMemory(), ExponentialMemory()], ids=str)
def test_at_order_one_it_is_the_cell_inside(cell: Neuron[Any], memory: Memory) -> None:
    current = 300.0 + 300.0 * noise(97, 5, 3)
    expected, end = cell.run(current, dt=0.25)
    given, after = Fractional(cell, order=1, memory=memory).run(current, dt=0.25)
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(pytree.tree_leaves(after.neuron), pytree.tree_leaves(end))


@pytest.mark.parametrize("order", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("memory", [FullMemory(), ExponentialMemory(1e-7, 10_000)], ids=str)
def test_a_relaxation_is_that_of_mittag_leffler(order: float, memory: Memory) -> None:
    """Under a constant current, with an error that falls with the first power of dt."""
    cell = Fractional(LeakyIntegrator(tau=7.0, resistance=0.1), order=order, memory=memory)
    expected = 10.0 * (1 - mittag_leffler(order, torch.tensor(-(20.0**order) / 7.0)))
    errors = []
    for steps in (100, 400):
        v = cell(torch.full((steps, 1), 100.0), dt=20.0 / steps)[-1]
        errors.append((v - expected).abs().item())
    assert errors[1] < 10.0 * 4e-4
    assert 2.5 < errors[0] / errors[1] < 5.5


def test_exponentials_fire_as_all_of_the_past_does() -> None:
    current = 500.0 + 300.0 * noise(300, 3)
    spikes, ends = [], []
    for memory in (FullMemory(), ExponentialMemory(1e-7, 1000)):
        cell = Refractory(Fractional(LIF(), order=0.7, memory=memory), period=3.0)
        given, end = cell.run(current, dt=0.5)
        spikes.append(given)
        ends.append(end.v)
    assert spikes[0].sum() > 10
    torch.testing.assert_close(spikes[1], spikes[0])
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-5, atol=0.0)


def test_gradients_pass_through_all_of_the_past() -> None:
    inside, current = nn.Parameter(torch.tensor(0.1)), noise(40, 3)
    found = []
    for memory in (FullMemory(), ExponentialMemory(1e-8, 100)):
        x = current.clone().requires_grad_()
        cell = Fractional(LeakyIntegrator(tau=5.0, resistance=inside), order=0.6, memory=memory)
        found.append(torch.autograd.grad(cell(x)[-1].square().sum(), (x, inside)))
    assert (found[0][0][:5].abs() > 1e-6).any()
    for own, exact in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(own, exact, rtol=1e-5, atol=1e-9)


def test_the_gradient_of_a_run_is_that_of_small_changes() -> None:
    cell = Fractional(Graded(), order=0.6, memory=ExponentialMemory(1e-2, 100))
    assert torch.autograd.gradcheck(cell, (noise(7, 3).requires_grad_(),))


@pytest.mark.parametrize("order", [0.4, 0.8])
def test_held_and_holding_are_the_same(order: float) -> None:
    """What is remembered is the voltage that was, whoever held it there."""
    current, memory = 900.0 + 600.0 * noise(61, 5, 3), ExponentialMemory(1e-2, 1000)
    inside = Refractory(Fractional(LIF(), order=order, memory=memory), period=4.0)
    outside = Fractional(Refractory(LIF(), period=4.0), order=order, memory=memory)
    assert inside(current).sum() > 20
    torch.testing.assert_close(inside(current), outside(current))


def intervals_at(cell: Neuron[Any], dt: float) -> Tensor:
    """The first intervals between spikes under a constant current, in ms."""
    spikes = cell(torch.full((round(60.0 / dt), 1), 900.0), dt=dt)
    return spikes[:, 0].nonzero().flatten().diff()[:3] * dt


def test_spikes_of_held_cells_do_not_hang_on_the_step() -> None:
    cell = Fractional(LIF(v_reset=-75.0), order=0.7, memory=ExponentialMemory(1e-4, 1000))
    held = [intervals_at(Refractory(cell, period=5.0), dt) for dt in (0.5, 0.125)]
    torch.testing.assert_close(held[0], held[1], rtol=0.0, atol=0.51)
    free = [intervals_at(cell, dt) for dt in (0.5, 0.125)]
    assert (free[0] - free[1]).abs().min() > 1.0


def test_adaptation_needs_the_memory_of_resets() -> None:
    """Teka et al. 2014, figures 1G and 9: intervals fall, and do not where memory is reset."""
    memory = ExponentialMemory(1e-3, 1000)
    cell = Refractory(Fractional(LIF(), order=0.5, memory=memory), period=5.0)
    current = torch.full((600, 1), 900.0)
    whole = cell(current, dt=0.5)[:, 0].nonzero().flatten().diff()
    assert whole[-1] < 0.95 * whole[0]
    state, times = cell.init(current[0]), []
    for step, now in enumerate(current):
        state, spike = cell.step(state, now, 0.5)
        if spike.item():
            state = state._replace(neuron=cell.neuron.settle(state.neuron, state.v))
            times.append(step)
    assert set(np.diff(times)) == {np.diff(times)[0]}


def test_settled_it_has_no_past() -> None:
    cell = Fractional(LIF(), order=0.5, memory=FullMemory())
    _, state = cell.run(torch.full((9, 3), 400.0))
    assert cell.read(state, "drift").abs().min() > 0
    settled = cell.settle(state, state.v)
    fresh = cell.init(torch.zeros(3))
    shapes = [[leaf.shape for leaf in pytree.tree_leaves(own.memory)] for own in (settled, fresh)]
    assert shapes[0] == shapes[1]
    assert not cell.read(settled, "drift").any()


@pytest.mark.machine_code
def test_machine_code_gives_what_torch_gives(caplog: pytest.LogCaptureFixture) -> None:
    cell = Refractory(Fractional(LIF(), order=0.7, memory=ExponentialMemory(1e-3, 1000)))
    current, state, given = 400.0 + 300.0 * noise(83, 2, 3), cell.init(torch.zeros(2, 3)), []
    for now in current:
        state, spike = cell.step(state, now, 0.5)
        given.append(spike)
    found, end = cell.run(current, dt=0.5)
    torch.testing.assert_close(found, torch.stack(given))
    torch.testing.assert_close(end.v, state.v)
    assert not caplog.records


@pytest.mark.machine_code
@pytest.mark.parametrize("cells", [1, 3])
def test_a_memory_that_grows_is_stepped_by_torch_and_says_so(
    cells: int, caplog: pytest.LogCaptureFixture
) -> None:
    cell = Refractory(Fractional(LIF(), order=0.7, memory=FullMemory()))
    current = 400.0 + 300.0 * noise(31, cells)
    with caplog.at_level(logging.WARNING):
        whole, end = cell.run(current)
        first, middle = cell.run(current[:13])
        second, late = cell.run(current[13:], middle)
    assert "what FullMemory keeps grows with the past" in caplog.text
    torch.testing.assert_close(torch.cat((first, second)), whole, rtol=0, atol=0)
    assert late.v.shape == end.v.shape == (cells,)


def test_mittag_leffler_of_one_half_is_the_scaled_error_function() -> None:
    x = torch.tensor([[0.0, 1e-8, 0.3], [1.0, 17.0, 1e6]])
    torch.testing.assert_close(
        mittag_leffler(0.5, -x), torch.from_numpy(erfcx(x.numpy())), rtol=1e-13, atol=0.0
    )


@pytest.mark.parametrize("order", [0.1, 0.3, 0.75, 0.95, 0.99, 1])
def test_mittag_leffler_is_its_series(order: float) -> None:
    mpmath = pytest.importorskip("mpmath", reason="needs mpmath, which torch brings along")
    x = [0.01, 0.3, 0.7] if order < 0.2 else [0.01, 0.9, 3.0]
    with mpmath.workdps(60):
        exact = [
            float(sum(mpmath.mpf(-z) ** k / mpmath.gamma(mpmath.mpf(order) * k + 1)
                      for k in range(int(200 / order))))
            for z in x
        ]  # fmt: skip
    found = mittag_leffler(order, -torch.tensor(x))
    np.testing.assert_allclose(found.numpy(), exact, rtol=1e-12)


def test_mittag_leffler_falls_off_by_a_power() -> None:
    found = mittag_leffler(0.7, torch.tensor(-1e7)).item()
    assert found == pytest.approx(1e-7 / gamma(0.3), rel=1e-6)
    with pytest.raises(ValueError, match="z must be at most zero, as it is in a relaxation, got 2"):
        mittag_leffler(0.7, torch.tensor([-1.0, 2.0]))


def wave(places: int) -> tuple[Tensor, float, float]:
    """Half a sine on a line of length one, the spacing, and how fast its places exchange."""
    spacing = 1.0 / (places + 1)
    u = torch.sin(math.pi * torch.linspace(0.0, 1.0, places + 2)[1:-1])
    return u, spacing, 4 / spacing**2 * math.sin(math.pi * spacing / 2) ** 2


@pytest.mark.parametrize("order", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("memory", [FullMemory(), ExponentialMemory(1e-7, 10_000)], ids=str)
def test_a_wave_fades_as_mittag_leffler_says(order: float, memory: Memory) -> None:
    u, spacing, rate = wave(places=3)
    diffusion = FractionalDiffusion(order, constant=0.5, spacing=spacing, memory=memory)
    steps = 600
    found = diffusion.run(torch.stack((u, 2 * u)), steps=steps, dt=1.0 / steps)
    expected = mittag_leffler(order, torch.tensor(-0.5 * rate))
    torch.testing.assert_close(found[-1, 0], expected * u, rtol=0.0, atol=4e-4)
    torch.testing.assert_close(found[:, 1], 2 * found[:, 0])


def test_at_order_one_diffusion_is_plain() -> None:
    u, spacing, rate = wave(places=5)
    found = FractionalDiffusion(1, constant=1.0, spacing=spacing).run(u, steps=50, dt=0.005)
    torch.testing.assert_close(found[-1], (1 - 0.005 * rate) ** 50 * u)


def test_a_step_too_long_for_diffusion_is_a_sentence() -> None:
    diffusion = FractionalDiffusion(0.6, constant=1.0, spacing=0.25)
    longest = diffusion.longest(places=7)
    u = (-1.0) ** torch.arange(7)
    assert diffusion.run(u, steps=300, dt=longest).abs().max() <= 1.5
    with pytest.raises(ValueError, match="dt must be at most"):
        diffusion.run(u, steps=2, dt=1.01 * longest)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Fractional(LIF(), order=1.5), ValueError, "above 0 and at most 1.*got 1.5"),
        (lambda: Fractional(LIF(), order=torch.ones(3)), ValueError, "side by side in Mixed"),
        (lambda: Fractional("LIF", order=0.5), TypeError, "must be a Neuron such as LIF"),
        (lambda: Fractional(BinaryThreshold(), order=0.5), TypeError, "has no membrane"),
        (lambda: Fractional(LIF(), order=0.5, memory=7), TypeError, "such as ExponentialMemory"),
        (
            lambda: Fractional(Fractional(LIF(), order=0.5), order=0.5),
            TypeError,
            "have an order already",
        ),
        (lambda: ShortMemory(steps=0), ValueError, "steps must be a whole number >= 1, got 0"),
        (lambda: AdaptiveMemory(base=1), ValueError, "base must be a whole number >= 2, got 1"),
        (lambda: BlockMemory(blocks=True), ValueError, "got True"),
        (lambda: FractionalDiffusion(0.5, 0.0, 1.0), ValueError, "constant must be positive"),
    ],
)
def test_nonsense_is_a_sentence(make: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        make()


def test_mean_weights_of_blocks_cover_the_past() -> None:
    own = mean_weights([3, 2], 0.5)
    a = weights(0.5, 7, torch.zeros(1)).numpy()
    np.testing.assert_allclose(own, [*a[:3], a[3:5].mean(), a[5:7].mean()])
