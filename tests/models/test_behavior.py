"""Readouts of behavior: what their messages hear, what they may not see, what they minimize."""

import pytest
import torch

from amphid.models import (
    Animal,
    CellsReadout,
    CommandReadout,
    CommandRule,
    FrameNet,
    Logistic,
    RecurrentNet,
)
from amphid.models.behavior import lagged
from amphid.models.graphs import Alike, Contacts, Given, NoEdges, Shuffled, Wired
from amphid.wiring import Cells, Connections, Connectome


def draw(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=draw(seed))


NAMES = ("AVAL", "RIML", None, "AVER", "ASHL", "VB2", None)
WIRING = Connectome(
    Cells(["AVAL", "AVER", "RIML", "ASHL", "VB2"]),
    Connections([2, 0, 3], [0, 1, 4], synapses=[5.0, 3.0, 2.0]),
)
ALIKE = Alike(rise=4, power=4.0, neighbors=3, early=61)
ALL_EDGES = {
    "alike": ALIKE,
    "anatomical": Given(Contacts(WIRING), spans=()),
    "wired": Wired(ALIKE, Contacts(WIRING)),
    "shuffled": Shuffled(ALIKE, lambda _: draw(5)),
}


def worm(seed: int = 3, frames: int = 211) -> Animal:
    """Command cells, RIML and an unnamed one rise with what it does; the others are noise."""
    state = (normal(frames, 1, seed=seed + 100).cumsum(0) % 12 > 9).double()[:, 0]
    signals = normal(frames, 7, seed=seed)
    for place in (0, 1, 2, 3):
        signals[:, place] = 0.5 * signals[:, place] + 2 * state
    return Animal(f"worm {seed}", signals, NAMES, state.long(), 61)


def test_lags_show_what_was_and_never_what_comes():
    signals = torch.arange(5.0)[:, None]
    assert lagged(signals, (0, 1, 3)).tolist() == [
        [0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 0], [4, 3, 1],
    ]  # fmt: skip


@pytest.mark.parametrize("edges", ALL_EDGES.values(), ids=ALL_EDGES)
def test_no_edge_sees_what_comes_or_what_the_animal_does(edges):
    one, frame = worm(), 131
    later = one.signals.clone()
    later[frame + 1 :] = normal(*later[frame + 1 :].shape, seed=11)
    other = Animal(one.name, later, one.cells, 1 - one.classes, one.first)
    seen, again = (CommandReadout(edges=edges).hidden(each) for each in (one, other))
    torch.testing.assert_close(seen[: frame + 1], again[: frame + 1])


def test_order_of_cells_does_not_matter():
    one = worm()
    order = torch.randperm(7, generator=draw())
    turned = Animal(
        one.name, one.signals[:, order], tuple(NAMES[i] for i in order), one.classes, one.first
    )
    for edges in (NoEdges(), *list(ALL_EDGES.values())[:3]):
        readout = CommandReadout(edges=edges)
        torch.testing.assert_close(readout.hidden(one), readout.hidden(turned))


def test_without_edges_or_share_the_graph_is_the_logistic_rule():
    animals, asked = [worm(3), worm(4)], worm(5)
    plain = CommandReadout().fit(animals)(asked)
    torch.testing.assert_close(CommandReadout(edges=ALIKE, share=0.0).fit(animals)(asked), plain)
    assert not torch.allclose(CommandReadout(edges=ALIKE).fit(animals)(asked), plain)


def test_every_readout_finds_what_the_cells_say():
    animals, asked = [worm(3), worm(4), worm(6)], worm(5)
    readers = [
        CommandReadout(edges=ALIKE).fit(animals),
        CellsReadout(("AVAL", "AVER", "RIML", "ASHL")).fit(animals),
    ]
    for reader in readers:
        right = reader(asked).argmax(-1) == asked.classes
        assert right[asked.first :].double().mean() > 0.9
    rule = CommandRule()(asked)
    assert rule.shape == (211, 2)
    assert (rule[: asked.first, 1] > 0).double().mean() == pytest.approx(0.2, abs=0.02)


def test_an_animal_without_command_cells_gets_one_answer():
    one = worm(5)
    unknown = Animal(one.name, one.signals, (None,) * 7, one.classes, one.first)
    for edges in (NoEdges(), ALIKE):
        outputs = CommandReadout(edges=edges).fit([worm(3)])(unknown)
        assert (outputs == outputs[0]).all()


def test_the_gradient_of_the_logistic_loss_is_zero_at_the_minimum():
    features, classes = normal(67, 3), torch.arange(67) % 3 % 2 + torch.arange(67) % 5 // 4
    features = features / features.std(0)
    model = Logistic(3, 3, ridge=0.1).double().fit(features, classes)
    weight = model.weight.clone().requires_grad_()
    share = 1 / classes.bincount().double()
    loss = torch.nn.functional.cross_entropy(
        features @ weight.T + model.bias, classes, weight=share
    )
    (loss + 0.05 * weight.square().sum()).backward()
    torch.testing.assert_close(weight.grad, torch.zeros_like(weight), atol=1e-5, rtol=0)


def test_a_strong_ridge_keeps_the_regression_that_it_pulls_towards():
    features, classes = normal(31, 3), torch.arange(31) % 2
    one = Logistic(3).double().fit(features, classes)
    other = Logistic(3, ridge=1e9).double().fit(2 * features + 1, 1 - classes, around=one)
    torch.testing.assert_close(other.weight, one.weight, atol=1e-6, rtol=0)


def test_repeating_a_class_does_not_change_the_logistic_regression():
    features, classes = normal(31, 3), torch.arange(31) % 2
    again = torch.cat((torch.arange(31), *[(classes == 1).nonzero()[:, 0]] * 4))
    one = Logistic(3).double()
    one.fit(features, classes)
    other = Logistic(3).double()
    scale = features.std(0) / features[again].std(0)
    assert scale.sub(1).abs().max() < 0.2  # the ridge is in units of the spread, which moves
    other.fit(features[again], classes[again])
    torch.testing.assert_close(one(features), other(features), atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", [FrameNet, RecurrentNet])
def test_nets_are_causal_and_drawn_by_their_generator(kind):
    one = worm()
    net = kind(("AVAL", "VB2", "DA9"), 3, generator=draw()).eval()
    again = kind(("AVAL", "VB2", "DA9"), 3, generator=draw()).eval()
    outputs = net(one)
    assert outputs.shape == (211, 3)
    assert torch.equal(outputs, again(one))
    later = one.signals.clone()
    later[101:] = 0
    cut = net(Animal(one.name, later, one.cells, one.classes, one.first))
    assert torch.equal(cut[:101], outputs[:101])
    both = net.outputs(one.filled(net.cells)[:, None].float().expand(-1, 2, -1))
    torch.testing.assert_close(both[:, 1], outputs)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: CommandReadout(share=1.5), "share of messages"),
        (lambda: Logistic(3, ridge=0.0), "ridge, for a unique minimum, must be positive"),
        (lambda: Logistic(3).fit(torch.zeros(5, 3), torch.zeros(5).long()), "all occur"),
    ],
)
def test_nonsense_is_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_nonsense_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="at least one to learn from"):
        CommandReadout().fit([])
    with pytest.raises(TypeError, match="a readout takes an Animal, got Tensor"):
        CommandReadout()(normal(7, 3))
    with pytest.raises(ValueError, match="cells must be a list of names"):
        CellsReadout("AVAL")
    with pytest.raises(TypeError, match="edges must be a rule"):
        CommandReadout(edges=Alike)
    with pytest.raises(ValueError, match="quantile must be between 0 and 1"):
        CommandRule(quantile=2.5)
    with pytest.raises(ValueError, match="classes must be int64"):
        Logistic(3).fit(normal(11, 3), normal(11))
    with pytest.raises(ValueError, match=r"features must be \[B, 3\]"):
        Logistic(3).fit(normal(11, 5), torch.arange(11) % 2)
    with pytest.raises(ValueError, match=r"signals must be \[T, N\]"):
        Animal("a", normal(11, 3), ("AVAL",), torch.arange(11), 5)
