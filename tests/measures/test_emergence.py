"""Emergence against enumeration of every path, and against closed forms."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as attention
from torch.nn.utils import prune

import amphid as am
from amphid.dynamics import LIF, Delta
from amphid.measures import RelativeThreshold, ShareOfTime, Threshold, connection_paths, emergence
from amphid.measures.emerging.wired import wired
from amphid.models import Recurrent
from amphid.wiring import Cells, Connections, Connectome


def enumerated(edges, active, longest=None):
    """Both forms by walking every path from every silent unit."""
    behind = {}
    for pre, post in set(edges):
        behind.setdefault(pre, []).append(post)
    found = [0, 0]

    def walk(unit, form, length):
        if length == longest:
            return
        for after in behind.get(unit, ()):
            if active[after]:
                found[form] += 1
            if active[after] or form:
                walk(after, form, length + 1)

    for unit, on in enumerate(active):
        if not on:
            walk(unit, 0, 0)
            walk(unit, 1, 0)
    return tuple(found)


def graph(edges, size):
    pre, post = zip(*edges, strict=True) if edges else ((), ())
    return Connectome(Cells([f"c{k}" for k in range(size)]), Connections(pre, post))


def both(found):
    return found.inside, found.through


@pytest.mark.parametrize("longest", [None, 1, 3], ids=["any length", "one", "three"])
def test_it_is_what_enumeration_finds_on_generated_graphs(longest):
    """1,002 graphs in all: without cycles for paths of any length, with them for shorter ones."""
    draw = random.Random(5)
    for _ in range(334):
        size = draw.randint(2, 7)
        pairs = [(a, b) for a in range(size) for b in range(size) if longest or a < b]
        edges = draw.sample(pairs, draw.randint(0, min(len(pairs), 13)))
        active = np.array([draw.random() < 0.6 for _ in range(size)])
        pre, post = np.array(edges, dtype=int).reshape(-1, 2).T
        found = wired(pre, post, active, longest)
        assert both(found) == enumerated(edges, active, longest)
        assert found.parameters == len(edges)
    assert emergence(graph(edges, size), active, longest=longest) == found


def test_no_word_of_a_machine_is_too_short():
    """20 layers of 101 units that are half active: the closed form, by layers and by module."""
    masks = [torch.arange(101) % 2 == 0 for _ in range(20)]
    on, off, last = 51, 50, 20
    inside = sum(off * sum(on**k for k in range(1, last - i)) for i in range(last))
    through = sum(off * on * 101 ** (j - i - 1) for i in range(last) for j in range(i + 1, last))
    found = emergence(masks)
    assert both(found) == (inside, through)
    assert found.log_through == pytest.approx(math.log(through))
    assert found.per_parameter == pytest.approx(inside / (19 * 101**2))


def test_the_log_of_a_count_that_outgrows_a_float_is_finite():
    found = emergence([torch.arange(1009) % 2 == 0 for _ in range(150)])
    assert found.inside > 10**400
    assert found.log_inside == pytest.approx(149 * math.log(505), rel=0.01)
    assert found.per_parameter == math.inf


def test_a_module_is_counted_as_its_layers_are():
    net = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2))
    net, x = net.double(), torch.rand(11, 7, dtype=torch.float64) - 0.5
    rule = Threshold(0.2, normalized=False)
    layers = [x]
    with torch.no_grad():
        for layer in net:
            layers.append(layer(layers[-1]))
    chosen = [rule(layers[k], 1) for k in (0, 2, 4, 5)]
    found = emergence(net, x, active=rule)
    assert both(found) == both(emergence(chosen))
    assert found.parameters == 7 * 5 + 5 + 5 * 3 + 3 + 3 * 2 + 2
    assert found.units == 17


class Residual(nn.Module):
    """A convolution, a pool, a block around which the input is led, and an output."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(2, 4, 3, stride=2),
            nn.Conv2d(4, 4, 3, padding=1, groups=2),
        )
        self.pool, self.last = nn.MaxPool2d(3, 2, padding=1), nn.Linear(4, 3)

    def stages(self):
        """From each layer of units to the next."""
        return (
            lambda x: torch.relu(self.first(x)),
            lambda x: torch.relu(self.pool(x) + self.second(self.pool(x))),
            lambda x: self.last(x.mean((2, 3))),
        )

    def forward(self, x):
        for stage in self.stages():
            x = stage(x)
        return x


def stepwise(net, x):
    """The graph of a net with positive weights: which unit moves which of the next layer."""
    edges, active, first = [], [], 0
    rule = Threshold(0.5)
    for stage in net.stages():
        jacobian = torch.autograd.functional.jacobian(stage, x[:1])
        after = stage(x)
        rows = (jacobian != 0).reshape(after[0].numel(), x[0].numel())
        for place, moved in rows.nonzero().tolist():
            edges.append((first + moved, first + x[0].numel() + place))
        active += rule(x, 1).flatten().tolist()
        first, x = first + x[0].numel(), after
    return edges, np.array(active + rule(x, 1).flatten().tolist())


def test_convolutions_pools_and_residual_branches_are_counted_by_their_true_connections():
    net = Residual().double()
    net.pool = nn.AvgPool2d(3, 2, padding=1)  # whose connections all have a derivative
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for held in net.parameters():
            held.copy_(torch.rand(held.shape, generator=draw, dtype=held.dtype))
        net.second.weight[0] = 0.0  # no connections
    x = torch.rand(5, 2, 9, 11, generator=draw, dtype=torch.float64)
    x[:, :, ::2] *= 1e-3
    edges, active = stepwise(net, x)
    found = emergence(net, x, active=Threshold(0.5))
    behind = graph(edges, len(active))
    assert found.units == len(active)
    assert found.active == int(active.sum())
    # a unit led around a block reaches the next by two ways, of which a graph holds one
    single = emergence(behind, active)
    assert single.inside < found.inside
    net.second.weight.data.zero_()
    edges, active = stepwise(net, x)
    assert both(emergence(net, x, active=Threshold(0.5))) == both(
        emergence(graph(edges, len(active)), active)
    )


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2, padding=1), nn.AdaptiveAvgPool2d((2, 3)), nn.AvgPool2d(2),
        nn.AdaptiveMaxPool2d(3), nn.LPPool2d(2, 3, stride=2), nn.MaxPool2d(2, ceil_mode=True),
    ],
    ids=lambda pool: type(pool).__name__,
)  # fmt: skip
def test_a_pool_connects_what_it_looks_at(pool):
    x = torch.rand(3, 1, 7, 11, dtype=torch.float64)
    smooth = {nn.MaxPool2d: nn.AvgPool2d, nn.AdaptiveMaxPool2d: nn.AdaptiveAvgPool2d}.get(
        type(pool)
    )
    seen = pool
    if smooth is nn.AvgPool2d:
        seen = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
    elif smooth:
        seen = smooth(pool.output_size)
    jacobian = torch.autograd.functional.jacobian(seen, x[:1])
    links = int((jacobian != 0).sum())
    net = nn.Sequential(pool, nn.ReLU())
    # inputs silent, outputs active: as many paths as connections
    with torch.no_grad():
        x *= 1e-9
    found = emergence(net, x, active=Silent())
    assert both(found) == (links, links)


class Silent:
    """Holds tiny inputs for silent, and every other layer for active."""

    def __call__(self, values, leading):
        shape = values.shape[leading:]
        return torch.full(shape, values.shape[-2:] != (7, 11))


class Attending(nn.Module):
    """Attention by one function, or by its parts."""

    def __init__(self, attend):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(3, 3) for _ in range(3))
        self.attend = attend

    def forward(self, x):
        return self.attend(self.query(x), self.key(x), self.value(x)).relu()


def by_parts(query, key, value):
    return (query @ key.mT).softmax(-1) @ value


def test_attention_is_counted_as_its_parts_are():
    x = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(3))
    net, twin = Attending(attention), Attending(by_parts)
    twin.load_state_dict(net.state_dict())
    found = emergence(net, x, active=EveryOther())
    assert found.inside > 0
    assert found == emergence(twin, x, active=EveryOther())
    seen = lambda q, k, v: attention(q, k, v, attn_mask=torch.ones(5, 5).tril() > 0)  # noqa: E731
    causal = lambda q, k, v: attention(q, k, v, is_causal=True)  # noqa: E731
    late = emergence(Attending(causal), x, active=EveryOther())
    assert late == emergence(Attending(seen), x, active=EveryOther())
    assert late.inside < found.inside


class EveryOther:
    """Holds every second unit of a layer for active, whatever it gives out."""

    def __call__(self, values, leading):
        shape = values.shape[leading:]
        return (torch.arange(shape.numel()) % 2 == 0).view(shape)


def test_recurrent_cells_are_counted_by_length():
    draw = torch.Generator().manual_seed(7)
    net = am.Sequential(
        nn.Linear(5, 3),
        Recurrent(LIF(resistance=0.2), nn.Linear(3, 3, bias=False)),
        nn.Linear(3, 2),
    )
    with torch.no_grad():
        for held in net.parameters():
            held.copy_(100 * torch.rand(held.shape, generator=draw))
        net[1].projection.weight[0, 1] = 0.0
    x = torch.rand(23, 7, 5, generator=draw)
    x[..., 0] = 0.0
    with pytest.raises(ValueError, match="give longest="):
        emergence(net, x)
    edges = [(a, 5 + b) for a in range(5) for b in range(3)]
    edges += [(5 + a, 5 + b) for a in range(3) for b in range(3) if (b, a) != (0, 1)]
    edges += [(5 + a, 8 + b) for a in range(3) for b in range(2)]
    rule = ShareOfTime(0.99)  # cells rest between spikes
    active = np.array([False] + [True] * 4 + [False] * 3 + [True] * 2)
    for longest in (1, 2, 5):
        found = emergence(net, x, active=rule, longest=longest)
        assert both(found) == enumerated(edges, active, longest)


def test_pruned_weights_are_no_connections():
    net = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    x = torch.rand(11, 7)
    whole = emergence(net, x)
    prune.random_unstructured(net[0], "weight", 0.4)
    found = emergence(net, x)
    assert whole.parameters - found.parameters == 14
    with torch.no_grad():
        prune.remove(net[0], "weight")
    assert emergence(net, x) == found


def test_connections_without_weight_do_not_count():
    wiring = graph([(0, 1), (1, 2), (0, 2)], 3).with_connections(sign=[1, 1, 1])
    weight = torch.tensor([1.0, 0.0, 1.0])
    net = am.Network(wiring, neuron=LIF(), synapse=Delta(charge=1.0), weight=weight, dale=False)
    active = np.array([False, True, True])
    assert both(emergence(net, active)) == (2, 2)
    assert both(emergence(wiring, active)) == (3, 3)


def test_paths_along_connections_are_those_that_go_when_a_connection_goes():
    """Without cycles each path uses a connection once, so cutting it takes away what it carries."""
    draw = random.Random(3)
    edges = [(a, b) for a in range(7) for b in range(a + 1, 7) if draw.random() < 0.7]
    active = np.array([draw.random() < 0.6 for _ in range(7)])
    whole = emergence(graph(edges, 7), active)
    along = connection_paths(graph(edges, 7), active, longest=7)
    for place, carried in enumerate(along.tolist()):
        cut = emergence(graph(edges[:place] + edges[place + 1 :], 7), active)
        assert whole.inside - cut.inside == carried
    assert along.sum() > 0


def test_a_cycle_asks_for_a_length():
    ring = graph([(0, 1), (1, 2), (2, 0)], 4)
    with pytest.raises(ValueError, match="3 of 4 units stand on cycles"):
        emergence(ring, np.array([True, False, True, True]))


def test_conventions_do_what_they_say():
    values = torch.tensor([[0.0, 3.0, -0.2, 10.0], [0.0, 1.0, 0.4, -10.0]], dtype=torch.float64)
    assert Threshold(0.35, normalized=False)(values, 1).tolist() == [False, True, False, True]
    deviation = float(values.std(correction=0))
    assert Threshold(1.9 / deviation)(values, 1).tolist() == [False, True, False, True]
    assert Threshold(0.1)(1e6 * values, 1).equal(Threshold(0.1)(values, 1))
    assert RelativeThreshold(0.1)(values, 1).tolist() == [False, True, False, True]
    assert ShareOfTime(0.5)(values, 1).tolist() == [False, True, True, True]
    spikes = torch.zeros(13, 2)
    spikes[::6, 1] = 1.0
    assert ShareOfTime(0.5)(spikes, 1).tolist() == [False, False]
    assert ShareOfTime(0.5, window=6)(spikes, 1).tolist() == [False, True]


@pytest.mark.parametrize("rule", [Threshold, RelativeThreshold, ShareOfTime])
def test_a_convention_refuses_what_is_no_share(rule):
    with pytest.raises(ValueError, match=f"{rule.__name__}: .* got -1"):
        rule(-1.0)


def test_a_positive_net_without_bias_shows_nothing_of_its_scales_above_zero():
    """Scaling layers of rectified units leaves every sign as it is."""
    net = nn.Sequential(
        *(part for _ in range(3) for part in (nn.Linear(7, 7, bias=False), nn.ReLU()))
    )
    x = torch.randn(11, 7)
    rule = Threshold(0.0, normalized=False)
    before = emergence(net, x, active=rule)
    with torch.no_grad():
        net[0].weight /= 4
        net[4].weight *= 4
    assert emergence(net, x, active=rule) == before


def test_what_cannot_be_followed_is_named():
    class Solving(nn.Module):
        def forward(self, x):
            return torch.linalg.pinv(x)

    with pytest.raises(TypeError, match="does not know what 'linalg_pinv' connects"):
        emergence(nn.Sequential(nn.Linear(3, 3), Solving()), torch.rand(5, 3))
    with pytest.raises(TypeError, match="needs inputs"):
        emergence(nn.Linear(3, 3))
    with pytest.raises(ValueError, match="batch_first=True in recurrent nets"):
        emergence(nn.LSTM(5, 7), torch.rand(3, 2, 5))
    with pytest.raises(ValueError, match="longest must be a number of connections"):
        emergence([torch.ones(3) > 0], longest=0)
