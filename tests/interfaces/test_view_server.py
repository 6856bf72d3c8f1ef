"""The page's server: loopback, a token, the page's own origin; nothing that is said stops it."""

import json
import random
import signal
import socket as socket_module
import subprocess
import sys
import threading
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch

from amphid.dynamics import LIF, Conductance
from amphid.interfaces.command_line import main
from amphid.interfaces.view import Session, Stimulate, export_page
from amphid.interfaces.view import stage as stages
from amphid.interfaces.view.messages import read_message
from amphid.interfaces.view.reel import Reel
from amphid.interfaces.view.script import python_of
from amphid.interfaces.view.stage import Client, Stage
from amphid.interfaces.view.wire import DEAD, DRIVEN, FIRED, HEADER, MAGIC, frame
from amphid.simulation import Network
from amphid.wiring import Cells, Connections, Connectome

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra web")
client = pytest.importorskip("websockets.sync.client", reason="needs the extra web")
server = pytest.importorskip("amphid.interfaces.view.server")
exceptions = pytest.importorskip("websockets.exceptions")

N = 7
RECIPE = (
    "import torch\nimport amphid as am\n",
    "from amphid import dynamics, wiring\n"
    "cells = wiring.Cells([f'c{i}' for i in range(7)])\n"
    "wires = wiring.Connections([0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 0], sign=1)\n"
    "net = am.Network(wiring.Connectome(cells, wires), neuron=dynamics.LIF(),\n"
    "    synapse={'excitatory': dynamics.Conductance(tau=5.0, conductance=150.0, reversal=0.0)})\n",
)


def network():
    wires = Connections([0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 0], sign=1)
    synapse = {"excitatory": Conductance(tau=5.0, conductance=150.0, reversal=0.0)}
    cells = Cells([f"c{i}" for i in range(N)])
    return Network(Connectome(cells, wires), neuron=LIF(), synapse=synapse)


class Served:
    """A server in a thread."""

    def __init__(self, tmp_path):
        self.session = Session(network(), dt=0.5, seed=2, noise=20.0)
        self.stage = Stage(self.session, title="Ring", recipe=RECIPE, keep=lambda s: tmp_path)
        self.listening = server._listening(0)
        self.door = server.Door(self.listening.getsockname()[1])
        config = uvicorn.Config(
            server.application(self.stage, self.door),
            ws="websockets-sansio",
            ws_max_size=1 << 16,
            log_level="critical",
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True
        )
        self.thread.start()
        wait_until(lambda: self.server.started)

    def connect(self, origin=None, token=None):
        origin = f"http://127.0.0.1:{self.door.port}" if origin is None else origin
        token = self.door.token if token is None else token
        address = f"ws://127.0.0.1:{self.door.port}/live?token={token}"
        return client.connect(address, origin=origin, compression=None, close_timeout=1)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(30)
        self.listening.close()


@pytest.fixture
def served(tmp_path):
    made = Served(tmp_path)
    yield made
    made.stop()


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def answer(socket, number):
    """What the server says to a message, pictures passed over."""
    while True:
        heard = socket.recv(timeout=60)
        if isinstance(heard, str) and json.loads(heard).get("id") == number:
            return json.loads(heard)


def ask(socket, number, **words):
    socket.send(json.dumps({"id": number, **words}))
    return answer(socket, number)


def picture(socket, wanted=lambda told: True):
    while True:
        heard = socket.recv(timeout=60)
        if isinstance(heard, bytes) and wanted(told := read(heard)):
            return told


def drain(socket):
    while True:
        socket.recv(timeout=60)


def read(data):
    magic, number, now, speed, _, flags, watched, samples, cells, actions = HEADER.unpack_from(data)
    assert magic == MAGIC
    at = HEADER.size
    change = np.frombuffer(data, "<f2", cells, at)
    marks = np.frombuffer(data, "u1", cells, at + 2 * cells)
    at += 3 * cells + (-(at + 3 * cells)) % 4
    who = np.frombuffer(data, "<u4", watched, at)
    level = np.frombuffer(data, "<f4", watched * samples, at + 4 * watched)
    return {
        "number": number, "time": now, "speed": speed, "flags": flags, "actions": actions,
        "change": change, "marks": marks, "watched": who, "level": level.reshape(watched, samples),
    }  # fmt: skip


def test_a_picture_tells_what_the_session_is():
    session = Session(network(), dt=0.5)
    session.act(Stimulate("c2", 400.0, 30.0))
    session.act(type(session.log[0].action)("c3", 0.0))
    session.advance(11)
    fired = np.zeros(N, bool)
    fired[4] = True
    levels = np.arange(6, dtype=np.float32).reshape(3, 2)
    told = read(frame(session, number=5, fired=fired, watched=(1, 4), samples=levels))
    assert (told["number"], told["time"], told["actions"]) == (5, 5.5, 2)
    expected = (session.life.level - session.rest).numpy()
    np.testing.assert_allclose(told["change"], expected, rtol=1e-3)
    assert told["marks"].tolist() == [0, 0, DRIVEN, 0, FIRED, 0, 0]
    assert told["watched"].tolist() == [1, 4]
    np.testing.assert_array_equal(told["level"], levels.T)


def test_only_the_address_that_was_printed_opens_the_page(served):
    good = urlopen(served.door.address, timeout=60)
    text = good.read().decode()
    assert "<title>Ring</title>" in text
    assert "default-src 'none'" in text
    for address, host in [
        (f"http://127.0.0.1:{served.door.port}/", None),
        (f"http://127.0.0.1:{served.door.port}/?token=guess", None),
        (f"http://127.0.0.1:{served.door.port}/network?token=", None),
        (served.door.address, "evil.example"),
    ]:
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(address, headers={"Host": host} if host else {}), timeout=60)
        assert refused.value.code == 403
        refused.value.close()
    good.close()


@pytest.mark.parametrize(
    ("origin", "token"),
    [("http://evil.example", None), ("null", None), (None, "guess"), (None, "")],
)
def test_the_socket_opens_only_for_our_own_page(served, origin, token):
    with pytest.raises(exceptions.InvalidStatus, match="403"):
        served.connect(origin, token)


def test_gestures_are_done_told_to_all_pages_and_repeat_as_python(served):
    with served.connect() as one, served.connect() as two:
        assert ask(one, 1, op="pause")["op"] == "ack"
        assert ask(one, 2, op="stimulate", cell="c0", amplitude=500.0)["op"] == "ack"
        assert ask(two, 3, op="lesion", cell="c3")["op"] == "ack"
        assert ask(one, 4, op="speed", value=10.0)["op"] == "ack"
        assert ask(two, 5, op="watch", cells=["c1", "c1"])["op"] == "ack"
        assert ask(one, 6, op="play")["op"] == "ack"
        told = picture(two, lambda told: told["time"] > 40 and told["level"].shape[1])
        assert told["marks"][3] & DEAD
        assert told["marks"][0] & DRIVEN
        assert told["watched"].tolist() == [1]
        ask(one, 7, op="pause")
        script = ask(one, 8, op="script")["text"]
        level, time_ = served.session.life.level.clone(), served.session.time
    made = {}
    exec(script, made)
    assert made["session"].time == time_
    assert torch.equal(made["session"].life.level, level)
    assert made["run"].v.shape == (round(time_ / 0.5), N)


def test_what_the_page_saves_is_the_file_that_a_replay_exports(served, tmp_path):
    with served.connect() as socket:
        ask(socket, 1, op="stimulate", cell="c0", amplitude=500.0)
        picture(socket, lambda told: told["time"] > 60)
        ask(socket, 2, op="lesion", cell="c3")
        ask(socket, 3, op="pause")
        while round(served.session.steps * 0.5) % 100:
            ask(socket, 4, op="step")
        saved = ask(socket, 5, op="export")["text"]
    replayed = Session(network(), dt=0.5, seed=2, noise=20.0)
    until, log = served.session.time, served.session.log
    path = export_page(tmp_path / "a.html", replayed, log=log, until=until, title="Ring")
    assert saved == path.read_text("utf-8")


def test_a_long_session_keeps_half_as_many_pictures_and_all_who_fired():
    session = Session(network(), dt=0.5)
    reel = Reel(session, most=1500)
    session.act(Stimulate("c0", 900.0, 100.0))
    fired = np.zeros(N, bool)

    def heard():
        reel.take()
        np.logical_or(fired, session.life.fired.numpy(), out=fired)

    session.advance(2000, heard)
    pictures = [read(made) for made in reel.frames]
    assert sum(map(len, reel.frames)) <= 1500
    times = [told["time"] for told in pictures]
    assert times[0] == 0.0
    assert max(np.diff(times)) <= 1000 / reel.pictures + 0.5
    shown = np.any([told["marks"] & FIRED for told in pictures], 0)
    assert shown.tolist() == fired.tolist()


def test_a_page_that_comes_back_finds_everything(served):
    with served.connect() as socket:
        ask(socket, 1, op="lesion", cell="c5")
    with served.connect() as socket:
        hello = json.loads(socket.recv(timeout=60))
        assert hello["op"] == "hello"
        assert [event["text"] for event in hello["log"]] == ["c5 is killed"]
        assert picture(socket)["marks"][5] & DEAD


def test_time_stands_still_without_a_page_and_while_paused(served):
    with served.connect() as socket:
        picture(socket, lambda told: told["time"] > 5)
    wait_until(lambda: not served.stage.clients)
    time.sleep(0.2)
    before = served.session.steps
    time.sleep(0.2)
    assert served.session.steps == before
    with served.connect() as socket:
        ask(socket, 1, op="pause")
        before = served.session.steps
        ask(socket, 2, op="step")
        assert served.session.steps == before + 1
        ask(socket, 3, op="reset", seed=9)
        assert (served.session.steps, served.session.seed, served.session.log) == (0, 9, [])


BAD = [
    "", "[", "3", "null", "[]", '{"op": "fly"}', '{"op": ["play"]}', "{}", '{"op": "lesion"}',
    '{"op": "stimulate", "cell": "c1", "amplitude": "much"}',
    '{"op": "stimulate", "cell": "c1", "amplitude": NaN}',
    '{"op": "stimulate", "cell": "c1", "amplitude": 1e308}',
    '{"op": "stimulate", "cell": "c1", "amplitude": 1, "extra": 1}',
    '{"op": "lesion", "cell": "nobody"}', '{"op": "lesion", "cell": 3}',
    '{"op": "poke", "place": 0.5}', '{"op": "poke", "place": 2}', '{"op": "feed", "x": 0}',
    '{"op": "speed", "value": 0}', '{"op": "speed", "value": 11}', '{"op": "reset", "seed": -1}',
    '{"op": "reset", "seed": 1.5}', '{"op": "watch", "cells": "c1"}',
    '{"op": "watch", "cells": ' + json.dumps(["c1"] * 13) + "}", '{"op": "links", "cell": ""}',
    '{"op": "record"}', '{"op": "record", "on": 1}', '{"op": "record", "on": "yes"}',
    "[" * 5000, '{"op": "lesion", "cell": "' + "c" * 9000 + '"}',
]  # fmt: skip


def test_what_cannot_be_read_is_answered_in_a_sentence(served):
    with served.connect() as socket:
        ask(socket, 1, op="pause")
        for text in BAD:
            socket.send(text)
            heard = answer(socket, 0)
            assert heard["op"] == "error", text[:80]
            assert heard["message"].endswith((".", "?")), heard
            assert "Traceback" not in heard["message"]
        socket.send(b"\x00\xff")
        assert "text" in answer(socket, 0)["message"]
        assert ask(socket, 2, op="step")["op"] == "ack"
        assert served.session.log == []


def test_noise_on_the_socket_does_not_stop_it(served):
    draw = random.Random(3)
    with served.connect() as socket:
        for _ in range(60):
            letters = draw.choices('{}[]":,0123456789.eopcell play\\u0000\n', k=draw.randrange(200))
            socket.send("".join(letters))
            socket.send(draw.randbytes(draw.randrange(1, 50)))
        assert answer(socket, 0)["op"] == "error"
    with served.connect() as socket:
        assert ask(socket, 9, op="step")["op"] == "ack"


def test_too_many_and_too_large_messages_are_turned_away(served):
    with served.connect() as socket:
        for _ in range(400):
            socket.send('{"op": "play"}')
        while "too many" not in answer(socket, 0).get("message", ""):
            pass
    with served.connect() as socket:
        socket.send("x" * (1 << 17))
        with pytest.raises(exceptions.ConnectionClosed):
            drain(socket)
    with served.connect() as socket:
        assert ask(socket, 9, op="step")["op"] == "ack"


def test_a_page_that_reads_nothing_is_told_to_come_anew_and_fills_no_memory(monkeypatch):
    monkeypatch.setattr(stages, "UNREAD", 5)
    client = Client()
    for k in range(7):
        client.tell(op="event", time=k)
    assert client.behind
    assert not client.texts


def test_a_page_that_was_behind_comes_back_and_finds_everything(served):
    with served.connect() as socket:
        ask(socket, 1, op="lesion", cell="c5")
        (client,) = served.stage.clients
        client.behind = True
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            drain(socket)
        assert closed.value.rcvd.code == server.LATE
    with served.connect() as socket:
        assert len(json.loads(socket.recv(timeout=60))["log"]) == 1


def test_the_log_and_the_pages_on_their_way_are_bounded(served, monkeypatch):
    monkeypatch.setattr(stages, "ACTIONS", 2)
    with served.connect() as socket:
        for number in (1, 2):
            assert ask(socket, number, op="lesion", cell="c5")["op"] == "ack"
        assert "then reset" in ask(socket, 3, op="lesion", cell="c5")["message"]
        ask(socket, 4, op="reset")
        assert ask(socket, 5, op="lesion", cell="c5")["op"] == "ack"
    client = Client()
    client.tell(op="ack", text="x" * stages.LONG)
    with pytest.raises(ValueError, match="on its way"):
        served.stage._played(client, read_message('{"op": "export", "id": 7}'))


def test_a_server_that_stops_says_so(tmp_path):
    served = Served(tmp_path)
    with served.connect() as socket:
        picture(socket)
        served.server.should_exit = True
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            drain(socket)
        assert closed.value.rcvd.code in (1001, 1012)
    served.stop()


def test_recording_starts_and_ends_in_a_folder(served, tmp_path):
    with served.connect() as socket:
        assert ask(socket, 1, op="record", on=True) == {"op": "ack", "id": 1, "recording": True}
        picture(socket, lambda told: told["time"] > 3 and told["flags"] & 2)
        assert ask(socket, 2, op="record", on=False)["folder"] == str(tmp_path)
        assert served.session.tape is None


def test_two_pages_that_ask_for_the_same_recording_agree(served, tmp_path):
    """A toggle that two pages asked for, or one asked for twice, was left the wrong way round."""
    with served.connect() as one, served.connect() as two, served.connect() as third:
        ask(one, 1, op="record", on=True)
        ask(two, 2, op="pause")
        ask(two, 3, op="step")
        tape = served.session.tape
        assert ask(two, 4, op="record", on=True)["recording"]
        assert served.session.tape is tape
        assert ask(two, 5, op="record", on=False)["folder"] == str(tmp_path)
        assert ask(one, 6, op="record", on=False) == {"op": "ack", "id": 6, "recording": False}
        ask(one, 7, op="record", on=True)
        assert ask(two, 8, op="record", on=False)["folder"] is None  # time stood still
        assert recorded(third) == [str(tmp_path), None]


def recorded(socket):
    """The folders of which a page was told that asks for nothing but this."""
    socket.send('{"op": "pause", "id": 99}')
    folders = []
    while True:
        heard = socket.recv(timeout=60)
        told = json.loads(heard) if isinstance(heard, str) else {}
        if told.get("op") == "recorded":
            folders.append(told["folder"])
        if told.get("id") == 99:
            return folders


def test_a_port_is_free_again_as_soon_as_its_server_is_gone():
    first = server._listening(0)
    port = first.getsockname()[1]
    caller = socket_module.create_connection(("127.0.0.1", port))
    heard, _ = first.accept()
    heard.close()  # the side that closes first keeps its end for a minute
    caller.close()
    first.close()
    server._listening(port).close()


def test_a_taken_port_is_a_sentence():
    taken = server._listening(0)
    with taken, pytest.raises(ValueError, match="is taken"):
        server._listening(taken.getsockname()[1])


def test_the_script_of_an_unknown_network_says_so():
    session = Session(network(), dt=0.5)
    session.advance(2)
    assert "net = ...  # the network" in python_of(session)


def test_the_shell_serves_until_it_is_interrupted():
    words = [sys.executable, "-m", "amphid", "view", "celegans", "--json", "--no-body"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ran:
        try:
            told = "".join(ran.stdout.readline() for _ in range(3))
            with urlopen(json.loads(told)["address"], timeout=60) as page:
                assert "C. elegans, graded cells" in page.read().decode()
            ran.send_signal(signal.SIGINT)
            assert ran.wait(60) == 0
        finally:
            ran.kill()


def test_without_the_extra_the_way_out_is_told(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["view", "celegans", "--no-browser", "--no-body"]) == 3
    assert "pip install 'amphid[web]'" in capsys.readouterr().err
