"""A session as a page that plays, a still, a film; and `amphid view` from a shell."""

import json
import re
import shutil

import pytest
import torch

from amphid.dynamics import LIF, Conductance
from amphid.interfaces.command_line import main, viewed
from amphid.interfaces.command_line.entry import command_parser
from amphid.interfaces.command_line.parsing import parse
from amphid.interfaces.view import (
    Crawl,
    Event,
    Lesion,
    Session,
    Stimulate,
    body,
    export_page,
    film,
    save_film,
    save_still,
    still,
)
from amphid.simulation import Network
from amphid.wiring import Cells, Connections, Connectome

LOG = [Event(10.0, Stimulate("c2", 500.0, 20.0)), Event(25.0, Lesion("c4"))]


@pytest.fixture
def session():
    wires = Connections([0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 0], sign=1)
    synapse = {"excitatory": Conductance(tau=5.0, conductance=150.0, reversal=0.0)}
    cells = Cells([f"c{i}" for i in range(7)])
    return Session(Network(Connectome(cells, wires), neuron=LIF(), synapse=synapse), dt=0.5)


def test_a_film_is_what_a_replay_is(session):
    fired = torch.zeros(7)
    shown = [seen.copy() for seen in film(session, LOG, 50.0, pictures=100.0)]
    level = session.life.level.clone()
    session.replay([])
    session.run(10.0)
    session.act(LOG[0].action)
    session.advance(30, lambda: fired.add_(session.life.fired))
    session.act(LOG[1].action)
    session.advance(50, lambda: fired.add_(session.life.fired))
    assert len(shown) == 6
    assert torch.equal(session.life.level, level)
    assert (sum(shown) > 0).tolist() == (fired > 0).tolist()


def test_the_page_holds_every_picture_and_loads_nothing(session, tmp_path):
    path = export_page(tmp_path / "a.html", session, log=LOG, until=50.0, title="</script>&")
    text = path.read_text("utf-8")
    assert "connect-src 'none'" in text
    assert "<title>&lt;/script&gt;&amp;</title>" in text
    tape = json.loads(re.search(r'id="tape">(.*?)</script>', text, re.S)[1])
    assert len(tape["sizes"]) == 2
    assert tape["network"]["title"] == "</script>&"
    assert [event["text"] for event in tape["log"]] == ["500 pA into c2 for 20 ms", "c4 is killed"]
    assert tape["pinned"] == ["c2"]


def test_stills_and_films_are_written(session, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    session.replay(LOG, 30.0)
    assert save_still(tmp_path / "a.png", session).read_bytes()[:4] == b"\x89PNG"
    gif = save_film(tmp_path / "a.gif", session, pictures=100.0)
    assert gif.read_bytes()[:4] == b"GIF8"
    assert still(session).figure is not None
    with pytest.raises(ValueError, match="no body"):
        body(session)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
@pytest.mark.parametrize(("suffix", "begins"), [(".webm", b"\x1aE\xdf\xa3"), (".mp4", b"\0\0\0")])
def test_ffmpeg_writes_films_of_two_kinds(session, tmp_path, suffix, begins):
    pytest.importorskip("matplotlib").use("Agg")
    path = save_film(tmp_path / f"a{suffix}", session, log=LOG, until=50.0, pictures=40.0)
    assert path.read_bytes().startswith(begins)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_without_ffmpeg_its_name_and_the_way_out_are_told(monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["view", "celegans", "--webm", str(tmp_path / "a.webm")]) == 2
    told = capsys.readouterr().err
    assert "needs the program ffmpeg" in told
    assert "or write a .gif" in told


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda s, d: export_page(d / "a.htm", s, until=9.0), "must end in .html"),
        (lambda s, d: export_page(d / "b" / "a.html", s, until=9.0), "no folder"),
        (lambda s, d: export_page(d / "a.html", s), "a time and pictures above 0"),
        (lambda s, d: export_page(d / "a.html", s, until=1e9), "more than a page"),
        (lambda s, d: save_still(d / "a.jpg", s), "must end in .png"),
        (lambda s, d: save_film(d / "a.avi", s), "must end in .gif"),
        (lambda s, d: save_film(d / "a.gif", s, until=1e6), "more than a film of 3,600"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_written_is_a_sentence(session, tmp_path, write, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        write(session, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_shell_writes_a_page_of_the_worm(tmp_path, capsys):
    out = tmp_path / "touch.html"
    words = [
        "--duration",
        "60",
        "--stimulate",
        "PLML:20:10:30",
        "--poke",
        "0.3:40",
        "--crawl",
        "--json",
    ]
    assert main(["view", "celegans", "--export", str(out), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": [str(out)], "actions": 3}
    assert str(Crawl(True)) in out.read_text("utf-8")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["view"], "NETWORK is missing"),
        (["view", ""], "NETWORK is missing"),
        (["view", "celegens"], "Did you mean celegans"),
        (["view", "CELEGANS"], "Did you mean celegans"),
        (["view", "clasic"], "Did you mean classic"),
        (["view", "quetzal"], "Networks by name: celegans, classic"),
        (["view", "celegans", "--port", "-1"], "--port needs a whole number, 0 or more"),
        (["view", "celegans", "--port", "70000"], "at most 65535"),
        (["view", "celegans", "--poke", "x:3", "--export", "a.html"], "--poke needs PLACE:START"),
        (["view", "celegans", "--poke", "0.3:500"], "needs --export, --png, --gif or --webm"),
        (["view", "celegans", "--dt", "1e9"], "--dt is from 0.001 to 100 ms, got 1e+09"),
        (["view", "celegans", "--dt", "1e-9"], "--dt is from 0.001"),
        (["view", "celegans", "--dt", "nan"], "--dt"),
        (["view", "celegans", "--dt", "-1"], "--dt"),
        (["view", "celegans", "--seed", "1e30"], "--seed is from 0 to"),
        (["view", "celegans", "--noise", "1e300"], "--noise is from 0 to 1,000,000 pA"),
        (["view", "celegans", "--duration", "1e12", "--export", "a.html"], "--duration is from"),
        (["view", "classic", "--dt", "5"], "--dt: the classic worm is its own table"),
        (["view", "celegans", "--device", "cuda"], "lives on the processor"),
        (["view", "celegans", "--gif", "a.webm"], "must end in .gif"),
        (["view", "celegans", "--webm", "a.gif"], "must end in .webm or .mp4"),
        (["view", "celegans", "--gif", "a.gif", "--export", "a.txt"], "must end in .html"),
        (["view", "celegans", "--weights", "none.safetensors"], "none.safetensors"),
        (["view", "celegans", "--weights", "."], "is a folder: give a file in it"),
        (
            ["view", "celegans", "--poke", "0.3:700", "--duration", "200", "--gif", "a.gif"],
            "touch at 30% of the body comes at 700 ms, but the film ends at 200 ms",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_typed_wrongly_is_a_sentence_and_two(argv, sentence, capsys):
    assert main(argv) == 2
    assert sentence in capsys.readouterr().err


def test_a_training_is_looked_at_and_takes_no_options_of_a_session(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    assert main(["view", str(tmp_path), "--dt", "1", "--no-body"]) == 2
    assert "--dt, --no-body: " in (told := capsys.readouterr().err)
    assert "which is only looked at" in told
    assert main(["view", str(tmp_path), "--seed", "1"]) == 2
    assert main(["view", str(tmp_path), "--export", str(tmp_path / "a.html")]) == 2
    assert "only looked at live" in capsys.readouterr().err


def test_the_folder_of_a_simulation_opens_its_network_and_what_it_was_told(tmp_path, capsys):
    folder, out = tmp_path / "run", tmp_path / "a.html"
    words = ["--duration", "60", "--stimulate", "PLML:20:10:30", "--dt", "2", "--out", str(folder)]
    assert main(["simulate", "celegans", *words, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["view", str(folder), "--export", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["actions"] == 1
    assert '"dt": 2.0' in out.read_text("utf-8")
    assert main(["view", str(folder), "--export", str(out), "--dt", "4", "--json"]) == 0
    assert '"dt": 4.0' in out.read_text("utf-8")
    whole = (folder / "recording.h5").read_bytes()
    (folder / "recording.h5").write_bytes(whole[: len(whole) // 2])
    assert main(["view", str(folder), "--export", str(out)]) == 2
    assert f"amphid simulate --config {folder / 'config.toml'}" in capsys.readouterr().err


def test_a_session_that_was_recorded_opens_again_with_all_that_was_done(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["view", "celegans", "--no-body", "--noise", "0.5", "--seed", "4"]
    arguments = parse(command_parser(), words)
    arguments.argv = words
    looked_at = viewed.opened(arguments)
    session = looked_at.session
    session.record()
    session.run(20.0)
    session.act(Stimulate("PLML", 20.0, 15.0))
    session.act(Lesion("AVAL"))
    session.run(60.0)
    folder = viewed.kept(looked_at, arguments)
    assert "torch" not in (folder / "session.py").read_text("utf-8")  # nothing in it needs that
    again = parse(command_parser(), ["view", str(folder), "--no-body"])
    again.config, again.network = folder / "config.toml", None
    opened = viewed.opened(again)
    assert opened.log == session.log
    opened.session.replay(opened.log, opened.until)
    assert torch.equal(opened.session.life.level, session.life.level)
    assert main(["view", str(folder), "--export", "a.html", "--no-body"]) == 0
    assert "AVAL is killed" in (tmp_path / "a.html").read_text("utf-8")
    (folder / "run.json").write_text('{"log": [{"time": 1, "action": "open(\'x\')"}]}')
    assert main(["view", str(folder), "--export", "a.html"]) == 2
    assert "holds no log of a session" in capsys.readouterr().err
    (folder / "config.toml").unlink()  # as of the classic worm, which has none
    assert main(["view", str(folder)]) == 2
    assert f"python {folder / 'session.py'} repeats it" in capsys.readouterr().err


def test_the_classic_worm_is_exported_with_its_body(tmp_path, capsys):
    out = tmp_path / "a.html"
    words = ["--stimulate", "PLML:1:1000:3000", "--poke", "0.01:600", "--duration", "2000"]
    code = main(["view", "classic", "--export", str(out), *words, "--json"])
    if code and "worm_web_sim" in (told := capsys.readouterr().err):
        pytest.skip(told)
    assert json.loads(capsys.readouterr().out)["actions"] == 2
    assert "a tail that is dragged" in out.read_text("utf-8")
