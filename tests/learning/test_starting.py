"""Where weights start from, and layer-wise rates as the same thing in another form."""

from __future__ import annotations

import copy
import itertools
import math
import operator

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

import amphid as am
import amphid.learning as room
from amphid.dynamics import LIF
from amphid.learning import (
    LSUV,
    Emergence,
    GradInit,
    Kaiming,
    OrthogonalWeights,
    PermutedScales,
    Xavier,
    initialize,
    layer_rates,
    scales,
    usual_alpha,
)
from amphid.learning.starting.order import weight_layers

B, K, N, C = 11, 7, 5, 3


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def inputs(seed=2):
    return torch.randn(B, K, generator=seeded(seed))


def targets():
    return torch.arange(B) % C


def stack(depth=4, bias=True, norm=False, seed=1):
    sizes = [K, *[N] * (depth - 1), C]
    parts: list[nn.Module] = []
    for place in range(depth):
        parts.append(nn.Linear(sizes[place], sizes[place + 1], bias=bias))
        if place < depth - 1:
            parts += [nn.BatchNorm1d(N)] * norm + [nn.ReLU()]
    net = nn.Sequential(*parts)
    initialize(net, Kaiming(seeded(seed)))
    return net


def judged(net, batch):
    return functional.cross_entropy(net(batch), targets())


RULES = [
    Emergence(1.25),
    PermutedScales(1.25, generator=seeded()),
    Xavier(seeded()),
    Kaiming(seeded()),
    OrthogonalWeights(generator=seeded()),
    LSUV(generator=seeded()),
    GradInit(functional.cross_entropy, [(inputs(), targets())], steps=3),
]


def test_the_list_of_initializations_is_complete():
    known = {
        cls.__name__
        for cls in vars(room).values()
        if isinstance(cls, type) and cls.__module__.startswith("amphid.learning.starting")
    }
    assert {type(rule).__name__ for rule in RULES} | {"Started"} == known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_initialization_tells_of_every_parameter(rule):
    net = stack(norm=True)
    before = {name: own.detach().clone() for name, own in net.named_parameters()}
    told = initialize(net, rule, inputs())
    changed = {*told.factors, *told.drawn}
    assert changed | set(told.kept) == set(before)
    assert not changed & set(told.kept)
    assert {"0.weight", "3.weight", "6.weight", "9.weight"} <= changed
    for name, own in net.named_parameters():
        assert own.isfinite().all()
        assert name in changed or own.equal(before[name])
    assert "kept: " in str(told)


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.25, 2.0])
def test_scales_are_geometric_from_the_middle_and_their_product_is_one(alpha, depth):
    found = scales(alpha, depth)
    assert math.prod(found) == pytest.approx(1.0)
    half = depth // 2
    assert found[:half] == [alpha**-n for n in range(half, 0, -1)]
    assert found[depth - half :] == [alpha**n for n in range(1, half + 1)]


@pytest.mark.parametrize("depth", [1, 2, 7, 13, 14, 20, 53])
def test_the_usual_alpha_moves_no_bias_more_than_a_hundred_times_as_fast(depth):
    so_far = list(itertools.accumulate(scales(None, depth), operator.mul))
    assert scales(None, depth) == scales(usual_alpha(depth), depth)
    assert max(1 / c**2 for c in so_far) <= 100 * (1 + 1e-9)
    assert (usual_alpha(depth) == 1.1) == (depth <= 13)


@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_layers_train_with_the_usual_alpha_where_they_train_without(seed):
    """Three clouds told apart; without learning the loss is ln 3. A fixed 1.1 stays there."""
    centers, width = 2 * torch.randn(C, K, generator=seeded(5)), 31

    def trained(alpha):
        parts = [[nn.Linear(K if k == 0 else width, width), nn.ReLU()] for k in range(19)]
        net, draw = nn.Sequential(*itertools.chain(*parts), nn.Linear(width, C)).double(), seeded(6)
        initialize(net, Emergence(alpha, Kaiming(seeded(seed))))
        optimizer = torch.optim.SGD(net.parameters(), 0.001, momentum=0.9, fused=True)
        losses = []
        for _ in range(120):
            y = torch.randint(C, (29,), generator=draw)
            optimizer.zero_grad()
            x = centers[y] + torch.randn(29, K, generator=draw)
            loss = functional.cross_entropy(net(x.double()), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return sum(losses[-10:]) / 10

    assert max(trained(1.0), trained(None)) < 0.4 * math.log(3)
    assert not trained(1.1) < 0.9 * math.log(3)  # or no number at all


def test_what_is_told_nothing_starts_orthogonal():
    net = stack()
    told = initialize(net)
    assert told.drawn
    assert not told.factors
    torch.testing.assert_close(net[2].weight @ net[2].weight.T, 2 * torch.eye(N))


def test_a_rectified_stack_without_biases_computes_what_it_did():
    net = stack(depth=6, bias=False)
    before = net(inputs())
    told = initialize(net, Emergence(2.0))
    assert list(told.factors.values()) == [1 / 8, 1 / 4, 1 / 2, 2.0, 4.0, 8.0]
    assert net(inputs()).equal(before)


def test_scaling_twice_is_scaling_once():
    net = stack()
    initialize(net, Emergence(2.0))
    once = copy.deepcopy(net.state_dict())
    twin = copy.deepcopy(net)
    for again in (net, twin, net):
        initialize(again, Emergence(2.0))
        assert all(own.equal(once[name]) for name, own in again.state_dict().items())
    initialize(net, Emergence(4.0))
    assert net[0].weight.equal(once["0.weight"] / 4)
    initialize(net, Emergence(1.0))
    assert net[0].weight.equal(once["0.weight"] * 4)
    initialize(net, Emergence(2.0, base=Kaiming(seeded(1))))
    assert all(own.equal(once[name]) for name, own in net.state_dict().items())


def test_weights_that_moved_since_are_a_base_of_their_own():
    net = stack()
    initialize(net, Emergence(2.0))
    with torch.no_grad():
        net[0].weight += 1.0
    moved = net[0].weight.detach().clone()
    initialize(net, Emergence(2.0))
    assert net[0].weight.equal(moved / 4)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_scaled_weights_are_layer_rates_bit_for_bit(kind, bias):
    """alpha 2 in float32: losses of 13 steps are the same numbers, momentum and decay included."""
    make = getattr(torch.optim, kind)
    more = {"momentum": 0.9} if kind == "SGD" else {}
    lr, decay = (2.0**-9, 2.0**-3) if kind == "SGD" else (2.0**-8, 2.0**-3)
    scaled, plain = stack(6, bias), stack(6, bias)
    initialize(scaled, Emergence(2.0))
    eps = {} if kind == "SGD" else {"eps": 2.0**-20}
    groups = layer_rates(
        plain, lr, alpha=2.0, optimizer=make, weight_decay=decay, exact=True, **eps
    )
    runs = [
        (scaled, make(scaled.parameters(), lr=lr, weight_decay=decay, **more, **eps)),
        (plain, make(groups, lr=lr, **more)),
    ]
    curves = []
    for net, optimizer in runs:
        curve = []
        for step in range(13):
            optimizer.zero_grad()
            loss = judged(net, inputs(step))
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        curves.append(curve)
    assert curves[0] == curves[1]
    assert curves[0][0] != curves[0][-1]


def test_rates_move_a_bias_with_its_layer_and_the_rest_as_it_was():
    net = stack(norm=True)
    groups = layer_rates(net, 1.0, alpha=2.0, weight_decay=0.1)
    of = {id(own): group for group in groups for own in group["params"]}
    assert len(of) == len(list(net.parameters()))
    assert [of[id(net[k].weight)]["lr"] for k in (0, 3, 6, 9)] == [16.0, 4.0, 0.25, 0.0625]
    assert of[id(net[0].bias)]["lr"] == 16.0
    assert of[id(net[1].weight)]["lr"] == 1.0
    assert {round(group["lr"] * group["weight_decay"], 9) for group in groups} == {0.1}
    exact = layer_rates(net, 1.0, alpha=2.0, exact=True)
    assert next(g["lr"] for g in exact if any(p is net[3].bias for p in g["params"])) == 64.0
    assert [g["lr"] for g in layer_rates(net, 0.1, alpha=1.0)] == [0.1]
    torch.optim.SGD(groups, momentum=0.9)
    with pytest.raises(TypeError, match=r"must be one of these classes, got .*LBFGS"):
        layer_rates(net, 1.0, optimizer=torch.optim.LBFGS)


class Backwards(nn.Module):
    """Registers last what it uses first."""

    def __init__(self, stubborn=False):
        super().__init__()
        self.last, self.first = nn.Linear(N, C), nn.Linear(K, N)
        self.stubborn = stubborn

    def forward(self, x):
        h = self.first(x).relu()
        return self.last(h if not self.stubborn or h.sum() > -1 else -h)


def test_layers_are_taken_in_the_order_of_use():
    for given in (None, inputs()):
        found = weight_layers(Backwards(), given)
        assert [layer.name for layer in found] == ["first.weight", "last.weight"]
    assert [layer.name for layer in weight_layers(Backwards(stubborn=True), inputs())] == [
        "first.weight", "last.weight",
    ]  # fmt: skip
    with pytest.warns(UserWarning, match="Give inputs= to have them in the order"):
        found = weight_layers(Backwards(stubborn=True))
    assert [layer.name for layer in found] == ["last.weight", "first.weight"]


class Attending(nn.Module):
    """A block with a skip connection, queries, keys and values by hand, and one of torch's."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(13, N)
        self.place = nn.Parameter(torch.zeros(1, 1, N))
        self.query, self.key, self.value = (nn.Linear(N, N) for _ in range(3))
        self.block = nn.TransformerEncoderLayer(N, 1, 17, dropout=0.5, batch_first=True)
        self.skip = nn.Linear(N, N)
        self.head = nn.Linear(N, 13, bias=False)
        self.head.weight = self.words.weight

    def forward(self, x):
        h = self.words(x) + self.place
        q, k, v = self.query(h), self.key(h), self.value(h)
        h = self.skip(h) + (q @ k.mT).softmax(-1) @ v
        return self.head(self.block(h))


def test_what_is_used_side_by_side_stands_on_one_level():
    net, words = Attending(), torch.arange(6).view(2, 3)
    torch.manual_seed(7)
    found = weight_layers(net, words)
    after = torch.rand(())
    torch.manual_seed(7)
    assert torch.rand(()).equal(after)  # dropout drew, and left no trace
    levels = {layer.name.removesuffix(".weight"): layer.level for layer in found}
    assert levels == {
        "query": 0, "key": 0, "value": 0, "skip": 0, "block.self_attn.in_proj_weight": 1,
        "block.self_attn.out_proj": 2, "block.linear1": 3, "block.linear2": 4,
    }  # fmt: skip
    by_trace = {layer.name.removesuffix(".weight"): layer.level for layer in weight_layers(net)}
    assert {name: by_trace[name] for name in levels} == levels


class Step(torch.autograd.Function):
    """A spike, whose way through torch cannot be followed."""

    @staticmethod
    def forward(ctx, x):
        return (x > 0).to(x)


def test_layers_behind_a_function_of_ones_own_are_found():
    class Spiking(Backwards):
        def forward(self, x):
            return self.last(Step.apply(self.first(x)))

    found = weight_layers(Spiking(), inputs())
    assert [(layer.name, layer.level) for layer in found] == [
        ("first.weight", 0), ("last.weight", 1),
    ]  # fmt: skip


def test_layers_of_cells_and_masked_weights_are_found():
    net = am.Sequential(nn.Linear(K, N), LIF(), nn.Linear(N, C))
    assert list(initialize(net, Emergence(2.0)).factors.values()) == [0.5, 2.0]
    masked = stack(2)
    prune.random_unstructured(masked[0], "weight", 0.5)
    for given in (None, inputs()):
        assert [layer.name for layer in weight_layers(masked, given)] == [
            "0.weight_orig", "2.weight",
        ]  # fmt: skip


def test_other_starts_are_what_they_say():
    net = stack(3)
    initialize(net, OrthogonalWeights(2.0, seeded()))
    gram = net[2].weight @ net[2].weight.T
    torch.testing.assert_close(gram, 4 * torch.eye(N))
    initialize(net, LSUV(generator=seeded()), inputs())
    for count in (1, 3, 5):
        assert net[:count](inputs()).var().item() == pytest.approx(1.0, abs=0.05)
    told = initialize(net, PermutedScales(2.0, generator=seeded()))
    assert sorted(told.factors.values()) == [0.5, 1.0, 2.0]
    wide = nn.Linear(400, 300)
    initialize(wide, Xavier(seeded()))
    assert wide.weight.var().item() == pytest.approx(2 / 700, rel=0.02)
    initialize(wide, Kaiming(seeded()))
    assert wide.weight.var().item() == pytest.approx(2 / 400, rel=0.02)
    assert not wide.bias.any()


def test_learned_factors_lower_the_loss_after_a_step():
    net = stack(4)
    rule = GradInit(functional.cross_entropy, [(inputs(), targets())], lr=0.1, most=9.0, steps=40)
    before = copy.deepcopy(net)
    told = initialize(net, rule)
    after = []
    for one in (before, net):
        torch.autograd.backward(judged(one, inputs()))
        torch.optim.SGD(one.parameters(), lr=0.1).step()
        after.append(judged(one, inputs()).item())
    assert after[1] < after[0]
    assert len(set(told.factors.values())) == 4


def test_what_has_no_layers_is_a_sentence():
    with pytest.raises(ValueError, match="this ReLU has no weight layers"):
        initialize(nn.ReLU(), Emergence())
    with pytest.raises(ValueError, match="alpha must be a number above zero, got 0"):
        initialize(stack(), Emergence(0.0))
    with pytest.raises(ValueError, match=r"initialize\(model, LSUV\(\), inputs\)"):
        initialize(stack(), LSUV())
    with pytest.raises(TypeError, match="model must be a module of torch, got 3"):
        initialize(3, Emergence())
    with pytest.raises(TypeError, match="such as Emergence"):
        initialize(stack(), Emergence)
    with pytest.raises(ValueError, match="alpha must be a number above zero, got 'x'"):
        initialize(stack(), Emergence("x"))
    with pytest.raises(ValueError, match="lr must be a learning rate, not negative, got 'x'"):
        layer_rates(stack(), "x")
