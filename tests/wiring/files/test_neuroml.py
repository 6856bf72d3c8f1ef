"""NeuroML networks are valid, and those of c302 are read."""

import warnings
from importlib import resources

import numpy as np
import pytest
from lxml import etree
from neuroml.loaders import read_neuroml2_file
from neuroml.utils import validate_neuroml2

from amphid.wiring import Cells, Connections, Connectome
from amphid.wiring.files import read, write


@pytest.fixture(scope="module")
def odd():
    """Names that are no ids, or are the ids of something else, and numbers out of the ordinary."""
    names = ["AVAL", "a b", "a_b", "1", "gap_junction", "é", "ü"]
    cells = Cells(names, position=[[1e-300, -1e300, 0.1]] * 7, kind="<&>", transmitter='"\'"')
    wires = Connections(
        [0, 1, 1, 6, 6],
        [1, 1, 1, 6, 6],
        kind=[1, 0, 0, 0, 1],
        synapses=[1e-44, 0.1, 1e38, 0, 3],
        sign=[-1, 1, -1, 0, 0],
        delay=[1.5, 0, 1e-20, 1e20, np.nan],
    )
    return Connectome(cells, wires, "odd")


def test_a_network_is_valid_by_the_schema(small, odd, tmp_path, capsys):
    schema = resources.files("neuroml.nml") / "NeuroML_v2.3.1.xsd"
    valid = etree.XMLSchema(etree.parse(str(schema)))
    for connectome in (small, odd):
        path = write(connectome, tmp_path / "c.nml")
        valid.assertValid(etree.parse(path))
        with warnings.catch_warnings():  # its loader sets the filters of the process anew
            validate_neuroml2(str(path))
        assert "valid" in capsys.readouterr().out
        assert read(path) == connectome


def test_a_network_is_laid_out_as_c302_does(small, tmp_path):
    path = write(small, tmp_path / "c.nml")
    with warnings.catch_warnings():
        document = read_neuroml2_file(str(path))
    network = document.networks[0]
    ids = [population.id for population in network.populations]
    assert ids == ["AVAL", "AVAR", "VA_2", "_1_1", "alone"]
    assert all(population.size == 1 for population in network.populations)
    place = network.populations[0].instances[0].location
    assert (place.x, place.y, place.z) == (1, 2, 3)
    first = network.projections[0]
    assert (first.presynaptic_population, first.postsynaptic_population) == ("VA_2", "AVAL")
    assert first.synapse == "excitatory_synapse"
    assert first.connection_wds[0].pre_cell_id == "../VA_2/0/generic_cell"
    assert first.connection_wds[0].weight == 3
    assert len(network.electrical_projections) == 2
    named = {synapse.id for synapse in (*document.exp_one_synapses, *document.gap_junctions)}
    assert {projection.synapse for projection in network.projections} <= named
    assert {population.component for population in network.populations} == {"generic_cell"}
    assert [cell.id for cell in document.iaf_cells] == ["generic_cell"]


def test_reading_leaves_the_warnings_of_the_process_alone(small, tmp_path):
    path = write(small, tmp_path / "c.nml")
    before = list(warnings.filters)
    read(path)
    assert warnings.filters == before


def test_a_network_of_no_cells_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="at least one cell"):
        write(Connectome(Cells([]), Connections()), tmp_path / "c.nml")
    assert list(tmp_path.iterdir()) == []


POPULATION = (
    '<population id="{}" component="GenericNeuronCell" size="1" type="populationList">'
    '<property tag="type" value="{}"/><property tag="neurotransmitter" value="{}"/>'
    '<instance id="0"><location x="{}" y="2." z="3."/></instance></population>'
)
CELLS = (
    POPULATION.format("AVAL", "interneuron", "Acetylcholine", 1)
    + POPULATION.format("VD1", "motor", "GABA", 4)
    + '<population id="p" component="iaf" size="3"/>'
)


def network(tmp_path, body, cells=CELLS):
    path = tmp_path / "net.nml"
    path.write_text(
        '<neuroml xmlns="http://www.neuroml.org/schema/neuroml2" id="d">'
        f'<include href="cell_C.xml"/><network id="n">{cells}{body}</network></neuroml>'
    )
    return read(path)


def ends(path, pre="AVAL", post="VD1"):
    return f'presynapticPopulation="{pre}" postsynapticPopulation="{post}" id="{path}"'


def test_cells_of_a_network_come_with_what_is_said_of_their_populations(tmp_path):
    assert network(tmp_path, "").cells == Cells(
        ["AVAL", "VD1", "p[0]", "p[1]", "p[2]"],
        kind=["interneuron", "motor", "", "", ""],
        transmitter=["Acetylcholine", "GABA", "", "", ""],
        position=[[1, 2, 3], [4, 2, 3], *[[np.nan] * 3] * 3],
    )


CONTINUOUS = (
    '<continuousProjection {ends}><continuousConnectionInstanceW id="0" '
    'preCell="../AVAL/0/GenericNeuronCell" postCell="../VD1/0/GenericNeuronCell" '
    'preComponent="silent" postComponent="neuron_to_neuron_inh_syn" weight="3."/>'
    "</continuousProjection>"
)
CHEMICAL = '<projection {ends} synapse="{synapse}">{links}</projection>'
WEIGHTED = '<connectionWD id="0" preCellId="{}" postCellId="{}" weight="{}" delay="{}"/>'
PLAIN = '<connection id="0" preCellId="{}" postCellId="{}"/>'
CELL = "../{}/0/GenericNeuronCell"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            CHEMICAL.format(
                ends=ends("x"),
                synapse="exc_syn",
                links=PLAIN.format(CELL.format("AVAL"), CELL.format("VD1"))
                + WEIGHTED.format("../AVAL[0]", "../VD1/0", 2, "1.5 ms")
                + WEIGHTED.format("AVAL[0]", "../VD1/0/", 2, "0.002s"),
            ),
            Connections([0] * 3, [1] * 3, synapses=[1, 2, 2], sign=1, delay=[np.nan, 1.5, 2]),
        ),
        (
            CHEMICAL.format(
                ends=ends("x", "p", "p"),
                synapse="syn",
                links=WEIGHTED.format("../p[2]", "../p[1]", -4, "0ms"),
            ),
            Connections([4], [3], synapses=4, sign=-1),
        ),
        (CONTINUOUS.format(ends=ends("x")), Connections([0], [1], synapses=3, sign=-1)),
        (
            CHEMICAL.format(
                ends=ends("x"),
                synapse="neuron_to_neuron_elec_syn",
                links=PLAIN.format(CELL.format("AVAL"), CELL.format("VD1")),
            ),
            Connections([0], [1], kind="electrical"),
        ),
        (
            f"<electricalProjection {ends('x', 'p', 'p')}>"
            '<electricalConnection id="0" preCell="2" postCell="1" synapse="g"/>'
            "</electricalProjection>",
            Connections([3], [4], kind="electrical"),
        ),
        (
            '<synapticConnection from="p[0]" to="p[2]" synapse="exc"/>',
            Connections([2], [4], sign=1),
        ),
    ],
)
def test_every_way_of_connecting_cells_is_read(body, expected, tmp_path):
    assert network(tmp_path, body).connections == expected


def test_junctions_that_c302_lists_from_both_cells_are_taken_once(tmp_path):
    link = (
        '<electricalConnectionInstanceW id="0" preCell="../{0}/0/GenericNeuronCell" '
        'postCell="../{1}/0/GenericNeuronCell" synapse="elec" weight="2."/>'
    )
    body = "".join(
        f"<electricalProjection {ends(a + b, a, b)}>{link.format(a, b)}</electricalProjection>"
        for a, b in (("AVAL", "VD1"), ("VD1", "AVAL"))
    )
    expected = Connections([0], [1], kind="electrical", synapses=2)
    assert network(tmp_path, body).connections == expected


@pytest.mark.parametrize(
    ("body", "cells", "sentence"),
    [
        (PLAIN.format("../none/0/x", "../VD1/0/x"), CELLS, "names the cell '../none/0/x'"),
        (PLAIN.format("../p[3]", "../p[0]"), CELLS, r"names the cell '../p\[3\]'"),
        (PLAIN.format("AVAL", "VD1"), CELLS, "names the cell 'AVAL'"),
        (WEIGHTED.format("../p[0]", "../p[0]", 1, "soon"), CELLS, "a delay must be a time"),
        (WEIGHTED.format("../p[0]", "../p[0]", "NaN", "1ms"), CELLS, "synapses must be finite"),
        ('<connection id="0"/>', CELLS, "lacks an attribute"),
        ("", '<population id="a" component="c" size="99999999999"/>', "declares 99999999999 cells"),
        ("", '<population id="a" component="c" size="-1"/>', "Invalid NonNegativeInteger"),
        ("", '<population id="a" component="c"/>', "lacks an attribute"),
        ("", '<population id="a" component="c" size="1"/>' * 2, "two populations have the id 'a'"),
    ],
)
def test_what_is_wrong_in_a_network_is_told(body, cells, sentence, tmp_path):
    wrapped = CHEMICAL.format(ends=ends("x"), synapse="s", links=body) if body else ""
    with pytest.raises(ValueError, match=sentence):
        network(tmp_path, wrapped, cells)


@pytest.mark.parametrize("count", [0, 2])
def test_a_document_must_hold_one_network(count, tmp_path):
    path = tmp_path / "c.nml"
    nets = f'<network id="n">{CELLS}</network>' * count
    path.write_text(
        f'<neuroml xmlns="http://www.neuroml.org/schema/neuroml2" id="d">{nets}</neuroml>'
    )
    with pytest.raises(ValueError, match=f"one network, this one has {count}"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('id="6"', 'id="5"', "must count from 0"),
        ("references\" value='[", "references\" value='[1, ", "list of texts"),
        ('tag="name" value="small"', 'tag="delay_of_connection_99" value="1"', "not there"),
    ],
)
def test_our_own_network_changed_so_that_it_cannot_be_is_refused(
    old, new, sentence, small, tmp_path
):
    path = write(small, tmp_path / "c.nml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        read(path)
