"""`amphid connectome`: list, info, convert, fetch."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from amphid.interfaces.command_line import fetching
from amphid.interfaces.data_sets import DATA_SETS, DataSet, RemoteFile, reading
from amphid.wiring import celegans, files

TABLE = b"from type,to type,synapses total\nL2,Tm1,17\nTm1,L2,5\n"


class Reply(io.BytesIO):
    """What an opened address answers."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.headers = http.client.HTTPMessage()
        self.headers["Content-Length"] = str(len(body))


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """A small data set in the table, and an address that answers with it."""
    file = RemoteFile(
        "types.csv", "https://example.org/types.csv", sha256=hashlib.sha256(TABLE).hexdigest()
    )
    data = DataSet(
        name="two-types",
        folder="two_types",
        title="two types of cells",
        cells=2,
        connections=2,
        files=(file,),
        license="CC BY 4.0",
        citation="Nobody 1899.",
        read=reading.visual_types,
    )
    monkeypatch.setitem(DATA_SETS, data.name, data)
    monkeypatch.setattr(fetching, "opener", lambda url, *, timeout: Reply(TABLE))
    return data


def test_the_list_says_what_is_here_and_what_is_not(amphid, types) -> None:
    listed = {row["name"]: row for row in amphid("connectome", "list", "--json").document}
    assert listed["celegans"]["here"] == "shipped"
    assert listed["celegans"]["cells"] == len(celegans())
    assert listed["two-types"]["here"] == "no"
    assert listed["hemibrain"]["here"] == "no"
    amphid("connectome", "fetch", "two-types")
    listed = {row["name"]: row for row in amphid("connectome", "list", "--json").document}
    assert listed["two-types"]["here"] == "cache"
    shown = amphid("connectome", "list")
    assert shown.out.startswith("name\tcells\tconnections\there\twhat\ncelegans\t397\t5871\t")
    assert "not fetched: hemibrain, at neuprint.janelia.org" in shown.err


def test_info_counts_what_the_file_holds(amphid, ring) -> None:
    found = amphid("connectome", "info", ring, "--json").document
    assert found["cells"]["count"] == 5
    assert found["cells"]["by_kind"] == {"inter": 3, "sensory": 1, "motor": 1}
    assert found["cells"]["by_transmitter"]["GABA"] == 1
    assert found["chemical"]["count"] == 5
    assert found["chemical"]["synapses"] == 28
    assert found["electrical"] == {
        "count": 1, "synapses": 13.0, "synapses_mean": 13.0, "synapses_largest": 13.0,
        "in_degree_mean": 0.4, "in_degree_largest": 1, "out_degree_largest": 1,
        "self_connections": 0, "reciprocity": 1.0,
    }  # fmt: skip
    assert found["signs"] == {"excite": 0, "inhibit": 0, "unknown": 5}
    assert next(iter(found["hubs"].items())) == ("A", 3)
    assert found["components"] == [5]


def test_info_of_the_worm_is_readable_and_cites(amphid) -> None:
    shown = amphid("connectome", "info", "celegans").out
    assert "397 (123 motor, 95 muscle" in shown
    assert "10.1038/s41586-019-1352-7" in shown
    assert "AVAR (157)" in shown


def test_a_file_without_connections_can_be_described(amphid, tmp_path) -> None:
    (tmp_path / "lonely.cells.csv").write_text("name,kind\nA,\nB,\n")
    (tmp_path / "lonely.csv").write_text("pre,post,synapses\n")
    found = amphid("connectome", "info", "lonely.csv", "--json").document
    assert found["chemical"] == {"count": 0}
    assert found["isolated_cells"] == 2


@pytest.mark.parametrize("suffix", [".csv", ".graphml", ".h5", ".parquet", ".nml"])
def test_convert_keeps_the_wiring(amphid, ring, tmp_path, suffix) -> None:
    if suffix == ".nml":
        pytest.importorskip("neuroml")
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    target = tmp_path / f"copy{suffix}"
    done = amphid("connectome", "convert", ring, target, "--json").document
    assert str(target) in done["written"]
    assert files.read(target) == files.read(ring)


def test_convert_can_add_signs_and_annotations(amphid, tmp_path) -> None:
    (tmp_path / "pair.csv").write_text("pre,post,synapses\nVD1,VB1,7\nAVAL,VA1,5\n")
    answer = amphid(
        "connectome", "convert", "pair.csv", "out.h5", "--annotate", "celegans", "--signs",
        "transmitter",
    )  # fmt: skip
    assert answer.code == 0
    out = files.read(tmp_path / "out.h5")
    assert list(out.connections.sign) == [-1, 1]
    assert out.cells.kind[out.index("AVAL")] == "inter"


def test_convert_says_what_a_table_cannot_keep(amphid, ring) -> None:
    answer = amphid("connectome", "convert", ring, "ring.csv")
    assert "written to ring.csv and ring.cells.csv" in answer.out
    assert "references are not kept" in answer.err
    assert amphid("connectome", "convert", ring, "again.csv", "--quiet").err == ""


def test_convert_writes_over_nothing_without_force(amphid, ring, tmp_path) -> None:
    (tmp_path / "mine.cells.csv").write_text("mine")
    answer = amphid("connectome", "convert", ring, "mine.csv")
    assert answer.code == 2
    assert "--force" in answer.sentence
    assert (tmp_path / "mine.cells.csv").read_text() == "mine"
    assert not (tmp_path / "mine.csv").exists()
    assert amphid("connectome", "convert", ring, "mine.csv", "--force").code == 0


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["info", "celegance"], "Did you mean celegans"),
        (["info", "rings.h5"], "Did you mean ring.h5"),
        (["info", "larval-drosophila"], "amphid connectome fetch larval-drosophila"),
        (["info", "."], "is a folder"),
        (["info", "empty.h5"], "empty.h5"),
        (["info", "half.h5"], "half.h5"),
        (["info", "text.docx"], "'.docx'"),
        (["convert", "celegans", "worm.xyz"], "'.xyz'"),
        (["convert", "celegans", "no/where/worm.h5"], "no folder no/where"),
        (["fetch", "two-tipes"], "There is no data set 'two-tipes'"),
        (["fetch", "hemibrain"], "neuprint.janelia.org"),
        (["fetch", "c302", "--from", "file:///tmp"], "https://"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_that_names_it(amphid, ring, tmp_path, words, hint) -> None:
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "half.h5").write_bytes(ring.read_bytes()[: ring.stat().st_size // 2])
    (tmp_path / "text.docx").write_text("hello")
    answer = amphid("connectome", *words)
    assert answer.code == 2
    assert hint in answer.sentence


def test_fetch_brings_a_data_set_that_can_be_read_by_name(amphid, types) -> None:
    answer = amphid("connectome", "fetch", "two-types")
    assert answer.code == 0
    assert "CC BY 4.0" in answer.out
    assert "Nobody 1899." in answer.out
    assert amphid("connectome", "info", "two-types", "--json").document["chemical"]["count"] == 2
    again = amphid("connectome", "fetch", "two-types")
    assert "is here already" in again.out
    assert amphid("connectome", "fetch", "two-types", "--json").document["downloaded"] is False


def test_fetch_to_a_folder_and_with_json(amphid, types, tmp_path) -> None:
    done = amphid("connectome", "fetch", "two-types", "--to", "here", "--json").document
    assert done["files"][0]["sha256"] == types.files[0].sha256
    assert (tmp_path / "here" / "types.csv").read_bytes() == TABLE
    assert json.loads((tmp_path / "here" / "fetched.json").read_text())["two-types"]


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (URLError("no route to host"), "example.org cannot be reached: no route to host."),
        (HTTPError("u", 404, "Not Found", None, None), "the server answered 404 Not Found"),
        (TimeoutError("timed out"), "broke off: timed out."),
        (http.client.RemoteDisconnected("gone"), "broke off: gone."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_download_that_fails_is_one_sentence_and_leaves_nothing(
    amphid, types, monkeypatch, failure, sentence
) -> None:
    def fails(url: str, *, timeout: float) -> None:
        raise failure

    monkeypatch.setattr(fetching, "opener", fails)
    answer = amphid("connectome", "fetch", "two-types")
    assert answer.code == 1
    assert sentence in answer.sentence
    assert not types.home().exists()


def test_a_download_with_another_content_is_refused(amphid, types, monkeypatch) -> None:
    monkeypatch.setattr(fetching, "opener", lambda url, *, timeout: Reply(TABLE[::-1]))
    answer = amphid("connectome", "fetch", "two-types")
    assert answer.code == 1
    assert "sha256" in answer.sentence
    assert not types.home().exists()


def test_an_interrupted_download_leaves_nothing(amphid, types, monkeypatch) -> None:
    class Slow(Reply):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise KeyboardInterrupt
            return super().read(7)

    monkeypatch.setattr(fetching, "opener", lambda url, *, timeout: Slow(TABLE))
    answer = amphid("connectome", "fetch", "two-types")
    assert answer.code == 130
    assert not types.home().exists()


def test_the_fetch_list_shows_address_and_checksum_of_every_file(amphid) -> None:
    shown = amphid("connectome", "fetch", "--list")
    for data in DATA_SETS.values():
        for file in data.files:
            assert file.url in shown.out
            assert file.proof in shown.out
    assert "hemibrain" in shown.err
    assert amphid("connectome", "fetch", "--list", "--json").document[0]["files"]


def test_a_missing_package_names_its_install_line(amphid, monkeypatch, tmp_path) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: object, **named: object):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name="pyarrow")
        return real(name, *rest, **named)

    (tmp_path / "edges.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(builtins, "__import__", without)
    answer = amphid("connectome", "info", Path("edges.parquet"))
    assert answer.code == 3
    assert "pip install 'amphid[parquet]'" in answer.sentence
