"""Networks as NeuroML documents: what comes back fires the same spikes."""

import re

import pytest
import torch

import amphid as am
from amphid import dynamics, simulation
from amphid.interfaces.neuroml import export_neuroml, import_neuroml
from amphid.interfaces.neuroml.quantities import read, written
from amphid.wiring import Cells, Connections, Connectome

pytest.importorskip("neuroml", reason="NeuroML files need libneuroml")

NAN = float("nan")
CELLS = {
    "LIF": lambda: dynamics.LIF(tau=17.3),
    "each its own": lambda: dynamics.LIF(tau=torch.tensor([11.0, 13.0, 17.0, 19.0, 23.0])),
    "Refractory": lambda: dynamics.Refractory(dynamics.LIF(), period=3.0),
    "Izhikevich": dynamics.Izhikevich.chattering,
    "AdEx": dynamics.AdEx,
    "Refractory AdEx": lambda: dynamics.Refractory(dynamics.AdEx(), period=2.0),
    "Mixed": lambda: dynamics.Mixed(
        {"A": dynamics.Izhikevich(), "C": dynamics.Refractory(dynamics.LIF()), "*": dynamics.LIF()}
    ),
}


def conductances(kind, **values):
    return {
        "excitatory": kind(conductance=1.7, reversal=0.0, **values),
        "inhibitory": kind(conductance=2.3, reversal=-75.0, **values),
    }


SYNAPSES = {
    "exponential": lambda: conductances(dynamics.Conductance, tau=5.0),
    "double": lambda: conductances(dynamics.DoubleExponentialConductance, rise=1.0, decay=7.0),
    "alpha": lambda: conductances(dynamics.AlphaConductance, tau=3.0),
    "signed": lambda: {"chemical": dynamics.Alpha(tau=3.0, amplitude=50.0)},
    "signed exponential": lambda: {"chemical": dynamics.Exponential(tau=3.0, amplitude=64.0)},
    "currents": lambda: {
        "excitatory": dynamics.Exponential(tau=5.0, amplitude=64.0),
        "inhibitory": dynamics.Exponential(tau=3.0, amplitude=-32.0),
    },
}


def network(cell="LIF", synapse="exponential", **changes):
    wires = Connections(
        [0, 1, 2, 3, 4, 0, 2, 1],
        [1, 2, 3, 4, 0, 3, 4, 4],
        kind=["chemical"] * 5 + ["electrical"] * 2 + ["chemical"],
        synapses=[7, 5, 3, 2, 11, 2, 3, 13],
        sign=[1, 1, -1, 1, 1, 0, 0, -1],
        delay=[1.0, 2.0, 3.0, NAN, 1.5, NAN, NAN, 0.5],
    )
    ring = Connectome(Cells(["A", "B", "C", "D", "E.1"]), wires, name="ring")
    groups = SYNAPSES[synapse]() | {"electrical": dynamics.GapJunction(conductance=0.3)}
    return simulation.Network(ring, neuron=CELLS[cell](), synapse=groups, **changes)


def spikes(net):
    stimulus = am.pulse(net.connectome, "A", "C", amplitude=900.0, start=2.0, duration=80.0, dt=0.5)
    with torch.no_grad():
        run = am.simulate(net, stimulus, dt=0.5, record=("spike", "v"))
    return run.spike, run.v


@pytest.mark.parametrize(
    ("cell", "synapse"),
    [*((cell, "exponential") for cell in CELLS), *(("LIF", synapse) for synapse in SYNAPSES)],
)
def test_a_network_fires_the_same_after_a_round_trip(cell, synapse, tmp_path):
    net = network(cell, synapse)
    again = import_neuroml(export_neuroml(net, tmp_path / "net.nml"))
    (first, v), (other, u) = spikes(net), spikes(again)
    assert first.sum() > 5
    assert torch.equal(first, other)
    torch.testing.assert_close(u, v, rtol=1e-4, atol=1e-3)
    assert list(again.connectome.cells.name) == ["A", "B", "C", "D", "E.1"]
    assert again.connectome.name == "ring"
    once = (tmp_path / "net.nml").read_text()
    assert export_neuroml(again, tmp_path / "again.nml").read_text() == once


def test_weights_are_those_that_were_learned(tmp_path):
    net = network(weight=torch.tensor([0.1, 0.7, 1.3, 2.9, 3.1, 0.2, 0.5, 4.7]))
    again = import_neuroml(export_neuroml(net, tmp_path / "net.nml"))
    torch.testing.assert_close(again.weight.detach(), net.weight, rtol=0, atol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["net.nml"]


def test_the_document_keeps_to_the_schema(tmp_path):
    from neuroml.utils import validate_neuroml2

    for cell in CELLS:
        validate_neuroml2(str(export_neuroml(network(cell), tmp_path / "net.nml")))
    for synapse in SYNAPSES:
        validate_neuroml2(str(export_neuroml(network("LIF", synapse), tmp_path / "net.nml")))


FOREIGN = """<neuroml xmlns="http://www.neuroml.org/schema/neuroml2" id="n">
  <expOneSynapse id="ampa" gbase="0.5nS" erev="0mV" tauDecay="3ms"/>
  <expOneSynapse id="ampa2" gbase="1e-9S" erev="0V" tauDecay="0.003s"/>
  <expOneSynapse id="gaba" gbase="2nS" erev="-0.08V" tauDecay="0.01s"/>
  <gapJunction id="gj" conductance="10pS"/>
  <iafCell id="iaf" leakReversal="-0.06V" thresh="-45 mV" reset="-70mV" C="0.1nF"
    leakConductance="0.005uS"/>
  <network id="net">
    <population id="p" component="iaf" size="3"/>
    <projection id="a" presynapticPopulation="p" postsynapticPopulation="p" synapse="ampa">
      <connectionWD id="0" preCellId="../p[0]" postCellId="../p[1]" weight="3" delay="2ms"/>
    </projection>
    <projection id="b" presynapticPopulation="p" postsynapticPopulation="p" synapse="ampa2">
      <connection id="0" preCellId="../p[1]" postCellId="../p[2]"/>
    </projection>
    <projection id="c" presynapticPopulation="p" postsynapticPopulation="p" synapse="gaba">
      <connection id="0" preCellId="../p[2]" postCellId="../p[0]"/>
    </projection>
    <electricalProjection id="d" presynapticPopulation="p" postsynapticPopulation="p">
      <electricalConnection id="0" preCell="0" postCell="2" synapse="gj"/>
    </electricalProjection>
  </network>
</neuroml>
"""


def test_documents_of_others_are_read_with_their_units(tmp_path):
    (tmp_path / "net.nml").write_text(FOREIGN)
    net = import_neuroml(tmp_path / "net.nml")
    told = dict(net.neuron.values())
    assert (told["tau"], told["resistance"], told["v_rest"]) == (20.0, 0.2, -60.0)
    assert (told["v_threshold"], told["v_reset"]) == (-45.0, -70.0)
    synapses = dict(net.groups())
    assert dict(synapses["excitatory"].values()) == {
        "tau": 3.0,
        "conductance": 0.5,
        "reversal": 0.0,
    }
    assert dict(synapses["inhibitory"].values())["reversal"] == -80.0
    assert dict(synapses["electrical"].values()) == {"conductance": 0.01}
    assert net.weight.tolist() == [3.0, 2.0, 1.0, 1.0]  # the second is twice as strong
    assert net.connectome.connections.sign.tolist() == [1, 1, -1, 0]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('C="0.1nF"', 'C="0.1nS"', r"IafCell 'iaf': C='0.1nS' is no quantity in pF"),
        ('component="iaf"', 'component="hh"', "cell component 'hh' is not defined"),
        ('synapse="gaba"', 'synapse="nmda"', "synapse component 'nmda' is not defined"),
        ('tauDecay="0.003s"', 'tauDecay="4ms"', "excitatory synapses of two kinds"),
        ('weight="3"', 'weight="-3"', "negative weight"),
        ('synapse="gj"', 'synapse="gaba"', "which is not"),
        (' thresh="-45 mV"', "", "lacks thresh"),
        ("</neuroml>", "", "damaged"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(old, new, sentence, tmp_path):
    (tmp_path / "net.nml").write_text(FOREIGN.replace(old, new))
    with pytest.raises(ValueError, match=sentence):
        import_neuroml(tmp_path / "net.nml")


def test_what_has_no_component_gets_a_sentence(tmp_path):
    path, ring = tmp_path / "net.nml", network().connectome
    groups = dict(network().groups())
    for cell, sentence in (
        (dynamics.ALIF(), "ALIF cells have no component"),
        (dynamics.Refractory(dynamics.Izhikevich()), "Izhikevich cells with a refractory period"),
    ):
        with pytest.raises(ValueError, match=sentence):
            export_neuroml(simulation.Network(ring, neuron=cell, synapse=groups), path)
    delta = {**groups, "excitatory": dynamics.Delta(charge=3.0)}
    with pytest.raises(ValueError, match=r"Delta synapses \(excitatory\) have no component"):
        export_neuroml(simulation.Network(ring, neuron=dynamics.LIF(), synapse=delta), path)
    with pytest.raises(ValueError, match="side by side"):
        export_neuroml(network().lesioned("A"), path)
    with pytest.raises(ValueError, match=re.escape("must end in .nml")):
        export_neuroml(network(), tmp_path / "net.xml")
    with pytest.raises(FileNotFoundError, match="no file"):
        import_neuroml(path)


def test_quantities_are_exact():
    for value in (0.1, 1 / 3, -65.0, 1e-20, 1.5e300, 7.0):
        assert read(written(value, "mV"), "mV") == value
    assert read("0.05 nF", "pF") == 50.0
    assert read("3 per_s", "per_ms") == 0.003
    assert read("2S_per_V", "nS_per_mV") == 2e6
    for text in ("mV", "1 mS", "one mV", "1 mV mV", ""):
        with pytest.raises(ValueError, match="no quantity"):
            read(text, "mV")
