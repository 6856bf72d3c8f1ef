"""Edge lists and matrices of text, ours and those that people have."""

import os
from pathlib import Path

import numpy as np
import pytest

from amphid.wiring import Cells, Connections, Connectome, celegans
from amphid.wiring.files import read, write


def listed(tmp_path, text, name="list.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read(path)


def triples(connectome):
    name, wires = connectome.cells.name, connectome.connections
    rows = zip(name[wires.pre], name[wires.post], wires.synapses.tolist(), strict=True)
    return [(*row, "ce"[kind]) for row, kind in zip(rows, wires.kind, strict=True)]


def test_an_edge_list_names_cells_and_a_second_table_holds_them(small, tmp_path):
    write(small, tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text() == (
        "pre,post,kind,synapses,sign,delay\n"
        "VA 2,AVAL,chemical,3,1,\n"
        "AVAL,VA 2,chemical,1,-1,1.5\n"
        "AVAL,VA 2,chemical,2.5,0,0\n"
        "AVAR,=1+1,electrical,7,0,\n"
        "AVAL,AVAR,electrical,2,0,\n"
        "=1+1,=1+1,chemical,1,-1,2\n"
        "AVAR,AVAL,chemical,13,1,0.1\n"
    )
    assert (tmp_path / "c.cells.csv").read_text() == (
        "name,kind,class,transmitter,x,y,z\n"
        "AVAL,inter,AVA,acetylcholine,1,2,3\n"
        "AVAR,inter,AVA,acetylcholine,4,5.5,6\n"
        "VA 2,motor,VA,acetylcholine,,,\n"
        '=1+1,,,"GABA; ACh",0.1,0,-7\n'
        "alone,,,,,1,2\n"
    )


def test_without_the_second_table_cells_come_in_order_of_appearance(small, tmp_path):
    write(small, tmp_path / "c.csv")
    (tmp_path / "c.cells.csv").unlink()
    alone = read(tmp_path / "c.csv")
    assert list(alone.cells.name) == ["VA 2", "AVAL", "AVAR", "=1+1"]
    assert sorted(triples(alone.subset("AVAL", "AVAR", "VA 2", "=1+1"))) == sorted(triples(small))


def test_the_shipped_worm_survives_with_and_without_its_cells(tmp_path):
    worm = celegans()
    write(worm, tmp_path / "worm.csv")
    assert read(tmp_path / "worm.csv") == worm
    (tmp_path / "worm.cells.csv").unlink()
    alone = read(tmp_path / "worm.csv")
    assert alone.connections.electrical.sum() == worm.connections.electrical.sum()


@pytest.mark.parametrize(
    "header",
    [
        "pre,post,synapses",
        "Source,Target,Weight",
        "FROM,TO,count",
        "presynaptic,postsynaptic,n",
        "Neuron 1,Neuron 2,Nbr",
        "bodyId_pre,bodyId_post,weight",
        "pre_root_id,post_root_id,syn_count",
        "Presynaptic_ID,Postsynaptic_ID,Connectivity",
        "Origin,Target,Number of Connections",
        "pre,ignored,post,weight",
    ],
)
@pytest.mark.parametrize("mark", [",", ";", "\t", " ; "])
def test_columns_go_by_the_names_that_people_give_them(header, mark, tmp_path):
    names = header.split(",")
    row = ["9"] * len(names)
    row[0], row[-2 if "ignored" not in names else 2], row[-1] = "a", "b", "3"
    if "ignored" in names:
        row[1], row[2] = "9", "b"
    text = f"{mark.join(names)}\n{mark.join(row)}\n"
    assert triples(listed(tmp_path, text)) == [("a", "b", 3.0, "c")]


def test_columns_that_are_not_there_have_their_defaults(tmp_path):
    wires = listed(tmp_path, "pre,post\na,b\nb,a\n").connections
    assert wires == Connections([0, 1], [1, 0])


def test_headers_that_are_not_known_are_told_with_those_expected(tmp_path):
    with pytest.raises(ValueError, match="among 'alpha', 'beta': expected headers such as pre, po"):
        listed(tmp_path, "alpha,beta\na,b\n")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a,b,x,,", "line 5: synapses must be a number, got 'x'"),
        ("a,b,,,", "line 5: synapses must be a number, got ''"),
        ("a,b,nan,,", "line 5: synapses must be a finite number, got 'nan'"),
        ("a,b,1e39,,", "line 5: synapses must be a finite number"),
        ("a,b,1_0,,", "line 5: synapses must be a number, got '1_0'"),
        ("a,b,1,maybe,", "line 5: kind must be chemical or electrical"),
        ("a,b,1,,-1", "line 5: delay must be finite and not negative, got '-1'"),
        ("a,b,1,,soon", "line 5: delay must be a number, got 'soon'"),
        (",b,1,,", "line 5: the name of a cell is empty"),
        ("a,b,1,", "line 5 has 4 fields, the header has 5"),
        ("a,b,1,,,", "line 5 has 6 fields, the header has 5"),
        ('a,"b,1,,', "line 5: unexpected end of data"),
        ("a,b\x07,1,,", "holds a control character"),
    ],
)
def test_a_bad_field_is_told_with_its_line(row, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        listed(tmp_path, f"pre,post,n,kind,delay\na,b,1,,\n\n,,,,\n{row}\n")


def test_a_sign_that_is_none_is_told_with_its_line(tmp_path):
    with pytest.raises(ValueError, match=r"line 2: sign must be \+1, -1, 0 or empty, got '0\.5'"):
        listed(tmp_path, "pre,post,sign\na,b,0.5\n")


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        *(("+1", 1), ("+", 1), ("1.0", 1), ("exc", 1), ("Excitatory", 1), ("-1", -1), ("-", -1)),
        *(("inhibitory", -1), ("0", 0), ("", 0), ("unknown", 0)),
    ],
)
def test_signs_are_read_as_numbers_marks_and_words(text, sign, tmp_path):
    assert listed(tmp_path, f"pre,post,polarity\na,b,{text}\n").connections.sign.tolist() == [sign]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("chemical", "Chemical", "chem", "S", "Sp", "send", "C", "Generic_CS", "NMJ", ""), 0),
        (("electrical", "gap", "Gap Junction", "GapJunction", "EJ", "GJ", "gap-junction"), 1),
    ],
)
def test_kinds_are_read_by_the_words_of_published_tables(words, kind, tmp_path):
    rows = "".join(f"a,b,{word}\n" for word in words)
    assert set(listed(tmp_path, f"pre,post,type\n{rows}").connections.kind) == {kind}


def test_rows_told_from_the_receiving_side_are_left_out(tmp_path):
    """Varshney et al. 2011 list each synapse from both cells: a S b and b R a."""
    text = "Neuron 1,Neuron 2,Type,Nbr\na,b,S,2\nb,a,R,2\na,c,Sp,1\nc,a,Rp,1\nb,c,EJ,3\n"
    assert triples(listed(tmp_path, text)) == [
        ("a", "b", 2.0, "c"),
        ("a", "c", 1.0, "c"),
        ("b", "c", 3.0, "e"),
    ]


def test_rows_told_only_from_the_receiving_side_are_turned_round(tmp_path):
    text = "pre,post,type\na,b,R\nc,b,EJ\na,b,Rp\n"
    assert triples(listed(tmp_path, text)) == [
        ("b", "a", 1.0, "c"),
        ("b", "c", 1.0, "e"),
        ("b", "a", 1.0, "c"),
    ]


def test_junctions_listed_from_both_cells_are_taken_once(tmp_path):
    text = "pre,post,type,n\na,b,gap,2\nb,a,gap,2\nb,b,gap,5\na,c,gap,1\nc,a,gap,1\na,b,S,2\n"
    assert triples(listed(tmp_path, text)) == [
        ("a", "b", 2.0, "e"),
        ("b", "b", 5.0, "e"),
        ("a", "c", 1.0, "e"),
        ("a", "b", 2.0, "c"),
    ]


def test_of_junctions_listed_several_times_from_both_cells_as_many_are_taken_as_from_one(tmp_path):
    text = "pre,post,type,n\n" + "a,b,gap,2\n" * 3 + "b,a,gap,2\n" * 3 + "a,b,gap,7\nb,a,gap,7\n"
    assert sorted(triples(listed(tmp_path, text))) == [("a", "b", 2.0, "e")] * 3 + [
        ("a", "b", 7.0, "e")
    ]


def test_junctions_that_mostly_stand_once_are_taken_as_they_stand(tmp_path):
    text = "pre,post,type,n\na,b,gap,2\nb,a,gap,2\na,c,gap,1\nc,b,gap,1\n"
    assert len(listed(tmp_path, text).connections) == 4


def test_a_few_junctions_may_lack_their_mirror_image(tmp_path):
    pairs = [(f"x{k}", f"y{k}") for k in range(19)]
    rows = [f"{a},{b},gap,1\n{b},{a},gap,1\n" for a, b in pairs] + ["p,q,gap,1\n", "r,p,gap,1\n"]
    assert len(listed(tmp_path, "pre,post,type,n\n" + "".join(rows)).connections) == 21


def test_negative_weights_are_signs(tmp_path):
    wires = listed(tmp_path, "pre,post,weight\na,b,-3\nb,a,2\na,a,0\n").connections
    assert wires == Connections([0, 1, 0], [1, 0, 0], synapses=[3, 2, 0], sign=[-1, 1, 0])
    wires = listed(tmp_path, "pre,post,weight\na,b,3\nb,a,2\n").connections
    assert wires.sign.tolist() == [0, 0]


def test_a_sign_may_not_contradict_its_weight(tmp_path):
    wires = listed(tmp_path, "pre,post,n,sign\na,b,-3,-1\nb,a,2,-1\n").connections
    assert (wires.synapses.tolist(), wires.sign.tolist()) == ([3, 2], [-1, -1])
    with pytest.raises(ValueError, match="connection 0 has the sign \\+1 and the negative weight"):
        listed(tmp_path, "pre,post,n,sign\na,b,-3,1\n")


def test_blanks_around_names_count_only_in_files_that_we_wrote(tmp_path):
    assert triples(listed(tmp_path, "Source,Target\nI1L , I2L   \n")) == [("I1L", "I2L", 1.0, "c")]
    spaced = Connectome(Cells([" a ", "a"]), Connections([0], [1]))
    assert read(write(spaced, tmp_path / "c.csv")) == spaced


def test_a_table_of_tabs_may_have_blanks_in_its_first_line(tmp_path):
    assert triples(listed(tmp_path, "pre post type synapses\na\tb\telectrical\t3\n")) == [
        ("a", "b", 3.0, "e")
    ]
    assert triples(listed(tmp_path, "pre post n\na  b 2\nb a 1\n")) == [
        ("a", "b", 2.0, "c"),
        ("b", "a", 1.0, "c"),
    ]


def test_a_mark_of_byte_order_and_lines_of_other_systems_do_not_matter(tmp_path):
    text = "pre,post,n\r\na,b,2\r\n"
    assert triples(listed(tmp_path, text, encoding="utf-8-sig")) == [("a", "b", 2.0, "c")]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_text_that_is_not_utf_8_is_told(encoding, tmp_path):
    with pytest.raises(ValueError, match="not UTF-8 text"):
        listed(tmp_path, "pre,post\nà,é\n", encoding=encoding)


def test_a_cell_that_the_second_table_lacks_is_told(small, tmp_path):
    path = write(small, tmp_path / "c.csv")
    path.write_text(path.read_text() + "AVAL,other,chemical,1,0,\n")
    with pytest.raises(
        ValueError, match=r"line 9: the cell 'other' is not listed in c\.cells\.csv"
    ):
        read(path)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("kind\ninter\n", "no column holds names among 'kind'"),
        ("name,x\na,near\n", "line 2: a position must be a number, got 'near'"),
        ("name,x\na,1\na,2\n", "two cells"),
        ("", "empty"),
    ],
)
def test_a_second_table_that_is_wrong_is_told_by_its_name(table, sentence, tmp_path):
    (tmp_path / "c.cells.csv").write_text(table)
    (tmp_path / "c.csv").write_text("pre,post\na,a\n")
    with pytest.raises(ValueError, match=rf"c\.csv: c\.cells\.csv: .*{sentence}"):
        read(tmp_path / "c.csv")


def test_a_second_table_in_the_words_of_others_is_understood(tmp_path):
    table = "neuron,neurotransmitter,type,x_um,y_um,z_um\na,GABA,motor,1,2,3\nb,,,,,\n"
    (tmp_path / "c.cells.csv").write_text(table)
    cells = listed(tmp_path, "pre,post\na,a\n", "c.csv").cells
    position = [[1, 2, 3], [np.nan] * 3]
    assert cells == Cells(
        ["a", "b"], kind=["motor", ""], transmitter=["GABA", ""], position=position
    )


def test_a_square_table_with_names_on_both_sides_is_a_matrix(tmp_path):
    matrix = listed(tmp_path, ",a,b,c\na,0,2,\nb,0,1,0\nc,3.5,0,0\n")
    assert triples(matrix) == [("a", "b", 2.0, "c"), ("b", "b", 1.0, "c"), ("c", "a", 3.5, "c")]
    signed = listed(tmp_path, '"";a;b\na;0;-2\nb;1;0\n')
    assert signed.connections.sign.tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (",a,b\na,0,1\nc,0,0\n", "line 3 is named 'c'"),
        (",a,b\na,0,1\n", "has 2 columns and 1 rows"),
        (",a\na,0\nb,0\n", "line 3 is named 'b'"),
        (",a,b\na,0,x\nb,0,0\n", "line 2: synapses must be a number, got 'x'"),
        (",a,a\na,0,1\na,0,0\n", "two cells"),
    ],
)
def test_a_matrix_that_is_not_square_or_not_of_numbers_is_told(text, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        listed(tmp_path, text)


def test_an_edge_list_with_a_column_of_row_numbers_is_no_matrix(tmp_path):
    assert triples(listed(tmp_path, ",pre,post,weight\n0,a,b,2\n1,b,a,3\n")) == [
        ("a", "b", 2.0, "c"),
        ("b", "a", 3.0, "c"),
    ]


def data(*parts):
    folder = os.environ.get("AMPHID_DATA")
    path = Path(folder or "").joinpath(*parts)
    if not folder or not path.exists():
        pytest.skip("needs the data sets: set AMPHID_DATA to their folder")
    return path


def test_the_table_of_the_browser_worm_is_read_as_its_authors_counted():
    worm = read(data("worm_web_sim", "weights.csv"))
    assert (len(worm), len(worm.connections)) == (396, 3689)
    assert (worm.connections.sign < 0).sum() == 125
    assert worm.connections.synapses.sum() == 10315


def test_the_types_of_the_visual_system_of_the_fly_are_read_as_counted():
    name = "type_to_type_connection_and_synapse_counts.csv"
    fly = read(data("flywire_visual_types", name))
    assert len(fly.connections) == 72_954
    assert fly.connections.synapses.sum(dtype=float) == 23_500_481
