"""The page in a notebook: the same stage, reached by messages instead of a socket."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from amphid.dynamics import LIF
from amphid.interfaces.view import Session
from amphid.interfaces.view.stage import Stage
from amphid.interfaces.view.widget import Carrier, widget
from amphid.interfaces.view.wire import HEADER
from amphid.simulation import Network
from amphid.wiring import Cells, Connections, Connectome


@pytest.fixture
def session():
    return Session(
        Network(Connectome(Cells([f"c{i}" for i in range(5)]), Connections()), neuron=LIF()), dt=0.5
    )


def test_messages_are_answered_and_pictures_carried(session):
    sent, pictures = [], []

    def send(words, buffers=()):
        sent.append(words)
        pictures.extend(buffers)

    async def talk():
        carrier = Carrier(Stage(session), send)
        carrier.hear("ready")
        carrier.hear(json.dumps({"op": "pause", "id": 1}))
        carrier.hear(json.dumps({"op": "lesion", "cell": "c3", "id": 2}))
        carrier.hear(json.dumps({"op": "fly", "id": 3}))
        carrier.hear({"op": "play"})
        while {"op": "ack", "id": 2} not in sent or len(pictures) < 1:
            await asyncio.sleep(0.01)
        carrier.stop()

    with ThreadPoolExecutor(1) as thread:  # a browser's tests leave a loop in this one
        thread.submit(asyncio.run, talk()).result()
    assert sent[0]["op"] == "hello"
    assert [words["id"] for words in sent if words["op"] == "error"] == [3, 0]
    assert HEADER.unpack_from(pictures[-1])[-2:] == (5, 1)
    assert session.dead == (3,)


def test_the_widget_holds_the_page(session):
    pytest.importorskip("anywidget", reason="needs the extra notebook")
    made = widget(session, title="In <b>", height=500)
    assert made.height == 500
    assert '"host": true' in made.page
    assert "<title>In &lt;b&gt;</title>" in made.page
    made.close()
