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
    "HodgkinHuxley": dynamics.HodgkinHuxley,
    "squid, each its own": lambda: dynamics.HodgkinHuxley.squid(
        capacitance=torch.tensor([70.0, 80.0, 90.0, 100.0, 110.0]),
        terminal=dynamics.Crossing(threshold=-20.0),
    ),
    "Mixed channels": lambda: dynamics.Mixed(
        {"A": dynamics.HodgkinHuxley(), "*": dynamics.HodgkinHuxley.cortical()}
    ),
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


AXON = """<neuroml xmlns="http://www.neuroml.org/schema/neuroml2" id="n">
  <ionChannelHH id="passive" conductance="10pS"/>
  <ionChannel id="na" conductance="20pS" species="na">
    <gate id="a" type="gateHHrates" instances="3">
      <forwardRate type="HHExpLinearRate" rate="1000per_s" midpoint="-0.04V" scale="10mV"/>
      <reverseRate type="HHExpRate" rate="4per_ms" midpoint="-65mV" scale="-18mV"/>
    </gate>
    <gate id="b" type="gateHHrates" instances="1">
      <forwardRate type="HHExpRate" rate="0.07per_ms" midpoint="-65mV" scale="-20mV"/>
      <reverseRate type="HHSigmoidRate" rate="1per_ms" midpoint="-35mV" scale="10mV"/>
    </gate>
  </ionChannel>
  <ionChannelHH id="k" conductance="10pS" species="k">
    <gateHHrates id="n" instances="4">
      <forwardRate type="HHExpLinearRate" rate="0.1per_ms" midpoint="-55mV" scale="10mV"/>
      <reverseRate type="HHExpRate" rate="0.125per_ms" midpoint="-65mV" scale="-80mV"/>
    </gateHHrates>
  </ionChannelHH>
  <cell id="axon">
    <morphology id="m">
      <segment id="0"><proximal x="0" y="0" z="0" diameter="20"/>
        <distal x="0" y="30" z="40" diameter="20"/></segment>
    </morphology>
    <biophysicalProperties id="b">
      <membraneProperties>
        <channelPopulation id="many" ionChannel="na" number="150000" erev="50mV" ion="na"/>
        <channelDensity id="leak" ionChannel="passive" condDensity="3.0 S_per_m2" erev="-54.387mV"
          ion="non_specific"/>
        <channelDensity id="ks" ionChannel="k" condDensity="36 mS_per_cm2" erev="-77mV" ion="k"/>
        <spikeThresh value="-20mV"/>
        <specificCapacitance value="0.01F_per_m2"/>
        <initMembPotential value="-65mV"/>
      </membraneProperties>
    </biophysicalProperties>
  </cell>
  <network id="net"><population id="p" component="axon" size="2"/></network>
</neuroml>
"""


def test_cells_with_channels_of_others_are_read_with_their_areas(tmp_path):
    """The side of a cylinder of 20 um by 50 um; 150,000 channels of 20 pS."""
    (tmp_path / "net.nml").write_text(AXON)
    neuron = import_neuroml(tmp_path / "net.nml").neuron
    told, area = dict(neuron.values()), torch.pi * 20 * 50 / 100
    squid = dict(dynamics.HodgkinHuxley.squid().values())
    assert all(told[gate] == squid[gate] for gate in "mhn")
    assert told["capacitance"] == pytest.approx(area)
    assert (told["g_leak"], told["g_potassium"]) == pytest.approx((0.3 * area, 36 * area))
    assert (told["g_sodium"], told["v_sodium"], told["v_leak"]) == (3000.0, 50.0, -54.387)
    assert neuron.terminal.threshold == -20.0


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('instances="4"', 'instances="2"', r"Cell 'axon': its channel 'ks' is not one of m3h"),
        ('ionChannel="k"', 'ionChannel="kv"', "ion channel 'kv' is not defined"),
        ("HHSigmoidRate", "Own", "gate 'b' has a rate of type 'Own'; known are HHExpLinearRate"),
        ('type="gateHHrates" instances="1"', 'type="gateHHtauInf" instances="1"',
         "gate 'b' of 'na' is no plain gateHHrates"),
        ('<spikeThresh value="-20mV"/>', "", "it has 0 of spikeThresh"),
        ('condDensity="36 mS_per_cm2"', 'condDensity="36 mS"', "'36 mS' is no quantity in mS_per"),
        ('<segment id="0">', '<segment id="1"><distal x="0" y="0" z="9" diameter="2"/></segment>'
         '<segment id="0">', "it has 2 segments"),
    ],
)  # fmt: skip
def test_cells_with_other_channels_get_a_sentence(old, new, sentence, tmp_path):
    (tmp_path / "net.nml").write_text(AXON.replace(old, new))
    with pytest.raises(ValueError, match=sentence):
        import_neuroml(tmp_path / "net.nml")


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
        (dynamics.HodgkinHuxley(n=dynamics.Gate(torch.exp, torch.sigmoid)), "gate n has the rate"),
    ):
        with pytest.raises(ValueError, match=sentence):
            export_neuroml(simulation.Network(ring, neuron=cell, synapse=groups), path)
    graded = dynamics.HodgkinHuxley(terminal=dynamics.SigmoidRelease())
    gaps = {
        "excitatory": dynamics.GradedSynapse(conductance=1.0, reversal=0.0),
        "inhibitory": dynamics.GradedSynapse(conductance=1.0, reversal=-80.0),
        "electrical": dynamics.GapJunction(conductance=0.3),
    }
    with pytest.raises(ValueError, match="terminal SigmoidRelease has no component"):
        export_neuroml(simulation.Network(ring, neuron=graded, synapse=gaps), path)
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
