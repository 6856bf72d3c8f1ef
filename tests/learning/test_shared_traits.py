"""Traits of models of other libraries, in small: turned, shared, masked and stateful weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from amphid.learning import (
    LSUV,
    AtRandom,
    ByEmergence,
    ByMagnitude,
    BySynapticFlow,
    GradInit,
    Kaiming,
    OrthogonalWeights,
    initialize,
    prune,
    prune_in_rounds,
    sparsity,
)
from amphid.learning.starting.order import weight_layers
from amphid.measures import emergence

B, N, H, K, WORDS = 13, 7, 5, 3, 11


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def randn(*shape):
    return torch.randn(*shape, generator=seeded(), dtype=torch.float64)


class Products(nn.Module):
    """Weights as x @ w, as x @ w.t(), by a sum of products, and stacked."""

    def __init__(self):
        super().__init__()
        self.wide, self.bias = nn.Parameter(randn(N, 400)), nn.Parameter(torch.zeros(400))
        self.back = nn.Parameter(randn(H, 400))
        self.last = nn.Parameter(randn(H, K))
        self.stack = nn.Parameter(randn(2, K, 300))
        self.picked = nn.Parameter(randn(2, 200, 300))

    def forward(self, x):
        x = (torch.addmm(self.bias.double(), x, self.wide).relu() @ self.back.t()).relu()
        x = torch.einsum("bi,io->bo", x, self.last)
        x = torch.bmm(x.repeat(2, 1, 1), self.stack)[0]
        return functional.linear(x, self.picked[1]) + functional.linear(x, self.picked[0])


class Twice(nn.Module):
    """Two layers that share a weight, and one behind them."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(N, N), nn.Linear(N, N), nn.Linear(N, K)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.head(self.two(self.one(x).relu()).relu())


class Holding(nn.Module):
    """Cells whose state is a buffer that takes the size of the batch."""

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(N, H), nn.Linear(H, K)
        self.register_buffer("held", torch.zeros(0))

    def forward(self, x):
        given = self.into(x)
        self.held = given if len(self.held) != len(x) else 0.5 * self.held + given
        return self.out(self.held.relu())


def layers_of(model, x=None):
    return {layer.name: layer for layer in weight_layers(model, x)}


@pytest.mark.parametrize("x", [None, randn(B, N)], ids=["traced", "run"])
def test_weights_are_drawn_by_the_inputs_that_they_have_where_they_are_used(x):
    net = Products()
    initialize(net, Kaiming(seeded()), x)
    for name, ahead in (("wide", N), ("back", 400), ("stack", K), ("picked", 300)):
        assert float(getattr(net, name).detach().std()) == pytest.approx(
            (2 / ahead) ** 0.5, rel=0.06
        )
    initialize(net, OrthogonalWeights(1.0, seeded()), x)
    torch.testing.assert_close(net.wide @ net.wide.T, torch.eye(N, dtype=torch.float64))
    for matrix in net.stack:
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(K, dtype=torch.float64))


class Turned(nn.Module):
    """A layer as GPT-2 has them, which cannot be traced."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(randn(N, H)), nn.Parameter(randn(H))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight) if len(x) else x


@pytest.mark.filterwarnings("ignore:torch.fx cannot trace")
@pytest.mark.parametrize(
    ("model", "x"),
    [(Products(), None), (Products(), randn(B, N)), (Turned(), None), (Turned(), randn(B, N))],
    ids=["traced", "run", "as registered", "hidden"],
)
def test_rows_of_weights_whose_inputs_come_first_are_not_units(model, x):
    with pytest.raises(TypeError, match="used as x @ w"):
        prune(model, ByMagnitude(), 0.5, units=True, inputs=x)


@pytest.mark.parametrize("ranking", [ByMagnitude(), AtRandom(seeded()), BySynapticFlow()])
def test_masked_weights_are_counted_however_they_are_used(ranking):
    net = Products()
    told = prune(net, ranking, 0.5, inputs=randn(B, N))
    assert set(told.layers) == {"wide", "back", "last", "stack", "picked"}
    assert sparsity(net) == sparsity(net, randn(B, N)) == told
    again = prune(net, ranking, 0.25, inputs=randn(B, N))
    assert again.kept == pytest.approx(0.25, abs=1e-3)


def test_a_shared_weight_is_masked_wherever_it_is_used():
    net, x = Twice().double(), randn(B, N)
    told = prune(net, ByMagnitude(), 0.4, inputs=x)
    mask = net.one.weight_mask
    assert told.layers["one.weight"] == (int(mask.sum()), N * N)
    assert net.two.weight_mask.equal(mask)
    assert net.two.weight_orig is net.one.weight_orig
    net(x)
    assert net.two.weight.equal(net.one.weight_orig * mask)
    prune(net, ByEmergence(), 0.2, inputs=x)
    assert net.two.weight_mask.equal(net.one.weight_mask)
    assert emergence(net, x).parameters == sum(sparsity(net).layers["one.weight"][:1]) + int(
        net.head.weight_mask.sum()
    ) + 2 * N + K  # fmt: skip


def test_cells_with_a_state_in_a_buffer_are_at_rest_after_each_look():
    net, x = Holding().double(), randn(B, N)
    loss = functional.cross_entropy
    targets = torch.arange(B) % K
    for rule in (LSUV(generator=seeded()), GradInit(loss, [(x, targets)], steps=2)):
        initialize(net, rule, x)
        assert not len(net.held)

    def train(model):
        model.held = torch.zeros(0)
        model(x).sum().backward()
        model.held = model.held.detach()

    prune_in_rounds(net, ByMagnitude(), 0.5, rounds=2, train=train, inputs=x)


def test_a_layer_that_a_loss_does_not_use_keeps_its_factor():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.aside = nn.Linear(N, K), nn.Linear(N, K)

        def forward(self, x):
            return self.one(x), self.aside(x)

    def loss(given, targets):
        return functional.cross_entropy(given[0], targets)

    x = randn(B, N).float()
    told = initialize(Aside(), GradInit(loss, [(x, torch.arange(B) % K)], steps=2), x)
    assert set(told.factors) == {"one.weight", "aside.weight"}


def test_flow_starts_where_words_are_looked_up():
    net = nn.Sequential(nn.Embedding(WORDS, N), nn.Linear(N, H), nn.ReLU(), nn.Linear(H, K))
    x = torch.randint(WORDS, (B, 2), generator=seeded())
    first, last = (net[place].weight.detach().abs() for place in (1, 3))
    layers = weight_layers(net, x)
    masks = [torch.ones_like(layer.weight) for layer in layers]
    found = BySynapticFlow()(net, layers, masks, x)
    torch.testing.assert_close(found[1], (2 * last * first.sum(1)).to(found[1]))


@pytest.mark.parametrize(
    ("model", "error", "match"),
    [
        (nn.Linear(N, K, device="meta"), ValueError, "meta device, where weights have no values"),
        (nn.Sequential(nn.LazyLinear(K)), ValueError, "run the model once on a batch"),
    ],
    ids=["meta", "lazy"],
)
def test_weights_that_are_not_there_are_told_in_a_sentence(model, error, match):
    for act in (initialize, sparsity):
        with pytest.raises(error, match=match):
            act(model)
    with pytest.raises(error, match=match):
        prune_in_rounds(model, ByMagnitude(), 0.5, rounds=2)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated:DeprecationWarning")
def test_a_traced_model_is_refused_in_a_sentence():
    traced = torch.jit.trace(nn.Linear(N, K), torch.zeros(1, N))
    for act in (initialize, sparsity, lambda model: emergence(model, torch.zeros(B, N))):
        with pytest.raises(TypeError, match="give the module that it was made of"):
            act(traced)


def test_complex_weights_are_not_drawn_orthogonal():
    class Turns(nn.Module):
        def __init__(self):
            super().__init__()
            self.turn = nn.Parameter(torch.randn(N, K, dtype=torch.cfloat, generator=seeded()))

        def forward(self, x):
            return (x.cfloat() @ self.turn).abs()

    initialize(Turns(), Kaiming(seeded()))
    with pytest.raises(ValueError, match="draws no complex weights"):
        initialize(Turns())


def test_a_compiled_model_is_looked_at_as_it_was_written():
    net = nn.Sequential(nn.Linear(N, H), nn.ReLU(), nn.Linear(H, K))
    x = randn(B, N).float()
    compiled = torch.compile(net, backend="eager")
    assert emergence(compiled, x) == emergence(net, x)
    assert [layer.level for layer in weight_layers(compiled, x)] == [0, 1]


class Named(nn.Module):
    """Takes what it needs by name."""

    def __init__(self):
        super().__init__()
        self.words, self.net = nn.Embedding(WORDS, N), nn.Linear(N, K)

    def forward(self, *, ids, scale=None):
        found = self.net(self.words(ids).mean(1))
        return found if scale is None else found * scale


def test_arguments_may_be_given_by_name():
    net, ids = Named(), torch.randint(WORDS, (B, H), generator=seeded())
    inputs = {"ids": ids, "scale": None}
    targets = torch.arange(B) % K
    loss = functional.cross_entropy
    for rule in (None, LSUV(generator=seeded()), GradInit(loss, [(inputs, targets)], steps=2)):
        assert "net.weight" in str(initialize(net, rule, inputs))
    found = emergence(net, inputs)
    assert found.parameters == WORDS * N + N * K + K
    assert found == emergence(nn.Sequential(Mean(net.words), net.net), ids)
    for ranking in (BySynapticFlow(), ByEmergence()):
        assert prune(net, ranking, 0.5, inputs=inputs) == sparsity(net)


def test_a_mapping_whose_names_a_model_does_not_take_is_one_argument():
    class Whole(Named):
        def forward(self, batch):
            return super().forward(ids=batch["ids"])

    net, inputs = Whole(), {"ids": torch.randint(WORDS, (B, H), generator=seeded())}
    loss, targets = functional.cross_entropy, torch.arange(B) % K
    for rule in (LSUV(generator=seeded()), GradInit(loss, [(inputs, targets)], steps=2)):
        assert "net.weight" in str(initialize(net, rule, inputs))
    with pytest.raises(TypeError, match="a tuple or mapping of them, got dict"):
        emergence(net, inputs)


class Mean(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.words = words

    def forward(self, ids):
        return self.words(ids).mean(1)
