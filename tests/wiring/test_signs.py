"""Sign rules: their laws on small circuits, their numbers on the worm."""

import re

import numpy as np
import pytest

from amphid.wiring.celegans import (
    COMMAND_INTERNEURONS,
    TOUCH_RECEPTORS,
    celegans,
    celegans_receptors,
)
from amphid.wiring.connectome import Cells, Connections, Connectome
from amphid.wiring.signs import (
    CHANNELS,
    ByReceptor,
    ByTransmitter,
    Except,
    all_positive,
    by_receptor,
    by_transmitter,
)

WORM = celegans()
RULES = [
    by_transmitter,
    ByTransmitter(inhibitory=("GABA", "glutamate"), unknown=0),
    by_receptor,
    ByReceptor(base=all_positive),
    Except(by_receptor, pre="motor", sign=-1),
    all_positive,
]


def named(rule):
    """A rule without the address of a function, which differs between processes."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(rule))


def star(*transmitters, names=None, kind="chemical"):
    """Cells of those transmitters, each connected to one target without any."""
    count = len(transmitters)
    names = names or [*[f"c{i}" for i in range(count)], "target"]
    cells = Cells(names, transmitter=[*transmitters, ""])
    return Connectome(cells, Connections(range(count), [count] * count, kind=kind))


def sign_between(rule, pre, post):
    wires = WORM.connections
    on = (wires.pre == WORM.index(pre)) & (wires.post == WORM.index(post)) & wires.chemical
    assert on.sum() == 1
    return rule(WORM)[on].item()


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_every_rule_gives_a_sign_per_connection_and_none_to_gap_junctions(rule):
    signs = rule(WORM)
    assert signs.dtype == np.int8
    assert signs.shape == (len(WORM.connections),)
    assert set(signs.tolist()) <= {-1, 0, 1}
    assert not signs[WORM.connections.electrical].any()
    assert WORM.signed(rule).connections.sign.tolist() == signs.tolist()


@pytest.mark.parametrize("rule", RULES[:4], ids=named)
def test_every_rule_takes_a_connectome_without_connections(rule):
    assert rule(Connectome(Cells(["a", "b"]), Connections())).shape == (0,)


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_the_order_of_cells_does_not_change_a_sign(rule):
    turned = WORM.subset(*range(len(WORM))[::-1])
    before, behind = WORM.signed(rule), turned.signed(rule)
    assert (before.matrix(signed=True) == behind.matrix(signed=True)[::-1, ::-1]).all()


def test_gaba_inhibits_and_everything_else_excites():
    circuit = star("GABA", "gaba", "acetylcholine", "glutamate", "")
    assert by_transmitter(circuit).tolist() == [-1, -1, 1, 1, 1]


def test_the_first_of_several_transmitters_decides():
    circuit = star("GABA; acetylcholine", "acetylcholine; GABA", "GABA;betaine")
    assert by_transmitter(circuit).tolist() == [-1, 1, -1]


def test_the_inhibiting_transmitters_and_the_unknown_sign_can_be_chosen():
    fly = ByTransmitter(inhibitory=("gaba", "Glutamate"), unknown=0)
    assert fly(star("GABA", "glutamate", "acetylcholine", "")).tolist() == [-1, -1, 1, 0]
    assert ByTransmitter("glutamate").inhibitory == ("glutamate",)


def test_by_transmitter_is_the_rule_with_its_defaults():
    assert by_transmitter == ByTransmitter()
    assert repr(by_transmitter) == "ByTransmitter(inhibitory=('GABA',), unknown=1)"


@pytest.mark.parametrize("make", [lambda: ByTransmitter(unknown=2), lambda: Except(max, sign=5)])
def test_a_sign_out_of_range_is_named(make):
    with pytest.raises(ValueError, match=r"must be -1, 0 or \+1, got [25]"):
        make()


def test_all_positive_excites_everywhere():
    assert all_positive(star("GABA", "", "glutamate")).tolist() == [1, 1, 1]


def test_the_channel_behind_decides_what_a_transmitter_does():
    circuit = star("glutamate", "acetylcholine", "GABA", "serotonin", "")
    rule = ByReceptor(receptors={"target": ["glc-3", "ACR-2", "EXP-1", "MOD-1"]})
    assert rule(circuit).tolist() == [-1, 1, 1, -1, 1]


def test_where_channels_disagree_or_are_unknown_the_base_rule_decides():
    circuit = star("glutamate", "GABA", "acetylcholine")
    rule = ByReceptor(base=ByTransmitter(inhibitory=("glutamate",)), receptors={"target": []})
    assert rule(circuit).tolist() == [-1, 1, 1]
    both = ByReceptor(base=rule.base, receptors={"target": ["GLR-1", "GLC-3"]})
    assert both(circuit).tolist() == [-1, 1, 1]
    assert [mask.tolist() for mask in both.found(circuit)] == [[True, False, False]] * 2


def test_only_the_first_transmitter_opens_channels():
    circuit = star("acetylcholine; glutamate", "glutamate; acetylcholine")
    rule = ByReceptor(receptors={"target": ["AVR-14"]})
    assert rule(circuit).tolist() == [1, -1]


def test_receptors_are_found_by_worm_name_padded_or_not():
    assert "GAB-1" in celegans_receptors()["VB5"]
    for name in ("VB5", "VB05"):
        circuit = star("GABA", "acetylcholine", names=["x", "y", name])
        excites, inhibits = by_receptor.found(circuit)
        assert (excites.tolist(), inhibits.tolist()) == ([True, True], [True, False])


def test_a_connectome_without_worm_names_is_left_to_the_transmitter():
    circuit = star("GABA", "glutamate", "")
    assert by_receptor(circuit).tolist() == by_transmitter(circuit).tolist()


def test_gap_junctions_meet_no_channel():
    circuit = star("glutamate", names=["x", "AIYL"], kind="electrical")
    assert not any(mask.any() for mask in by_receptor.found(circuit))


def test_no_channel_both_excites_and_inhibits():
    exciting = frozenset().union(*(channels.exciting for channels in CHANNELS.values()))
    inhibiting = frozenset().union(*(channels.inhibiting for channels in CHANNELS.values()))
    assert not exciting & inhibiting


def test_what_each_branch_decides_on_the_worm():
    wires = WORM.connections
    onto_muscle = WORM.cells.kind[wires.post] == "muscle"
    excites, inhibits = by_receptor.found(WORM)
    for where, counts in ((~onto_muscle, [1522, 1445, 389, 353]), (onto_muscle, [72, 739, 145, 0])):
        branch = (excites + 2 * inhibits)[where & wires.chemical]
        assert np.bincount(branch, minlength=4).tolist() == counts


def test_how_many_connections_of_the_worm_inhibit():
    wires = WORM.connections
    among_neurons = wires.chemical & (WORM.cells.kind[wires.post] != "muscle")
    simple, finer = by_transmitter(WORM), by_receptor(WORM)
    assert ((simple == -1) & among_neurons).sum() == 214
    assert ((finer == -1) & among_neurons).sum() == 528
    assert ((simple != finer) & among_neurons).sum() == 330
    assert ((simple != finer) & ~among_neurons).sum() == 0
    assert ((simple == -1) & ~among_neurons).sum() == 145


def test_the_olfactory_neuron_awc_inhibits_aiy_and_excites_aib():
    """Chalasani et al. 2007, doi 10.1038/nature06292: GLC-3 in AIY, GLR-1 in AIB."""
    assert sign_between(by_receptor, "AWCL", "AIYL") == -1
    assert sign_between(by_receptor, "AWCL", "AIBL") == 1
    assert sign_between(by_transmitter, "AWCL", "AIYL") == 1


def test_motor_neurons_act_on_muscle_as_known():
    """Richmond and Jorgensen 1999, doi 10.1038/12160."""
    wires = WORM.connections
    signs = by_receptor(WORM)
    for cell_class, sign in (("DA", 1), ("DB", 1), ("VA", 1), ("VB", 1), ("DD", -1), ("VD", -1)):
        motor = np.isin(wires.pre, WORM.select(cell_class))
        onto = motor & wires.chemical & (WORM.cells.kind[wires.post] == "muscle")
        assert set(signs[onto].tolist()) == {sign}


def test_exceptions_hold_for_their_cells_alone():
    rule = Except(by_transmitter, pre=TOUCH_RECEPTORS, post=COMMAND_INTERNEURONS, sign=-1)
    wires, changed = WORM.connections, rule(WORM) != by_transmitter(WORM)
    assert changed.sum() == 20
    assert wires.synapses[changed].sum() == 120
    assert set(WORM.cells.cell_class[wires.pre[changed]]) == {"ALM", "AVM", "PLM", "PVM"}
    assert set(WORM.cells.cell_class[wires.post[changed]]) == {"AVA", "AVB", "AVD", "AVE", "PVC"}
    assert set(rule(WORM)[changed].tolist()) == {-1}


def test_exceptions_compose_and_the_outermost_wins():
    circuit = star("GABA", "acetylcholine", "glutamate")
    inner = Except(by_transmitter, pre=("c0", "c1"), sign=0)
    outer = Except(inner, pre="c1", post="target", sign=-1)
    assert outer(circuit).tolist() == [0, -1, 1]


def test_an_exception_without_cells_holds_everywhere():
    circuit = star("GABA", "acetylcholine", "glutamate")
    assert Except(by_transmitter, post="target", sign=-1)(circuit).tolist() == [-1, -1, -1]


def test_an_exception_for_cells_that_are_not_there_names_the_nearest():
    with pytest.raises(KeyError, match="AVDL"):
        Except(by_transmitter, pre="AVDX", sign=-1)(WORM)


@pytest.mark.parametrize("wrong", [lambda _: [1, -1], lambda _: 2, lambda _: 0.5])
def test_a_rule_of_the_wrong_shape_or_range_is_refused_by_the_rules_around_it(wrong):
    circuit = star("GABA", "acetylcholine", "glutamate")
    for rule in (Except(wrong, pre="c0", sign=1), ByReceptor(base=wrong)):
        with pytest.raises(ValueError, match="sign"):
            rule(circuit)


def test_rules_are_values():
    assert Except(by_receptor, pre="AVA", sign=-1) == Except(by_receptor, pre=("AVA",), sign=-1)
    assert "pre=('AVA',), post=('*',), sign=-1" in repr(Except(by_receptor, pre="AVA", sign=-1))
