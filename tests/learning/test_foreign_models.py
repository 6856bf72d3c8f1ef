"""Models of every kind are started and pruned, or told in a sentence why not."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, weight_norm
from torch.nn.utils import prune as torch_prune

import amphid as am
from amphid.dynamics import LIF, LeakyIntegrator
from amphid.learning import (
    LSUV,
    ByEmergence,
    ByMagnitude,
    BySynapticFlow,
    Emergence,
    GradInit,
    Kaiming,
    OrthogonalWeights,
    Xavier,
    initialize,
    layer_rates,
    prune,
    sparsity,
)
from amphid.learning.starting.order import weight_layers
from amphid.models import DaleLinear, Recurrent

B, T, N, H, K = 13, 5, 7, 3, 2


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


class Attends(nn.Module):
    """Attention on itself or on something else, and an output."""

    def __init__(self, **settings):
        super().__init__()
        self.head = nn.Linear(6, K)
        self.own = nn.MultiheadAttention(6, 2, batch_first=True, **settings)

    def forward(self, x, other=None):
        other = x if other is None else other
        return self.head(self.own(x, other, other, need_weights=False)[0])


class Functional(nn.Module):
    """Weights of its own, one of them turned, and a fixed matrix that is none."""

    def __init__(self):
        super().__init__()
        self.last = nn.Parameter(randn(K, H))
        self.first = nn.Parameter(randn(N, H))
        self.register_buffer("fixed", randn(H, H))

    def forward(self, x):
        return ((x @ self.first).relu() @ self.fixed) @ self.last.t()


class Tied(nn.Module):
    """Words in and out by one table."""

    def __init__(self):
        super().__init__()
        self.words, self.back = nn.Embedding(11, H), nn.Linear(H, 11, bias=False)
        self.between = nn.Linear(H, H)
        self.back.weight = self.words.weight

    def forward(self, x):
        return self.back(self.between(self.words(x)).relu())


class Cells(nn.Module):
    """A cell of torch stepped by hand."""

    def __init__(self):
        super().__init__()
        self.out, self.cell = nn.Linear(H, K), nn.GRUCell(N, H)

    def forward(self, x):
        h = torch.zeros(len(x), H)
        for now in x.unbind(1):
            h = self.cell(now, h)
        return self.out(h)


class Last(nn.Module):
    """The last output of a recurrent layer."""

    def __init__(self, own, width):
        super().__init__()
        self.own, self.out = own, nn.Linear(width, K)

    def forward(self, x):
        return self.out(self.own(x)[0][:, -1])


class Tokens(nn.Module):
    """A learned token in front, which torch.fx cannot get past; unused layers too."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1, 1, 6))
        self.places = nn.Parameter(torch.zeros(1, T + 1, 6))
        self.idle = nn.Linear(17, 19)
        self.layer = nn.TransformerEncoderLayer(6, 2, 11, batch_first=True)

    def forward(self, x):
        return self.layer(torch.cat((self.first.expand(len(x), 1, 6), x), 1) + self.places)


def levels(model, inputs=None):
    return {layer.name: layer.level for layer in weight_layers(model, inputs)}


MHA = {"own.in_proj_weight": 0, "own.out_proj.weight": 1, "head.weight": 2}
APART = {**{f"own.{x}_proj_weight": 0 for x in "qkv"}, "own.out_proj.weight": 1, "head.weight": 2}
ENDS = ("l0", "l0_reverse", "l1", "l1_reverse")
TWICE = [f"own.weight_{x}_{end}" for end in ENDS for x in ("ih", "hh")]
CASES = [
    (Attends(), randn(B, T, 6), MHA),
    (Attends(kdim=4, vdim=5), None, APART),
    (Functional(), randn(B, N), {"first": 0, "last": 1}),
    (Tied(), torch.arange(10).view(2, 5), {"between.weight": 0}),
    (Last(nn.LSTM(N, H, batch_first=True), H), randn(B, T, N),
     {"own.weight_ih_l0": 0, "own.weight_hh_l0": 0, "out.weight": 1}),
    (Last(nn.GRU(N, H, 2, bidirectional=True, batch_first=True), 2 * H), randn(B, T, N),
     {name: int("l1" in name) for name in TWICE} | {"out.weight": 2}),
    (nn.Sequential(DaleLinear(N, H), nn.ReLU(), nn.Linear(H, K)), randn(B, N).abs(),
     {"2.weight": 0}),
    (am.Sequential(nn.Linear(N, H), LIF(), nn.Linear(H, K), LeakyIntegrator()), randn(T, B, N),
     {"0.weight": 0, "2.weight": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "x", "known"), CASES, ids=lambda v: type(v).__name__)
def test_layers_stand_as_deep_as_they_are_used_traced_or_run(model, x, known):
    assert levels(model) == known
    if x is not None:
        assert levels(model, x) == known


def test_a_model_that_cannot_be_traced_is_taken_as_registered_with_a_warning():
    with pytest.warns(UserWarning, match="Give inputs="):
        found = levels(Cells())
    assert found == {"out.weight": 0, "cell.weight_ih": 1, "cell.weight_hh": 1}
    assert levels(Cells(), randn(B, T, N)) == {
        "cell.weight_ih": 0, "cell.weight_hh": 0, "out.weight": 1,
    }  # fmt: skip
    with pytest.warns(UserWarning, match="Give inputs="):
        registered = levels(Tokens())
    assert "first" not in registered
    assert "places" not in registered
    assert list(levels(Tokens(), randn(B, T, 6))) == [
        "layer.self_attn.in_proj_weight", "layer.self_attn.out_proj.weight",
        "layer.linear1.weight", "layer.linear2.weight",
    ]  # fmt: skip


def test_cells_in_a_loop_are_found_by_running_them():
    net = am.Sequential(nn.Linear(N, H), Recurrent(LIF(), nn.Linear(H, H)), nn.Linear(H, K))
    assert levels(net, randn(T, B, N)) == {
        "0.weight": 0, "1.projection.weight": 0, "2.weight": 1,
    }  # fmt: skip


@pytest.mark.parametrize("wrapped", [parametrizations.spectral_norm, parametrizations.orthogonal])
def test_a_weight_that_is_computed_and_cannot_be_set_is_refused(wrapped):
    net = nn.Sequential(wrapped(nn.Linear(N, H)), nn.ReLU(), nn.Linear(H, K)).eval()
    before = [own.detach().clone() for own in net.parameters()]
    for act in (
        lambda: initialize(net, Emergence(3.0)), lambda: layer_rates(net, 0.1, inputs=randn(B, N)),
        lambda: prune(net, ByMagnitude(), 0.5),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"0\.weight is computed from other parameters"):
            act()
    assert all(map(torch.equal, net.parameters(), before))


def plainly(net):
    return [net[0].weight, net[0].bias, net[2].weight, net[2].bias]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
@pytest.mark.parametrize("normed", [parametrizations.weight_norm, weight_norm])
@pytest.mark.parametrize(
    "rule",
    [lambda g: Emergence(3.0, Kaiming(g)), lambda g: LSUV(generator=g), Xavier],
    ids=["scaled", "heard", "drawn"],
)
def test_a_weight_with_a_norm_starts_as_one_without(normed, rule):
    def started(net):
        told = initialize(net, rule(torch.Generator().manual_seed(7)), randn(B, N))
        return told, [own.detach().clone() for own in plainly(net)]

    plain = nn.Sequential(nn.Linear(N, H), nn.ReLU(), nn.Linear(H, K))
    net = nn.Sequential(normed(nn.Linear(N, H)), nn.ReLU(), normed(nn.Linear(H, K)))
    held = list(net.parameters())
    (told, weights), (expected, others) = started(net), started(plain)
    torch.testing.assert_close(weights, others)
    assert (told.factors, set(told.drawn)) == (expected.factors, set(expected.drawn))
    assert all(one is other for one, other in zip(net.parameters(), held, strict=True))
    net(randn(B, N)).sum().backward()
    assert all(own.grad is not None for own in held)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
@pytest.mark.parametrize("normed", [parametrizations.weight_norm, weight_norm])
def test_a_mask_elsewhere_is_no_hindrance_and_one_on_a_norm_is_refused(normed):
    net = nn.Sequential(nn.Linear(N, H), nn.ReLU(), normed(nn.Linear(H, K)))
    torch_prune.l1_unstructured(net[0], "weight", 0.3)
    net(randn(B, N))
    assert set(initialize(net, Emergence(3.0)).factors) == {"0.weight_orig", "2.weight"}
    part, key = (
        (net[2].parametrizations.weight, "original1")
        if normed is parametrizations.weight_norm else (net[2], "weight_v")
    )  # fmt: skip
    torch_prune.l1_unstructured(part, key, 0.3)
    net(randn(B, N))
    before = [own.detach().clone() for own in net.parameters()]
    for act in (lambda: initialize(net, Emergence(3.0)), lambda: prune(net, ByMagnitude(), 0.5)):
        with pytest.raises(ValueError, match=r"2\.weight is computed from other parameters"):
            act()
    assert all(map(torch.equal, net.parameters(), before))


def test_a_weight_with_an_old_spectral_norm_is_refused_after_a_backward_pass_too():
    net = nn.Sequential(nn.Linear(N, H), nn.ReLU(), nn.utils.spectral_norm(nn.Linear(H, K)))
    net(randn(B, N)).sum().backward()
    with pytest.raises(ValueError, match=r"2\.weight is computed from other parameters"):
        initialize(net)


def test_a_weight_with_a_norm_is_scaled_once():
    net = nn.Sequential(parametrizations.weight_norm(nn.Linear(N, H)), nn.Linear(H, K))
    first = net[0].weight.detach().clone()
    for _ in range(3):
        initialize(net, Emergence(3.0))
    torch.testing.assert_close(net[0].weight.detach(), first / 3)


MODELS = [
    (Attends(), randn(B, T, 6)),
    (nn.TransformerEncoderLayer(6, 2, 11, batch_first=True), randn(B, T, 6)),
    (Functional(), randn(B, N)),
    (Last(nn.GRU(N, H, batch_first=True), H), randn(B, T, N)),
    (nn.LSTM(N, H, batch_first=True), randn(B, T, N)),
    (Cells(), randn(B, T, N)),
]


@pytest.mark.parametrize("ranking", [BySynapticFlow(), ByEmergence()], ids=["flow", "paths"])
@pytest.mark.parametrize(("model", "x"), MODELS, ids=lambda v: type(v).__name__)
def test_flow_and_paths_prune_what_hides_its_parts(model, x, ranking):
    model = copy.deepcopy(model).eval()
    told = prune(model, ranking, 0.5, inputs=x)
    assert told.kept == pytest.approx(0.5, abs=0.02)
    masks = {name: held for name, held in model.named_buffers() if name.endswith("_mask")}
    assert masks
    result = model(x)
    for name, mask in masks.items():
        model.get_parameter(name.removesuffix("_mask") + "_orig").data[mask == 0] += 3.0
    torch.testing.assert_close(model(x), result)  # what is masked plays no part
    assert sparsity(model, x).kept == told.kept


class Written(nn.Module):
    """Attention of two heads written out, with the weights of another."""

    def __init__(self, other):
        super().__init__()
        q, k, v = other.in_proj_weight.detach().chunk(3)
        self.q, self.k, self.v = (nn.Parameter(w.clone()) for w in (q, k, v))
        self.out = nn.Parameter(other.out_proj.weight.detach().clone())

    def forward(self, x):
        heads = (
            functional.linear(x, w).unflatten(-1, (2, 3)).transpose(1, 2)
            for w in (self.q, self.k, self.v)
        )
        mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        return functional.linear(mixed, self.out)


def test_flow_through_attention_is_that_of_attention_written_out():
    module, x = nn.MultiheadAttention(6, 2, batch_first=True, bias=False), randn(B, T, 6)
    given, written = Alone(module), Written(module)
    found = BySynapticFlow()(given, *parts_of(given, x), x)
    expected = BySynapticFlow()(written, *parts_of(written, x), x)
    torch.testing.assert_close(found[0], torch.cat(expected[:3]))
    torch.testing.assert_close(found[1], expected[3])


def parts_of(model, x):
    layers = weight_layers(model, x)
    return layers, [torch.ones_like(layer.weight) for layer in layers]


class Alone(nn.Module):
    def __init__(self, own):
        super().__init__()
        self.own = own

    def forward(self, x):
        return self.own(x, x, x, need_weights=False)[0]


def test_units_of_gates_and_heads_are_not_rows():
    for net, x in ((Attends(), randn(B, T, 6)), (Cells(), randn(B, T, N))):
        with pytest.raises(TypeError, match="gates or heads"):
            prune(net, ByMagnitude(), 0.5, units=True, inputs=x)


def test_lsuv_scales_what_each_weight_sums():
    """Functional weights, and attention's, are heard where they are used."""
    net, x = Functional(), randn(211, N)
    initialize(net, LSUV(generator=torch.Generator().manual_seed(1)), x)
    first = x @ net.first
    assert first.var().item() == pytest.approx(1.0, abs=0.05)
    assert net(x).var().item() == pytest.approx(1.0, abs=0.05)
    with pytest.raises(ValueError, match="not finite everywhere"):
        initialize(net, LSUV(), x * torch.nan)


def test_half_precision_is_drawn_orthogonal():
    net = nn.Linear(N, H, dtype=torch.bfloat16)
    initialize(net, OrthogonalWeights(1.0, torch.Generator().manual_seed(1)))
    torch.testing.assert_close(
        net.weight.float() @ net.weight.float().T, torch.eye(H), rtol=0.0, atol=0.03
    )


def test_factors_are_learned_through_attention_over_a_base():
    net, x = Attends(), randn(B, T, 6)
    batches = [(x, torch.zeros(B, T, dtype=torch.long))]

    def loss(y, target):
        return functional.cross_entropy(y.flatten(0, 1), target.flatten())

    rule = GradInit(loss, batches, steps=3, base=Kaiming(torch.Generator().manual_seed(1)))
    told = initialize(net, rule, x)
    assert set(told.factors) == set(MHA)
    assert "head.bias" in told.drawn
    assert set(told.kept).isdisjoint({*told.drawn, *told.factors})
    with pytest.raises(ValueError, match="does not run on inputs of shape"):
        initialize(net, GradInit(loss, [(x[..., :2], batches[0][1])]), x)
    with pytest.raises(ValueError, match="no batches"):
        initialize(net, GradInit(loss, []), x)
    with pytest.raises(ValueError, match="not finite"):
        initialize(net, GradInit(loss, [(x * torch.nan, batches[0][1])]), x)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: GradInit("x", []), "loss must be a function"),
        (lambda: GradInit(functional.mse_loss, [], lr="x"), "lr must be above zero"),
        (lambda: LSUV(rounds=0), "rounds must be a number"),
        (lambda: LSUV(tolerance="x"), "tolerance must be above zero"),
        (lambda: OrthogonalWeights("x"), "gain must be above zero"),
        (lambda: initialize(nn.Linear(3, 2), Emergence(base=Kaiming)), "base must be"),
        (lambda: layer_rates(nn.Linear(3, 2), 0.1, eps="x"), "eps must be a number"),
        (lambda: initialize(nn.Linear(3, 2), Emergence(), randn(5, 7)), "does not run on inputs"),
    ],
)
def test_nonsense_is_told_in_a_sentence(make, match):
    with pytest.raises((TypeError, ValueError), match=match):
        make()


def test_weights_that_are_no_numbers_are_not_ranked():
    net = nn.Linear(3, 2)
    with torch.no_grad():
        net.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="no number"):
        prune(net, ByMagnitude(), 0.5)
