"""Every ranking keeps the contract; masks are torch's own; what is gone is not computed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as masking

import amphid as am
import amphid.learning as room
from amphid.dynamics import LIF, Delta
from amphid.learning import (
    AtRandom,
    ByEmergence,
    ByMagnitude,
    BySynapticFlow,
    prune,
    prune_in_rounds,
    pruned_network,
    smaller,
    sparsity,
)
from amphid.learning.starting.order import weight_layers
from amphid.measures import Threshold, connection_paths, emergence
from amphid.models import BatchNorm, Repeat, TimeMean

B, K, N, M, C = 11, 7, 13, 5, 3


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def inputs():
    return torch.randn(B, K, generator=seeded(2))


def stack(seed=1):
    net = nn.Sequential(nn.Linear(K, N), nn.ReLU(), nn.Linear(N, M), nn.ReLU(), nn.Linear(M, C))
    with torch.no_grad():
        for held in net.parameters():
            held.copy_(torch.randn(held.shape, generator=seeded(seed)))
    return net


RANKINGS = [ByMagnitude(), BySynapticFlow(), ByEmergence(), AtRandom(seeded())]


def names(ranking):
    return type(ranking).__name__


def test_the_list_of_rankings_is_complete():
    known = {
        cls.__name__
        for cls in vars(room).values()
        if isinstance(cls, type) and cls.__module__ == "amphid.learning.pruning.rankings"
    }
    assert {names(ranking) for ranking in RANKINGS} == known


@pytest.mark.parametrize("ranking", RANKINGS, ids=names)
@pytest.mark.parametrize("units", [False, True], ids=["weights", "units"])
def test_every_ranking_leaves_the_share_that_is_asked_for(ranking, units):
    net = stack()
    before = {name: own.detach().clone() for name, own in net.named_parameters()}
    found = prune(net, ranking, 0.4, units=units, inputs=inputs())
    total = K * N + N * M + M * C
    if units:
        assert list(found.layers.values()) == [(5 * K, N * K), (2 * N, M * N), (M * C, M * C)]
    else:
        assert found.kept == pytest.approx(0.4, abs=1 / total)
    assert all(kept for kept, _ in found.layers.values())
    assert all(
        own.equal(before[name.removesuffix("_orig")]) for name, own in net.named_parameters()
    )
    again = prune(net, ranking, 0.2 if not units else 0.4, units=units, inputs=inputs())
    assert again.kept <= found.kept
    assert sparsity(net) == again


@pytest.mark.parametrize("ranking", RANKINGS, ids=names)
def test_every_ranking_prunes_layers_of_cells(ranking):
    net = am.Sequential(nn.Linear(K, N), LIF(resistance=10.0), nn.Linear(N, C))
    x = 5 * torch.rand(17, B, K, generator=seeded())
    assert prune(net, ranking, 0.5, inputs=x).kept == pytest.approx(0.5, abs=0.01)
    before = net(x)
    for layer in (net[0], net[2]):
        if masking.is_pruned(layer):
            masking.remove(layer, "weight")
    torch.testing.assert_close(net(x), before)


def test_masks_are_those_of_torch():
    net = stack()
    prune(net, ByMagnitude(), 0.5)
    twin = stack()
    pairs = [(twin[k], "weight") for k in (0, 2, 4)]
    masking.global_unstructured(pairs, pruning_method=masking.L1Unstructured, amount=0.5)
    for k in (0, 2, 4):
        assert net[k].weight_mask.equal(twin[k].weight_mask)
        assert masking.is_pruned(net[k])
    torch.testing.assert_close(net(inputs()), twin(inputs()))
    masking.remove(net[0], "weight")
    assert "weight" in dict(net[0].named_parameters())


def test_synaptic_flow_is_the_same_through_every_layer():
    """What goes in comes out: scores of a layer sum to the flow, of all layers alike."""
    net, x = stack(), inputs()
    layers = weight_layers(net)
    masks = [torch.ones_like(layer.weight) for layer in layers]
    scores = BySynapticFlow()(net, layers, masks, x)
    sums = [score.sum().item() for score in scores]
    assert sums == pytest.approx([sums[0]] * 3)
    flow = torch.ones(K)
    for layer in layers:
        flow = layer.weight.detach().abs() @ flow
    assert sums[0] == pytest.approx(flow.sum().item(), rel=1e-5)


def test_emergence_scores_are_the_paths_that_would_be_missing():
    """Activity held fixed: paths counted on the graph of the net with one connection cut."""
    net, x = stack(), inputs()
    rule = Threshold(0.5)
    layers = weight_layers(net)
    masks = [torch.ones_like(layer.weight) for layer in layers]
    scores = ByEmergence(weighed=False, active=rule)(net, layers, masks, x)
    on = [rule(part, 1) for part in (x, net[:2](x), net[:4](x), net(x))]
    for number, score in enumerate(scores):
        into, out = on[number], on[number + 1]
        leads = torch.where(into, arriving(on, number), 1.0)
        ends = torch.where(out, ahead(on, number + 1), 0.0)
        torch.testing.assert_close(score, torch.outer(ends, leads))
    assert any(score.any() for score in scores)


def arriving(on, number):
    """Paths from silent units to each unit of a layer, through active ones."""
    found = torch.zeros(len(on[0]), dtype=torch.float64)
    for layer in range(number):
        total = torch.where(on[layer], found, 1.0).sum()
        found = torch.full((len(on[layer + 1]),), total.item(), dtype=torch.float64)
    return found


def ahead(on, number):
    """Paths of active units from each active unit of a layer, itself included."""
    found = torch.ones(len(on[-1]), dtype=torch.float64)
    for layer in range(len(on) - 1, number, -1):
        total = (found * on[layer]).sum()
        found = torch.full((len(on[layer - 1]),), 1.0 + total.item(), dtype=torch.float64)
    return found


def test_rounds_end_at_the_share_with_the_weights_they_began_with():
    net, seen = stack(), []

    def train(model):
        seen.append(sparsity(model).kept)
        with torch.no_grad():
            for own in model.parameters():
                own += 0.1 * torch.randn(own.shape, generator=seeded(len(seen)))
        return len(seen)

    start = {name: own.detach().clone() for name, own in net.named_parameters()}
    found = prune_in_rounds(net, ByMagnitude(), 0.125, rounds=3, train=train)
    assert found == [1, 2, 3, 4]
    assert seen == pytest.approx([1.0, 0.5, 0.25, 0.125], abs=0.01)
    ticket = stack()
    prune_in_rounds(ticket, ByMagnitude(), 0.5, rounds=1, train=lambda model: None)
    for name, own in ticket.named_parameters():
        assert own.equal(start[name.removesuffix("_orig")])


def halves(net, *layers):
    """Every second unit of those layers is masked, with its bias."""
    for k in layers:
        mask = torch.ones_like(net[k].weight)
        mask[::2] = 0.0
        masking.custom_from_mask(net[k], "weight", mask)
        if net[k].bias is not None:
            masking.custom_from_mask(net[k], "bias", mask.flatten(1)[:, 0])
    return net


def test_a_smaller_stack_gives_out_the_same():
    net = halves(stack().double(), 0, 2)
    x = inputs().double()
    made = smaller(net)
    assert [made[k].weight.shape for k in (0, 2, 4)] == [(6, K), (2, 6), (C, 2)]
    torch.testing.assert_close(made(x), net(x))
    assert masking.is_pruned(net[0])


def test_a_smaller_convolutional_stack_gives_out_the_same_behind_norms():
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 3, 3),
        nn.ReLU(), nn.Flatten(), nn.Linear(3 * 3 * 4, C),
    ).double()  # fmt: skip
    draw = seeded()
    with torch.no_grad():
        for held in (*net.parameters(), net[1].running_mean):
            held.copy_(torch.randn(held.shape, generator=draw, dtype=held.dtype))
    halves(net, 0, 4).eval()
    x = torch.randn(B, 2, 12, 14, generator=draw, dtype=torch.float64)
    made = smaller(net)
    assert made[0].out_channels == 2
    assert made[1].num_features == 2
    assert made[4].weight.shape == (1, 2, 3, 3)
    assert made[7].in_features == 12
    torch.testing.assert_close(made(x), net(x))


def test_a_smaller_spiking_stack_fires_the_same():
    net = am.Sequential(
        nn.Linear(K, N),
        BatchNorm(N),
        Repeat(17.0),
        LIF(resistance=500.0),
        nn.Linear(N, C),
        TimeMean(),
    ).double()
    halves(net, 0).eval()
    x = torch.rand(B, K, generator=seeded(), dtype=torch.float64)
    made = smaller(net)
    assert made[0].weight.shape == (6, K)
    assert net[3](net[:3](x)).any()
    torch.testing.assert_close(made(x), net(x))


def test_what_cannot_be_made_smaller_is_said():
    with pytest.raises(TypeError, match="each layer feeds the next alone; got Linear"):
        smaller(nn.Linear(3, 3))
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3, padding=1))
    nn.init.ones_(net[1].bias)
    with pytest.raises(ValueError, match="does not see at the margin"):
        smaller(halves(net, 0))


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: prune(None, ByMagnitude(), 0.5), TypeError, "must be a module of torch, got None"),
        (
            lambda: prune(stack(), ByMagnitude, 0.5),
            TypeError,
            r"such as ByMagnitude\(\), got <class",
        ),
        (lambda: prune(stack(), ByMagnitude(), "x"), ValueError, "above 0 and up to 1, got 'x'"),
        (
            lambda: prune_in_rounds(stack(), ByMagnitude(), -0.5, rounds=2),
            ValueError,
            r"above 0 and up to 1, got -0\.5",
        ),
        (
            lambda: prune_in_rounds(stack(), ByMagnitude(), 0.5, rounds=2, train=3),
            TypeError,
            "train must be a function that changes the model, got 3",
        ),
        (
            lambda: prune(
                nn.Sequential(nn.ConvTranspose2d(2, 3, 3)), ByMagnitude(), 0.5, units=True
            ),
            TypeError,
            "have their outputs on the second",
        ),
        (
            lambda: prune(nn.Sequential(nn.LazyLinear(7)), ByMagnitude(), 0.5),
            ValueError,
            "0.weight has no shape yet: run the model once",
        ),
        (
            lambda: pruned_network(stack(), torch.ones(3), 0.5),
            TypeError,
            "takes a Network, got Sequential",
        ),
    ],
)
def test_nonsense_is_a_sentence(wrong, error, said):
    with pytest.raises(error, match=said):
        wrong()


def test_a_layer_that_is_used_twice_keeps_its_units():
    twice = nn.Linear(5, 5)
    net = nn.Sequential(twice, nn.ReLU(), twice, nn.ReLU(), nn.Linear(5, 3))
    prune(net, ByMagnitude(), 0.5, units=True)
    with pytest.raises(ValueError, match="a layer is used twice"):
        smaller(net)


def test_a_pruned_network_is_the_network_without_those_connections():
    from amphid.wiring import Cells, Connections, Connectome

    draw = seeded()
    pairs = [(a, b) for a in range(7) for b in range(7) if a != b]
    pre, post = zip(*pairs, strict=True)
    wiring = Connectome(Cells([f"c{k}" for k in range(7)]), Connections(pre, post, sign=1))
    weight = nn.Parameter(torch.rand(42, generator=draw))
    net = am.Network(wiring, neuron=LIF(), synapse=Delta(charge=200.0), weight=weight)
    made = pruned_network(net, weight, 0.5)
    assert len(made.connectome.connections) == 21
    assert isinstance(made.weight, nn.Parameter)
    silent = weight.detach() * (weight >= made.weight.min())
    x = 400 * torch.rand(23, 7, generator=draw)
    torch.testing.assert_close(made(x), net.weighted(silent)(x))
    active = torch.arange(7) % 2 == 0
    paths = connection_paths(net, active, longest=3)
    guided = pruned_network(net, paths, 0.5)
    assert emergence(guided, active, longest=3).inside > emergence(made, active, longest=3).inside
    with pytest.raises(ValueError, match=r"scores must be \[E\]"):
        pruned_network(net, weight[:3], 0.5)


def test_more_than_is_left_cannot_be_kept():
    net = stack()
    prune(net, ByMagnitude(), 0.1)
    with pytest.raises(ValueError, match=r"keep=0\.5 asks for"):
        prune(net, ByMagnitude(), 0.5)
    with pytest.raises(ValueError, match="keep must be a share"):
        prune(net, ByMagnitude(), 0.0)
