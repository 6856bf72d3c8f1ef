"""Attention and recurrent layers of torch are done, and counted, by the operations inside."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils import _pytree as pytree

import amphid as am
from amphid.dynamics import LIF
from amphid.measures import Threshold, connection_paths, emergence
from amphid.measures.emerging.calls import Following
from amphid.measures.emerging.parts import PARTS
from amphid.wiring import celegans

B, T, N, H = 5, 4, 7, 3


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def drawn(module):
    """All parameters drawn anew, biases too."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for own in module.double().parameters():
            own.copy_(torch.randn(own.shape, generator=draw, dtype=torch.float64))
    return module.eval()


def same_by_parts(module, *arguments, **more):
    """A module gives out the same when it is done part by part."""
    whole, names = module(*arguments, **more), []
    tensors = [given for given in arguments if isinstance(given, torch.Tensor)]
    with Following(tensors, lambda call, _: names.append(call.name), parts=PARTS):
        parts = module(*arguments, **more)
    assert not set(names) & set(PARTS)
    for one, other in zip(pytree.tree_leaves(whole), pytree.tree_leaves(parts), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "settings",
    [{}, {"bias": False}, {"add_bias_kv": True, "add_zero_attn": True}, {"kdim": 5, "vdim": 2}],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False])
def test_attention_by_parts_is_attention(settings, first):
    module = drawn(nn.MultiheadAttention(6, 2, batch_first=first, **settings))
    turned = (lambda x: x) if first else (lambda x: x.transpose(0, 1))
    wide = settings.get("kdim", 6), settings.get("vdim", 6)
    given = [turned(x) for x in (randn(B, T, 6), randn(B, 3, wide[0]), randn(B, 3, wide[1]))]
    same_by_parts(module, *given)
    same_by_parts(module, *given, need_weights=False)
    same_by_parts(module, *given, average_attn_weights=False, attn_mask=randn(T, 3))
    same_by_parts(module, *given, attn_mask=randn(2 * B, T, 3))
    padding = torch.tensor([False, False, True]).expand(B, 3)
    same_by_parts(module, *given, key_padding_mask=padding)
    if not settings:
        mask = torch.ones(T, 3, dtype=torch.bool).triu(1)
        same_by_parts(module, *given, attn_mask=mask, is_causal=True, need_weights=False)


def test_attention_on_one_example_and_in_an_encoder():
    module = drawn(nn.MultiheadAttention(6, 2))
    same_by_parts(module, randn(T, 6), randn(3, 6), randn(3, 6))
    layer = nn.TransformerEncoderLayer(6, 2, 11, batch_first=True)
    same_by_parts(drawn(nn.TransformerEncoder(layer, 2)), randn(B, T, 6))


@pytest.mark.parametrize(
    "settings",
    [{}, {"bias": False}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True}],
    ids=str,
)
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_step_by_step_are_the_same(kind, settings):
    same_by_parts(drawn(kind(N, H, **settings)), randn(B, T, N))
    same_by_parts(drawn(kind(N, H, **settings)), randn(T, N))


def test_recurrent_layers_of_other_kinds_and_cells():
    same_by_parts(drawn(nn.RNN(N, H, nonlinearity="relu")), randn(B, T, N))
    same_by_parts(drawn(nn.LSTM(N, 5, 2, proj_size=H, bidirectional=True)), randn(B, T, N))
    for kind in (nn.RNNCell, nn.GRUCell, nn.LSTMCell):
        same_by_parts(drawn(kind(N, H)), randn(B, N))
        same_by_parts(drawn(kind(N, H, bias=False)), randn(N))


class Written(nn.Module):
    """Attention with one head, written out."""

    def __init__(self, other):
        super().__init__()
        self.wide, self.out = nn.Linear(6, 18), nn.Linear(6, 6)
        with torch.no_grad():
            self.wide.weight.copy_(other.in_proj_weight)
            self.out.weight.copy_(other.out_proj.weight)
            self.wide.bias.zero_(), self.out.bias.zero_()

    def forward(self, x):
        q, k, v = self.wide(x).chunk(3, -1)
        return self.out(scaled_dot_product_attention(q, k, v))


class Only(nn.Module):
    """What a module gives out first."""

    def __init__(self, own, *, same=False):
        super().__init__()
        self.own, self.same = own, same

    def forward(self, x):
        return self.own(x, x, x, need_weights=False)[0] if self.same else self.own(x)[0]


def test_attention_counts_as_if_it_were_written_out():
    module = nn.MultiheadAttention(6, 1, batch_first=True)
    rule, x = Threshold(0.3, normalized=False), randn(B, T, 6).float()
    nets = Only(module, same=True), Written(module)
    found, written = (emergence(net, x, active=rule) for net in nets)
    assert found.inside == written.inside > 0
    assert found.through == written.through > 0
    assert (found.units, found.active) == (written.units, written.active)


class Stepped(nn.Module):
    """A net of one recurrent layer, step by step."""

    def __init__(self, other):
        super().__init__()
        self.into, self.back = nn.Linear(N, H), nn.Linear(H, H, bias=False)
        with torch.no_grad():
            for own, given in (
                (self.into.weight, other.weight_ih_l0), (self.into.bias, other.bias_ih_l0),
                (self.back.weight, other.weight_hh_l0),
            ):  # fmt: skip
                own.copy_(given)
            self.into.bias += other.bias_hh_l0

    def forward(self, x):
        h, states = torch.zeros(len(x), H), []
        for now in x.unbind(1):
            h = (self.into(now) + self.back(h)).tanh()
            states.append(h)
        return torch.stack(states, 1)


def test_recurrent_layers_count_as_if_they_were_unrolled():
    module = nn.RNN(N, H, batch_first=True)
    rule, x = Threshold(0.9), randn(B, T, N).float()
    found, written = (emergence(net, x, active=rule) for net in (module, Stepped(module)))
    assert found.inside == written.inside > 0
    assert found.through == written.through > 0
    assert found.units == written.units
    with pytest.raises(ValueError, match="padded batch"):
        emergence(Packed(module), x)


class Packed(nn.Module):
    def __init__(self, own):
        super().__init__()
        self.own = own

    def forward(self, x):
        lengths = torch.full((len(x),), T)
        return self.own(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))[1][0]


class Products(nn.Module):
    """What reaches what by einsum and by a bilinear map."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3, 4))
        self.both = nn.Bilinear(4, 4, 2)
        with torch.no_grad():
            self.both.weight.zero_()[0, 1, 2] = 1.0

    def forward(self, x):
        h = torch.einsum("bi,ij->bj", x, self.weight).relu()
        return self.both(h, h)


def test_einsum_and_bilinear_maps_connect_by_their_weights():
    """Of 3 silent inputs two reach h1 and h2; each of these reaches the one output that is on."""
    x = torch.tensor([[0.0, 0.0, 0.0]])
    net = Products()
    with torch.no_grad():
        net.both.bias.copy_(torch.tensor([1.0, 0.0]))
    found = emergence(net, x, active=Threshold(0.1, normalized=False))
    assert (found.units, found.active) == (9, 1)
    assert found.inside == 2  # h1 and h2 to the output
    assert found.through == 4  # and the inputs before them


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "area", "bicubic"])
def test_a_map_that_is_resized_connects_each_place_with_what_it_is_made_from(mode):
    """Perturbing a place of the input changes exactly the places that it reaches."""
    net = nn.Sequential(nn.Identity(), Resized(mode))
    x = torch.zeros(2, 1, 3, 5)
    found = emergence(net, x, active=EveryOutput())
    reached = 0
    for place in range(15):
        one = torch.zeros(1, 1, 3, 5, dtype=torch.float64)
        one.view(-1)[place] = 1.0
        reached += int((net(one).abs() > 1e-12).sum())
    assert found.inside == found.through == reached


class Resized(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode = mode

    def forward(self, x):
        return nn.functional.interpolate(x, size=(6, 7), mode=self.mode)


class EveryOutput:
    """Inputs [3, 5] are silent, all else is active."""

    def __call__(self, values, leading):
        return torch.full(values.shape[leading:], values.shape[-1] != 5)


@pytest.mark.parametrize(
    ("network", "activity", "match"),
    [
        (nn.Linear(7, 3), torch.zeros(5, 2), r"does not run on one example .* of shape \[1, 2\]"),
        (nn.Linear(7, 3), torch.full((5, 7), torch.nan), "no finite number"),
        (nn.Linear(7, 3), torch.zeros(0, 7), r"at least one example .* got \[0, 7\]"),
        (nn.Linear(7, 3), "x", "needs inputs"),
        (nn.Sequential(nn.Linear(7, 3), LIF()), torch.zeros(5, 7), "amphid.Sequential"),
        (am.Sequential(nn.Linear(7, 3), LIF()), torch.full((4, 2, 7), torch.nan), "no finite"),
        ([], None, "at least one"),
        (celegans(), None, "must be a Recording"),
    ],
)
def test_what_cannot_be_counted_is_said_in_a_sentence(network, activity, match):
    with pytest.raises((TypeError, ValueError), match=match):
        emergence(network, activity)


def test_settings_that_make_no_sense_are_refused():
    net, x = nn.Linear(7, 3), torch.zeros(5, 7)
    with pytest.raises(TypeError, match="active must be a convention"):
        emergence(net, x, active=0.5)
    with pytest.raises(ValueError, match="longest must be a number"):
        emergence(net, x, longest=True)
    with pytest.raises(ValueError, match="above must not be negative, got 'x'"):
        Threshold("x")
    with pytest.raises(ValueError, match="longest must be a number"):
        connection_paths(celegans(), torch.ones(397, dtype=torch.bool), longest=0)
