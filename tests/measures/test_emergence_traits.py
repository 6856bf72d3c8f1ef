"""What models of other libraries do between their layers: look up, fold, scatter, compare."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from amphid.measures import Threshold, emergence

B, T, N, H, K, WORDS = 13, 5, 7, 3, 2, 11
SOME = Threshold(0.5, normalized=False)


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def net_of(*sizes):
    parts = [nn.Linear(one, other) for one, other in pairwise(sizes)]
    net = nn.Sequential(*(part for layer in parts for part in (layer, nn.ReLU())))
    for own in net.parameters():
        nn.init.normal_(own, generator=seeded())
    return net.double()


class Through(nn.Module):
    """A net behind something that is done to its inputs, and before something that undoes it."""

    def __init__(self, net, before, after):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)), x)


def randn(*shape):
    return torch.randn(*shape, generator=seeded(), dtype=torch.float64)


FOLDS = {
    "examples first": (
        (B, T, N),
        lambda x: x.reshape(-1, N),
        lambda y, x: y.view(len(x), T, K),
    ),
    "steps first": (
        (B, T, N),
        lambda x: x.transpose(0, 1).reshape(-1, N),
        lambda y, x: y.view(T, len(x), K).transpose(0, 1),
    ),
    "examples second": (
        (B, T, N),
        lambda x: x.transpose(0, 1),
        lambda y, x: y.transpose(0, 1),
    ),
}


@pytest.mark.parametrize(("shape", "before", "after"), FOLDS.values(), ids=FOLDS)
def test_examples_may_be_folded_into_another_axis_on_the_way(shape, before, after):
    net, x = net_of(N, H, K), randn(*shape)
    known = emergence(Through(net, lambda x: x, lambda y, x: y + 0), x)
    assert emergence(Through(net, before, after), x) == known


def test_examples_that_are_mixed_cannot_be_told():
    net = Through(
        net_of(N, H, K), lambda x: x.flip(0).reshape(-1, N), lambda y, x: y.view(-1, T, K)
    )
    with pytest.raises(ValueError, match="no single one"):
        emergence(net, randn(B, T, N))


class Words(nn.Module):
    """Words that are looked up, after their numbers were moved about."""

    def __init__(self, look, net):
        super().__init__()
        self.words, self.net, self.look = nn.Embedding(WORDS, N).double(), net, look

    def forward(self, x):
        return self.net(self.look(self.words, x))


def test_words_count_however_their_numbers_come_to_where_they_are_looked_up():
    net, words = net_of(N, H, K), nn.Embedding(WORDS, N).double()
    nn.init.normal_(words.weight, generator=seeded())
    ways = [
        lambda words, x: words(x),
        lambda words, x: words(x.view(-1, T).long()),
        lambda words, x: words.weight[x],
        lambda words, x: words.weight.index_select(0, x.reshape(-1)).view(len(x), T, N),
    ]
    x = torch.randint(WORDS, (B, T), generator=seeded())
    found = []
    for way in ways:
        model = Words(way, net)
        model.words = words
        found.append(emergence(model, x))
    assert all(one.units == found[0].units for one in found)
    assert len({(one.inside, one.through) for one in found}) == 1
    assert found[0].inside > 0


def test_numbers_beside_an_activity_only_say_which_of_it_is_taken():
    class Picked(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net_of(N, H, K)

        def forward(self, x, which):
            return self.net(x.gather(1, which.view(len(x), -1)))

    x = randn(B, N)
    which = torch.arange(N).expand(B, N).contiguous()
    assert emergence(Picked(), (x, which)).inside == emergence(net_of(N, H, K), x).inside


class Fires(torch.autograd.Function):
    """A step with a slope of its own."""

    @staticmethod
    def forward(ctx, x):
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, slope):
        return slope


@pytest.mark.parametrize(
    "fire",
    [
        Fires.apply,
        lambda x: (x > 0).double(),
        lambda x: torch.heaviside(x, torch.zeros((), dtype=x.dtype)),
        lambda x: torch.where(x > 0, 1.0, 0.0).to(x),
    ],
    ids=["own slope", "cast", "heaviside", "where"],
)
def test_a_comparison_that_becomes_a_number_is_a_layer_of_units(fire):
    one, two = nn.Linear(N, H).double(), nn.Linear(H, K).double()
    for own in (*one.parameters(), *two.parameters()):
        nn.init.normal_(own, generator=seeded())
    x = randn(B, N)
    spikes = (one(x) > 0).double()
    layers = [values.abs().mean(0) > 0.5 for values in (x, spikes, two(spikes))]
    known, found = emergence(layers), emergence(nn.Sequential(one, Step(fire), two), x, active=SOME)
    assert found.inside == known.inside > 0
    assert (found.through, found.units) == (known.through, known.units)


class Step(nn.Module):
    def __init__(self, own):
        super().__init__()
        self.own = own

    def forward(self, x):
        return self.own(x)


def test_messages_along_edges_count_as_the_matrix_of_the_graph():
    edges = torch.tensor([[0, 1, 2, 3, 4, 1, 2], [1, 2, 3, 4, 0, 0, 1]])
    matrix = torch.zeros(T, T, dtype=torch.float64)
    matrix[edges[1], edges[0]] = 1.0
    layer = nn.Linear(N, H).double()

    def summed(x):
        given = layer(x).relu()
        return torch.zeros_like(given).index_add(1, edges[1], given[:, edges[0]])

    def scattered(x):
        given = layer(x).relu()[:, edges[0]]
        place = edges[1][None, :, None].expand(len(x), -1, H)
        return given.new_zeros(len(x), T, H).scatter_add_(1, place, given)

    x = randn(B, T, N)
    known = emergence(Step(lambda x: matrix @ layer(x).relu()), x)
    for way in (summed, scattered):
        found = emergence(Step(way), x)
        assert (found.inside, found.through, found.units) == (
            known.inside,
            known.through,
            known.units,
        )


def test_what_becomes_complex_is_followed_until_it_is_not_known():
    net = Step(lambda x: torch.fft.irfft(torch.fft.rfft(x), n=N) + x)
    with pytest.raises(TypeError, match="fft_irfft"):
        emergence(net, randn(B, N))


def test_what_is_written_into_a_tensor_comes_of_it():
    layer = net_of(N, H)

    def written(x):
        whole = x.new_zeros(len(x), T, H)
        for step in range(T):
            whole[:, step] = layer(x[:, step])
        return whole

    x = randn(B, T, N)
    found, known = emergence(Step(written), x), emergence(Step(lambda x: layer(x) + 0), x)
    assert (found.inside, found.through) == (known.inside, known.through)
    assert found.inside > 0


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_counts_those_operands_that_come_of_the_inputs(heads):
    """Constant queries, each of which sees all keys; fewer heads of keys than of queries."""
    query = randn(1, 2, H, 4)

    def attend(x):
        seen = x.unflatten(-1, (heads, -1)).transpose(1, 2)
        asked = query.expand(len(x), -1, -1, -1)
        return nn.functional.scaled_dot_product_attention(asked, seen, seen, enable_gqa=heads < 2)

    def by_hand(x):
        seen = x.unflatten(-1, (heads, -1)).transpose(1, 2).expand(-1, 2, -1, -1)
        return torch.ones(H, T, dtype=x.dtype) @ (seen.sum(-1, keepdim=True) + seen)

    def outputs(values, leading):
        return torch.full(values.shape[leading:], values.dim() > 4)

    x = randn(B, T, 4 * heads)
    one, other = (emergence(Step(way), x, active=outputs) for way in (attend, by_hand))
    assert (one.units, one.inside) == (other.units, other.inside)
    assert one.inside > 0


def test_a_factor_of_zero_connects_nothing():
    """A sum over the neighbors of a graph, by factors of zero and one, is that along its edges."""
    edges = torch.tensor([[0, 1, 2, 3, 4, 1, 2], [1, 2, 3, 4, 0, 0, 1]])
    factor = torch.zeros(T, T, 1, dtype=torch.float64)
    factor[edges[1], edges[0]] = 1.0
    layer = nn.Linear(N, H).double()
    nn.init.normal_(layer.weight, generator=seeded())

    def along(x):
        given = layer(x).relu()
        return torch.zeros_like(given).index_add(1, edges[1], given[:, edges[0]])

    x = randn(B, T, N)
    one = emergence(Step(lambda x: (layer(x).relu()[:, None] * factor).sum(2)), x)
    other = emergence(Step(along), x)
    assert (one.inside, one.through, one.units) == (other.inside, other.through, other.units)
    assert one.inside > 0


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: x.max(1).values,
        lambda x: x.amax(1),
        lambda x: x.logsumexp(1),
        lambda x: x.median(dim=1).values,
        lambda x: x.topk(1, 1).values.squeeze(1),
        lambda x: x.sort(1).values[:, -1],
        lambda x: x.std(1, correction=0),
    ],
    ids=["max", "amax", "logsumexp", "median", "topk", "sort", "std"],
)
def test_what_picks_from_an_axis_or_sums_it_up_is_connected_with_all_of_it(pool):
    def outputs(values, leading):
        return torch.full(values.shape[leading:], values.dim() < 4)

    found = emergence(Step(pool), randn(B, T, N), active=outputs)
    assert (found.inside, found.units) == (T * N, T * N + N)


def test_operations_go_by_their_names_in_torch_or_by_those_of_their_library():
    net, x = net_of(N, H), randn(B, N)
    same = nn.Sequential(net[0], Step(torch.ops.aten.relu.default))
    assert emergence(same, x) == emergence(net, x)
    with torch.library._scoped_library("traits", "DEF") as own:
        own.define("odd(Tensor x) -> Tensor")
        own.impl("odd", torch.sin, "CompositeImplicitAutograd")
        with pytest.raises(TypeError, match="what 'traits::odd' connects"):
            emergence(nn.Sequential(net[0], Step(torch.ops.traits.odd.default)), x)
