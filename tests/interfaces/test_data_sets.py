"""Data sets: downloads are whole and checked or leave nothing; readers keep what the files say."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from amphid.interfaces.data_sets import (
    DATA_SETS,
    ELSEWHERE,
    TASK_DATA,
    DataSet,
    RemoteFile,
    data_set,
    fetch,
    reading,
    worm_web_sim,
)
from amphid.wiring import Connectome

BODY = b"pre,post,weight\nA,B,7\n" * 101


class Server(http.server.ThreadingHTTPServer):
    """Answers with what `pages` holds; `seen` are the paths that were asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {"/one.csv": BODY, "/two.csv": BODY[::-1]}
        self.missing_bytes = 0
        self.seen: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        body = self.server.pages.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + self.server.missing_bytes))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def remote(address: str, name: str, body: bytes) -> RemoteFile:
    digest = hashlib.sha256(body).hexdigest()
    return RemoteFile(name, f"{address}/{name}", len(body), sha256=digest)


@pytest.fixture
def data(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataSet:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AMPHID_DATA", raising=False)
    return DataSet(
        name="two-tables",
        folder="two_tables",
        title="two tables",
        cells=2,
        connections=1,
        files=(
            remote(server.address, "one.csv", BODY),
            remote(server.address, "two.csv", BODY[::-1]),
        ),
        license="MIT",
        citation="Nobody 1899.",
        read=reading.worm_web_sim,
    )


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_fetched_data_set_lies_in_the_cache_with_a_note_of_where_it_is_from(
    data: DataSet,
) -> None:
    done = fetch(data)
    assert (data.home() / "one.csv").read_bytes() == BODY
    assert left_in(data.home()) == ["fetched.json", "one.csv", "two.csv"]
    note = json.loads((data.home() / "fetched.json").read_text())["two-tables"]
    assert [file["sha256"] for file in note["files"]] == [file.sha256 for file in data.files]
    assert all(file.downloaded for file in done)
    assert data.here() == data.home()


def test_what_is_there_is_not_fetched_again(data: DataSet, server: Server) -> None:
    fetch(data)
    server.seen.clear()
    assert not any(file.downloaded for file in fetch(data))
    assert server.seen == []


def test_progress_ends_with_all_bytes(data: DataSet) -> None:
    heard: list[tuple[str, int, int | None]] = []
    fetch(data, progress=lambda *told: heard.append(told))
    assert ("one.csv", len(BODY), len(BODY)) in heard


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda server: server.pages.clear(), "answered 404"),
        (lambda server: setattr(server, "missing_bytes", 53), "broke off"),
        (lambda server: server.pages.update({"/one.csv": BODY.lower()}), "should be"),
        (lambda server: server.pages.update({"/one.csv": BODY[:-7]}), "should have"),
    ],
    ids=["not found", "truncated", "other content", "shorter file"],
)
def test_a_failed_download_is_one_sentence_and_leaves_nothing(
    data: DataSet, server: Server, spoil, sentence: str
) -> None:
    spoil(server)
    with pytest.raises(OSError, match=sentence):
        fetch(data)
    assert not data.home().exists()


def test_without_a_network_the_host_is_named(data: DataSet) -> None:
    def unplugged(url: str, *, timeout: float) -> None:
        raise URLError("Name or service not known")

    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        fetch(data, opener=unplugged)
    assert not data.home().exists()


def test_a_failed_second_file_keeps_the_first_which_is_not_fetched_again(
    data: DataSet, server: Server
) -> None:
    whole = server.pages.pop("/two.csv")
    with pytest.raises(OSError, match="404"):
        fetch(data)
    assert left_in(data.home()) == ["one.csv"]
    server.pages["/two.csv"] = whole
    server.seen.clear()
    fetch(data)
    assert server.seen == ["/two.csv"]


def test_another_file_of_that_name_is_replaced_only_by_force(data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="--force"):
        fetch(data, tmp_path)
    assert (tmp_path / "one.csv").read_text() == "mine"
    fetch(data, tmp_path, force=True)
    assert (tmp_path / "one.csv").read_bytes() == BODY


def test_a_mirror_is_held_to_the_same_checksums(data: DataSet, server: Server) -> None:
    elsewhere = replace(
        data, files=tuple(replace(file, url="http://127.0.0.1:9/no") for file in data.files)
    )
    fetch(elsewhere, base=f"{server.address}/")
    server.pages["/one.csv"] = BODY.upper()
    (data.home() / "one.csv").unlink()
    with pytest.raises(OSError, match="sha256"):
        fetch(elsewhere, base=server.address)
    with pytest.raises(ValueError, match="https://"):
        fetch(elsewhere, base="file:///etc")


def test_a_git_object_id_proves_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello\n")
    file = RemoteFile("hello", "", git="ce013625030ba8dba906f756967f9e9ca394464a")
    assert file.check(tmp_path / "hello") == hashlib.sha256(b"hello\n").hexdigest()
    (tmp_path / "hello").write_bytes(b"hullo\n")
    with pytest.raises(OSError, match="git object id"):
        file.check(tmp_path / "hello")


def test_every_data_set_says_where_it_is_from_and_how_a_copy_is_proved() -> None:
    for name, data in (*DATA_SETS.items(), *TASK_DATA.items()):
        assert name == data.name == data_set(name).name
        assert data.license
        assert data.citation.endswith(".")
        assert data.source.startswith("github.com/")
        for file in data.files:
            assert file.url.startswith("https://")
            assert file.url.endswith(file.name)
            assert len(file.sha256) == 64 or len(file.git) == 40


def test_names_are_found_by_folder_and_misspelled_ones_bring_the_nearest() -> None:
    assert data_set("larval_drosophila_winding2023").name == "larval-drosophila"
    assert data_set("Worm_Web_Sim").name == "worm-web-sim"
    assert data_set("motor_center_out").name == "center-out"
    assert data_set("skeletons_swc").name == "skeletons"
    assert data_set("larval-fly").name == "larval-drosophila"
    assert data_set("larval-fly-axo-axonic").name == "larval-fly-aa"
    with pytest.raises(KeyError, match="Did you mean larval-drosophila"):
        data_set("larval-drosphila")
    for name in ELSEWHERE:
        with pytest.raises(KeyError, match="cannot be fetched"):
            data_set(name)


def test_every_name_that_a_page_tells_to_fetch_is_known() -> None:
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    told = re.compile(r"connectome\s+fetch[ \n]([a-z][a-z0-9_-]+)")
    names = {name for page in pages for name in told.findall(page.read_text(encoding="utf-8"))}
    assert {"mnist", "skeletons"} <= names
    for name in names - set(ELSEWHERE):
        assert data_set(name).files, name


def test_a_data_set_that_is_not_here_names_both_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert DATA_SETS["c302"].here() is None
    with pytest.raises(FileNotFoundError, match=r"connectome fetch c302 .*AMPHID_DATA"):
        DATA_SETS["c302"].find("c302_C0_Full.net.nml")


CONSTANTS = """var weights = {
\tA: {
\t\tB: 2,
\t\tMDL01: -3,
\t},
\tB: { A: 5, C: 7 },
};
"""
SCRIPT = """
BRAIN.muscles = ['MVU', 'MDL'];
BRAIN.muscleList = [
\t'MDL01',
\t'MDR01',
];
BRAIN.mLeft = ['MDL01'];
BRAIN.mRight = ['MDR01'];
BRAIN.postSynaptic['A'] = [0, 0];
BRAIN.postSynaptic['B'] = [0, 0];
BRAIN.postSynaptic['C'] = [0, 0];
BRAIN.postSynaptic['MDL01'] = [0, 0];
"""


def test_the_worm_of_the_web_is_read_from_its_two_scripts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "worm_web_sim"
    folder.mkdir()
    (folder / "constants.js").write_text(CONSTANTS)
    (folder / "connectome.js").write_text(SCRIPT)
    worm_web_sim.extract(folder)
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    worm = reading.worm_web_sim(DATA_SETS["worm-web-sim"])
    assert list(worm.cells.name) == ["A", "B", "C", "MDL01"]
    assert list(worm.cells.kind) == ["", "", "", "muscle"]
    expected = [[0, 2, 0, -3], [5, 0, 7, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(worm.matrix(signed=True), expected)
    assert json.loads((folder / "muscles.json").read_text())["left"] == ["MDL01"]
    (folder / "constants.js").write_text("nothing")
    with pytest.raises(ValueError, match="do not hold the tables"):
        worm_web_sim.extract(folder)


INSIDE = "Supplementary-Data-S1"


def larva(folder: Path, rows: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "Supplementary-Data-S1.zip", "w") as archive:
        archive.writestr(
            f"{INSIDE}/all-all_connectivity_matrix.csv", "\n".join([",5,3,11", *rows]) + "\n"
        )
        annotations = "left_id,right_id,celltype\n5,11,sensory\nno pair,3,KC\n"
        archive.writestr(f"{INSIDE}/annotations.csv", annotations)


def test_the_larva_is_read_out_of_the_zip_row_by_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    folder = tmp_path / "larval_drosophila_winding2023"
    larva(folder, ["5,0.0,2.0,0.0", "3,0.0,0.0,0.0", "11,7.0,0.0,1.0"])
    brain = DATA_SETS["larval-drosophila"].read(DATA_SETS["larval-drosophila"])
    assert list(brain.cells.name) == ["5", "3", "11"]
    assert list(brain.cells.kind) == ["sensory", "inter", "sensory"]
    np.testing.assert_array_equal(brain.matrix(), [[0, 2, 0], [0, 0, 0], [7, 0, 1]])
    larva(folder, ["5,0.0,2.0,0.0", "3,0.0,0.0", "11,7.0,0.0,1.0"])
    with pytest.raises(ValueError, match="row 3"):
        DATA_SETS["larval-drosophila"].read(DATA_SETS["larval-drosophila"])
    (folder / "Supplementary-Data-S1.zip").write_bytes(b"PK broken")
    with pytest.raises(ValueError, match="damaged"):
        DATA_SETS["larval-drosophila"].read(DATA_SETS["larval-drosophila"])


def test_the_edge_list_of_the_fly_keeps_its_signs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("AMPHID_DATA", str(tmp_path))
    folder = tmp_path / "flywire_shiu2024"
    folder.mkdir()
    (folder / "Completeness_783.csv").write_text(",Completed\n720575940596125868,True\n11,True\n")
    table = pyarrow.table(
        {
            "Presynaptic_Index": [0, 1],
            "Postsynaptic_Index": [1, 1],
            "Excitatory x Connectivity": [-5, 7],
        }
    )
    parquet.write_table(table, folder / "Connectivity_783.parquet")
    fly = DATA_SETS["flywire-783"].read(DATA_SETS["flywire-783"])
    assert list(fly.cells.name) == ["720575940596125868", "11"]
    np.testing.assert_array_equal(fly.matrix(signed=True), [[0, -5], [0, 7]])
    (folder / "Connectivity_783.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="no edge list"):
        DATA_SETS["flywire-783"].read(DATA_SETS["flywire-783"])


@pytest.mark.parametrize(
    "name",
    [
        "larval-drosophila",
        "larval-fly-axo-dendritic",
        "larval-fly-dendro-axonic",
        "flywire-visual-types",
        "worm-web-sim",
    ],
)
def test_published_data_sets_have_the_published_size(name: str) -> None:
    data = data_set(name)
    if "AMPHID_DATA" not in os.environ or data.here() is None:
        pytest.skip(f"{name} is not in AMPHID_DATA")
    read: Connectome = data.read(data)
    assert (len(read), len(read.connections)) == (data.cells, data.connections)


def test_the_images_of_the_digits_are_those_that_are_fetched() -> None:
    digits = data_set("digits")
    if "AMPHID_DATA" not in os.environ or digits.here() is None:
        pytest.skip("mnist is not in AMPHID_DATA")
    for file in digits.files:
        assert file.check(digits.find(file.name)) == file.sha256
