"""Ordinary torch modules over time, and sentences where something does not fit."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import amphid as am
from amphid import wiring
from amphid.dynamics import (
    LIF,
    Delta,
    HodgkinHuxley,
    LeakyIntegrator,
    learned,
)
from amphid.models import Delay, Dropout, Recurrent, Repeat, Sequential, SpikeCount

T, B, C, H, W = 7, 5, 2, 9, 11


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def maps(*shape: int) -> Tensor:
    return 400 * torch.randn(*shape, generator=seeded())


def convolutional() -> Sequential:
    return Sequential(
        nn.Conv2d(C, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        LIF(tau=learned(torch.full((3, 1, 1), 20.0))),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 2),
        LIF(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 13),
        LeakyIntegrator(),
    ).eval()


def test_time_folded_is_a_loop_over_steps():
    net, x = convolutional(), maps(T, B, C, H, W)
    states: list[Any] = [None] * len(net)
    looped = []
    for present in x:
        for place, layer in enumerate(net):
            if hasattr(layer, "run"):
                if states[place] is None:
                    states[place] = layer.init(present)
                states[place], present = layer.step(states[place], present, 1.0)
            else:
                present = layer(present)
        looped.append(present)
    torch.testing.assert_close(net(x), torch.stack(looped))
    assert net(x).shape == (T, B, 13)


def test_an_ordinary_module_is_called_once_for_all_steps():
    calls = []
    conv = nn.Conv2d(C, 3, 3)
    conv.register_forward_hook(lambda module, given, got: calls.append(given[0].shape))
    Sequential(conv, LIF())(maps(T, B, C, H, W))
    assert calls == [(T * B, C, H, W)]


def test_layers_before_repeat_are_applied_to_the_still_input_and_after_a_readout_to_its_value():
    calls = []
    conv = nn.Conv2d(C, 3, 3)
    conv.register_forward_hook(lambda module, given, got: calls.append(given[0].shape))
    net = Sequential(
        conv,
        Repeat(7.0),
        LIF(),
        nn.Flatten(),
        nn.Linear(189, 4),
        LIF(),
        SpikeCount(),
        nn.Linear(4, 3),
    )
    assert net(maps(B, C, H, W)).shape == (B, 3)
    assert calls == [(B, C, H, W)]
    late = Sequential(Repeat(7.0), conv, LIF(), nn.Flatten(), *net[4:])
    torch.testing.assert_close(late(maps(B, C, H, W)), net(maps(B, C, H, W)))
    outer = Sequential(nn.Identity(), Sequential(conv, Repeat(7.0)), *net[2:])
    torch.testing.assert_close(outer(maps(B, C, H, W)), net(maps(B, C, H, W)))


@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3)])
def test_maps_with_any_axes_of_batch_keep_time_apart(batch: tuple[int, ...]):
    net = Sequential(nn.Conv2d(C, 3, 3), LIF(), nn.Flatten(), nn.Linear(3 * 7 * 9, 4))
    x = maps(T, *batch, C, H, W)
    flat = torch.stack([net(one) for one in x.reshape(T, -1, C, H, W).unbind(1)], 1)
    torch.testing.assert_close(net(x), flat.reshape(T, *batch, 4), rtol=1e-4, atol=1e-4)


def test_flatten_first_keeps_time_and_one_axis_of_batch():
    net = Sequential(nn.Flatten(), nn.Linear(C * H * W, 3))
    x = maps(T, B, C, H, W)
    torch.testing.assert_close(net(x), net[1](x.reshape(T, B, -1)))


def test_batch_norm_sees_time_and_batch_as_one():
    net, x = Sequential(nn.BatchNorm1d(5), LIF()), 300 + 50 * maps(T, 3, 5)
    net(x)
    rows = x.reshape(-1, 5)
    torch.testing.assert_close(net[0].running_mean, 0.1 * rows.mean(0))
    torch.testing.assert_close(net[0].running_var, 0.9 + 0.1 * rows.var(0))


def test_a_value_for_each_channel_has_ones_behind_it():
    tau = torch.tensor([5.0, 10.0, 80.0])
    x = 300 + maps(T, B, 3, H, W)
    net = Sequential(LIF(tau=tau.reshape(3, 1, 1)))
    alone = torch.stack([LIF(tau=float(t))(x[:, :, k]) for k, t in enumerate(tau)], 2)
    torch.testing.assert_close(net(x), alone)
    hodgkin = Sequential(HodgkinHuxley(g_leak=10 * tau.reshape(3, 1, 1)))
    alone = torch.stack(
        [HodgkinHuxley(g_leak=10 * float(t))(x[:, :, k]) for k, t in enumerate(tau)], 2
    )
    torch.testing.assert_close(hodgkin(x), alone)


def test_it_is_a_torch_sequential():
    layers = OrderedDict(inputs=nn.Linear(5, 3), cells=LIF(), out=nn.Linear(3, 2))
    net = Sequential(layers)
    assert isinstance(net, nn.Sequential)
    assert net.cells is net[1] is layers["cells"]
    assert list(dict(net.named_parameters())) == [
        *("inputs.weight", "inputs.bias", "out.weight", "out.bias")
    ]
    assert type(net[:2]) is Sequential
    assert len(net[:2]) == 2
    assert len(net.append(LeakyIntegrator())) == 4
    net.load_state_dict(nn.Sequential(layers).state_dict())
    assert am.Sequential is Sequential


def test_plain_torch_sequential_does_the_same_where_nothing_must_be_folded():
    layers = nn.Linear(5, 3), LIF(), nn.Linear(3, 2), LeakyIntegrator()
    x = maps(T, B, 5)
    torch.testing.assert_close(nn.Sequential(*layers)(x), Sequential(*layers)(x))


def test_dt_reaches_every_layer():
    lone = LIF(), Delay(2.0), LeakyIntegrator()
    x = maps(T, B, 5)
    expected = x
    for layer in lone:
        expected = layer(expected, dt=0.25)
    torch.testing.assert_close(Sequential(*lone)(x, dt=0.25), expected)
    torch.testing.assert_close(Sequential(*lone).run(x, dt=0.25)[0], expected)


def test_a_layer_that_stands_twice_has_two_states():
    cell = LIF()
    net, x = Sequential(cell, nn.Linear(5, 5), cell), maps(T, B, 5)
    torch.testing.assert_close(net(x), cell(net[1](cell(x))))
    assert len(net.run(x)[1]) == 3


def test_a_network_is_a_layer():
    wired = wiring.random(13, probability=0.3, generator=seeded())
    net = am.Network(wired, neuron=LIF(), synapse=Delta(charge=100.0))
    layers, x = Sequential(nn.Linear(5, 13), net, SpikeCount()), maps(T, B, 5)
    with torch.no_grad():
        whole, _ = layers.run(x)
        _, state = layers.run(x[:3])
        torch.testing.assert_close(layers.run(x[3:], state)[0], whole)
        torch.testing.assert_close(layers(x), net(layers[0](x)).sum(0))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_recurrent_modules_of_torch_keep_their_state(kind: type):
    net, x = Sequential(kind(5, 3), nn.Linear(3, 2)), maps(T, B, 5) / 400
    whole, _ = net.run(x)
    first, state = net.run(x[:3])
    torch.testing.assert_close(torch.cat((first, net.run(x[3:], state)[0])), whole)
    torch.testing.assert_close(net(x), whole)


def test_sparse_spikes_are_projected_as_torch_does_with_the_same_gradients():
    """Large enough that the events alone are looked at."""
    x = (torch.rand(40, 10, 61, generator=seeded()) < 0.05).double()
    linear = nn.Linear(61, 7).double()
    found = []
    for model in (Sequential(linear), nn.Sequential(linear)):
        given = x.clone().requires_grad_()
        linear.zero_grad()
        y = model(given)
        y.square().sum().backward()
        found.append((y, given.grad, linear.weight.grad, linear.bias.grad))
    torch.testing.assert_close(*found)


def test_hooks_of_torch_fire():
    seen = []
    net = Sequential(nn.Linear(5, 3), LIF())
    for layer in net:
        layer.register_forward_hook(lambda module, given, got: seen.append(got.shape))
    net(maps(T, B, 5))
    assert seen == [(T, B, 3), (T, B, 3)]


REFUSALS = [
    (
        lambda: Sequential(nn.Linear(4, 3)),
        (T, B, 5),
        r"layer 0 \(Linear\) takes 4 features along axis -1, but there are 5",
    ),
    (
        lambda: Sequential(nn.Conv2d(3, 4, 3), LIF()),
        (T, B, C, H, W),
        r"layer 0 \(Conv2d\) takes 3 channels along axis -3, but there are 2",
    ),
    (
        lambda: Sequential(LIF(), nn.Conv2d(C, 4, 3)),
        (C, H, W),
        r"layer 1 \(Conv2d\) takes \[C, H, W\] after \[T, \*B\], at least 4 axes",
    ),
    (
        lambda: Sequential(nn.Conv2d(C, 4, 3), nn.Flatten(), nn.Conv2d(4, 4, 3)),
        (T, B, C, H, W),
        r"layer 2 \(Conv2d\) takes \[C, H, W\] after \[T, \*B\], 5 axes in all; got shape",
    ),
    (
        lambda: Sequential(OrderedDict(norm=nn.BatchNorm1d(4))),
        (T, B, 5),
        r"layer norm \(BatchNorm1d\) takes 4 features along axis -1, but there are 5",
    ),
    (
        lambda: Sequential(nn.Linear(5, 3), LIF(tau=torch.full((4,), 20.0))),
        (T, B, 5),
        r"layer 1 \(LIF\): tau has shape \[4\], which does not fit cells \[\*B, N\] = \[5, 3\]",
    ),
    (
        lambda: Sequential(LIF(tau=torch.full((C,), 20.0))),
        (T, B, C, H, W),
        r"given with ones behind it: \[2, 1, 1\] for channels",
    ),
    (lambda: Sequential(LIF()), (5,), r"layer 0 \(LIF\) takes \[T, \*B, N\]: time first"),
    (lambda: Sequential(nn.Linear(5, 3), LIF()), (0, B, 5), r"layer 1 \(LIF\).*at least one step"),
    (
        lambda: Sequential(SpikeCount(), LIF()),
        (T, B, 5),
        r"layer 1 \(LIF\) takes a sequence, but no axis of time is left.*readouts come last",
    ),
    (
        lambda: Sequential(Repeat(5.0), Repeat(5.0)),
        (B, 5),
        r"layer 1 \(Repeat\) makes a sequence of a still input, but a layer before it did",
    ),
    (
        lambda: Sequential(LIF(), Delay(torch.ones(4))),
        (T, B, 5),
        r"delay has 4 entries along its last axis, but there are 5 cells",
    ),
    (
        lambda: Recurrent(LIF(), nn.Linear(5, 3)),
        (T, B, 5),
        r"projection \(Linear\) gives \[\*B, N\] = \[5, 3\], but the cells are \[5, 5\]",
    ),
]


@pytest.mark.parametrize(("make", "shape", "sentence"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_wrong_axis_or_size_is_a_sentence_with_the_layer(make: Any, shape: Any, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        make()(torch.ones(shape))


def test_what_hides_time_is_refused():
    block = nn.Sequential(nn.Linear(5, 5), LIF())
    with pytest.raises(TypeError, match=r"layer 1 \(Sequential\) holds a layer with a state, '1'"):
        Sequential(nn.Linear(5, 5), block)
    with pytest.raises(ValueError, match="batch_first"):
        Sequential(nn.GRU(5, 3, batch_first=True))
    with pytest.raises(TypeError, match="gave a tuple"):
        Sequential(nn.MaxPool2d(2, return_indices=True))(maps(T, B, C, H, W))
    with pytest.raises(ValueError, match="one entry for each of 2 layers, got 3"):
        Sequential(nn.Linear(5, 3), LIF()).run(maps(T, B, 5), ((), (), ()))
    with pytest.raises(TypeError, match="neuron must be a Neuron"):
        Recurrent(nn.Linear(3, 3), nn.Linear(3, 3))


def test_an_error_of_torch_says_in_which_layer():
    with pytest.raises(RuntimeError) as caught:
        Sequential(nn.Linear(5, 3), nn.Unflatten(1, (2, 2)))(maps(T, B, 5))
    assert "in layer 1 (Unflatten)" in caught.value.__notes__[0]


def test_a_convolutional_net_learns_to_tell_bars_apart():
    """Horizontal from vertical bars of 6 x 6 pixels, shown for 12 ms."""
    bars = torch.zeros(12, 1, 6, 6)
    for place in range(6):
        bars[place, 0, place] = bars[6 + place, 0, :, place] = 1.0
    kind = torch.arange(12) // 6
    torch.manual_seed(0)
    net = Sequential(
        nn.Conv2d(1, 4, 3), Repeat(12.0), LIF(), nn.Flatten(), Dropout(0.1), nn.Linear(64, 2),
        LeakyIntegrator(), SpikeCount(),
    )  # fmt: skip
    with torch.no_grad():
        net[0].weight.mul_(600)
        net[5].weight.mul_(30)
    optimizer = torch.optim.Adam(
        [{"params": net[0].parameters(), "lr": 10.0}, {"params": net[5].parameters(), "lr": 0.3}]
    )
    assert (net.eval()(bars).argmax(-1) == kind).float().mean() < 0.8
    net.train()
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(bars), kind)
        loss.backward()
        optimizer.step()
    assert (net.eval()(bars).argmax(-1) == kind).float().mean() >= 11 / 12
