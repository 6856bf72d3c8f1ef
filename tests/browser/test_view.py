"""The live page in a browser: it draws, answers gestures, comes back, and says when it is over."""

import base64
import json
import threading
import time
from importlib import resources

import pytest
from waiting import PATIENCE, until

from amphid.dynamics import LIF, Conductance, Graded, graded_synapses
from amphid.interfaces.view import Event, Lesion, Session, Stimulate, export_page, sheet, wire
from amphid.interfaces.view.stage import Stage
from amphid.models import Worm
from amphid.simulation import Network
from amphid.wiring import Cells, Connections, Connectome, by_transmitter, celegans

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra web")
pytest.importorskip("websockets", reason="needs the extra web")
server = pytest.importorskip("amphid.interfaces.view.server")

pytestmark = pytest.mark.browser


class Served:
    """The worm with its body, served from a thread."""

    def __init__(self, port=0):
        worm = celegans(signs=by_transmitter)
        net = Network(worm, neuron=Graded(), synapse=graded_synapses())
        self.stage = Stage(Session(net, dt=5.0, worm=Worm(worm)), title="Worm <&>")
        self.listening = server._listening(port)
        self.door = server.Door(self.listening.getsockname()[1])
        config = uvicorn.Config(
            server.application(self.stage, self.door),
            ws="websockets-sansio",
            log_level="critical",
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    @property
    def session(self):
        return self.stage.session

    def stop(self):
        self.server.should_exit = True
        self.thread.join(30)
        self.listening.close()


@pytest.fixture(scope="module")
def served():
    made = Served()
    yield made
    made.stop()


@pytest.fixture
def opened(chromium, served):
    """Opens the page in a new window; no error and no request elsewhere may come of it."""
    contexts, complaints = [], []

    def open_page(width=1280, height=900, scheme="light", address=None):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        own = f"127.0.0.1:{served.door.port}"
        page.on(
            "request",
            lambda request: (
                complaints.append(request.url)
                if own not in request.url and not request.url.startswith("data:")
                else None
            ),
        )
        page.goto(address or served.door.address)
        if address is None:
            until(page, "window.amphid.pictures > 0 && window.amphid.frames > 1")
        return page

    served.session.reset()
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def spot_of(page, name):
    page.locator("#cells").scroll_into_view_if_needed()
    box = page.locator("#cells").bounding_box()
    x, y = page.evaluate("(name) => window.amphid.spot(name)", name)
    return box["x"] + x, box["y"] + y


def pause(page):
    page.locator("#play").click()
    until(page, "!amphid.playing")


@pytest.mark.parametrize(
    ("width", "scheme"), [(1440, "light"), (820, "dark"), (360, "light"), (360, "dark")]
)
def test_it_fits_every_width_and_is_not_blank(opened, width, scheme):
    page = opened(width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("h1").inner_text() == "Worm <&>"
    colors = """(id) => {
      const canvas = document.getElementById(id);
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] > 200) seen.add([0, 1, 2].map((k) => data[i + k] >> 4).join());
      }
      return seen.size;
    }"""
    assert page.evaluate(colors, "cells") > 8
    assert page.evaluate(colors, "dish") > 3


PIXELS = "(id) => document.getElementById(id).toDataURL()"


def seen(page, *ids):
    """What canvases show once nothing more is to be drawn."""
    until(page, "amphid.settled")
    return [page.evaluate(PIXELS, name) for name in ids]


def test_turned_there_and_back_the_cells_look_as_before(opened):
    page = opened()
    page.mouse.click(*spot_of(page, "DB6"))
    until(page, "amphid.value('DB6') > 1")
    pause(page)
    before = seen(page, "cells")
    page.locator("#cells").press("ArrowRight")
    assert seen(page, "cells") != before
    page.locator("#cells").press("ArrowLeft")
    assert seen(page, "cells") == before
    page.locator("#play").click()


def test_what_moves_between_pictures_ends_at_the_newest(opened):
    page = opened()
    page.locator("#dish").press("2")
    until(page, "amphid.actions === 1")
    page.mouse.click(*spot_of(page, "DB6"))
    until(page, "amphid.value('DB6') > 1")
    pause(page)
    other = opened()  # knows of this one picture alone
    for one in (page, other):
        until(one, "amphid.settled")
    assert page.evaluate("amphid.time") == other.evaluate("amphid.time")
    ends = "Array.from({length: 11}, (_, k) => amphid.bodySpot(k / 10))"
    assert page.evaluate(ends) == other.evaluate(ends)
    page.locator("#play").click()


def test_while_time_stands_still_all_that_is_done_is_told_at_once(opened):
    page = opened()
    pause(page)
    page.locator("#find").fill("AVAL")
    page.locator("#find").press("Enter")
    told = "document.getElementById('lesion').textContent"
    for _ in range(2):
        page.locator("#cells").press("k")
        until(page, f"amphid.dead('AVAL') && {told} === 'Restore'")
        page.locator("#cells").press("k")
        until(page, f"!amphid.dead('AVAL') && {told} === 'Kill'")
    smell = "document.getElementById('smell').textContent"
    page.locator("#dish").press("f")
    until(page, f"{smell}.startsWith('Food')")
    page.locator("#reset").click()
    until(page, f"{smell} === ''")
    page.locator("#play").click()


def test_a_click_stimulates_a_shift_click_kills_and_again_restores(opened, served):
    page = opened()
    page.mouse.click(*spot_of(page, "DB6"))
    until(page, "amphid.actions === 1 && amphid.value('DB6') > 0")
    assert page.locator("#cell-title").inner_text() == "DB6"
    page.keyboard.down("Shift")
    page.mouse.click(*spot_of(page, "DB6"))
    until(page, "amphid.dead('DB6')")
    page.mouse.click(*spot_of(page, "DB6"))
    until(page, "!amphid.dead('DB6')")
    page.keyboard.up("Shift")
    assert [type(event.action).__name__ for event in served.session.log] == [
        "Stimulate",
        "Lesion",
        "Restore",
    ]
    assert served.session.log[0].action.amplitude == 20.0
    assert page.locator("#log li").count() == 3
    page.keyboard.down("Alt")
    page.mouse.click(*spot_of(page, "DD4"))
    page.keyboard.up("Alt")
    assert page.evaluate("amphid.picked") == "DD4"
    assert len(served.session.log) == 3


def test_time_is_paused_stepped_slowed_and_begun_again(opened, served):
    page = opened()
    pause(page)
    before = served.session.steps
    page.locator("#step").click()
    until(page, f"amphid.time === {5.0 * (before + 1)}")
    page.locator("#speed").fill("-1")
    until(page, "amphid.state.speed === 0.1")
    while served.stage.speed != 0.1:
        page.wait_for_timeout(20)
    page.locator("#seed").fill("7")
    page.locator("#reset").click()
    until(page, "amphid.time === 0")
    assert served.session.seed == 7
    page.locator("#play").click()
    until(page, "amphid.playing && amphid.time > 0")


def test_everything_is_reached_by_keyboard(opened, served):
    page = opened()
    page.locator("body").press("/")
    page.keyboard.type("AVAL")
    page.keyboard.press("Enter")
    until(page, "amphid.picked === 'AVAL'")
    page.locator("#cells").focus()
    page.keyboard.press("s")
    until(page, "amphid.actions === 1")
    page.keyboard.press("k")
    until(page, "amphid.dead('AVAL')")
    page.keyboard.press("k")
    until(page, "!amphid.dead('AVAL')")
    page.keyboard.press("]")
    until(page, "amphid.picked === 'AVAR'")
    page.keyboard.press("p")
    assert page.locator("#traces canvas").count() == 2
    page.locator("#dish").press("3")
    until(page, "amphid.actions === 4")
    page.locator("#dish").press("f")
    until(page, "amphid.actions === 5")
    assert str(served.session.log[3].action) == "touch at 80% of the body"
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, canvas")].filter((item) =>
          !item.textContent.trim() && !item.ariaLabel && !item.labels?.length).length"""
    )
    assert unnamed == 0


def test_a_cell_is_found_in_any_case_and_near_ones_are_told(opened):
    """What was typed in small letters, or was a class, was wiped away without a word."""
    page = opened()
    box = page.locator("#find")
    for text, found in [("aval", "AVAL"), ("PLMR", "PLMR"), ("vd13", "VD13"), ("", None)]:
        box.fill(text)
        box.press("Enter")
        assert page.evaluate("amphid.picked") == found
    for text, told in [("AVA", "There are AVAL, AVAR."), ("zz", "No cell is called zz.")]:
        box.fill(text)
        box.press("Enter")
        assert told in page.locator("#banner").inner_text()
        assert box.input_value() == text


def test_the_worm_is_touched_where_it_is_clicked(opened, served):
    page = opened()
    page.locator("#dish").scroll_into_view_if_needed()
    pause(page)
    box = page.locator("#dish").bounding_box()
    x, y = page.evaluate("amphid.bodySpot(0.75)")
    page.mouse.click(box["x"] + x, box["y"] + y)
    until(page, "amphid.actions === 1")
    assert served.session.log[0].action.place == pytest.approx(0.75, abs=0.05)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 60)
    until(page, "amphid.actions === 2")
    assert abs(served.session.log[1].action.x) < 30
    assert served.session.log[1].action.y > 300
    page.locator("#crawl").check()
    until(page, "amphid.actions === 3")
    page.locator("#play").click()


def test_the_table_says_what_the_picture_shows(opened):
    page = opened()
    pause(page)
    page.locator("#table-box summary").click()
    until(page, "document.querySelectorAll('#table tr').length === 397")
    row = page.locator("#table tr", has_text="AVAL").first
    until(page, "document.querySelector('#table tr td:nth-child(4)').textContent !== ''")
    assert "mV" in row.inner_text()
    page.locator("#play").click()


def test_the_script_is_shown_and_copied(opened):
    page = opened()
    page.locator("#cells").press("]")
    page.locator("#script").click()
    until(page, "document.getElementById('code-text').textContent.includes('session.run(')")


def test_an_error_is_shown_and_the_page_lives_on(opened):
    page = opened()
    page.locator("#record").click()
    until(page, "amphid.errors === 1")
    assert "no place to write" in page.locator("#banner").inner_text()
    before = page.evaluate("amphid.pictures")
    until(page, f"amphid.pictures > {before}")


def test_a_notice_stays_in_sight_wherever_the_page_is_scrolled(opened):
    for width in (1280, 390):
        page = opened(width=width, height=700)
        page.locator("#record").click()  # which is refused in a banner
        until(page, "amphid.errors === 1")
        page.evaluate("scrollTo(0, 600)")
        assert page.evaluate("scrollY") > 100
        box = page.locator("#banner").bounding_box()
        assert 0 <= box["y"] < 200


def test_a_page_and_an_image_are_saved_from_the_page(opened, chromium, tmp_path):
    page = opened()
    page.mouse.click(*spot_of(page, "DB6"))
    until(page, "amphid.actions === 1 && amphid.time > 100")
    with page.expect_download() as image:
        page.locator("#image").click()
    assert image.value.suggested_filename.endswith("ms.png")
    assert image.value.path().read_bytes()[:4] == b"\x89PNG"
    with page.expect_download() as film:
        page.locator("#export").click()
    film.value.save_as(tmp_path / "a.html")
    context = chromium.new_context()
    tape = context.new_page()
    tape.goto((tmp_path / "a.html").as_uri())
    until(tape, "window.amphid && amphid.frames > 1")
    assert tape.locator("#log li").count() == 1
    assert tape.locator("#image").is_visible()
    assert not tape.locator("#export").is_visible()
    context.close()


def test_many_cells_without_kinds_open_at_once_and_are_painted(chromium, tmp_path):
    """Cells were once grouped by a look at all others: 20,000 would take minutes."""
    count = 20_011
    wires = Connectome(Cells([f"c{i}" for i in range(count)]), Connections([0], [1], sign=1))
    synapse = {"excitatory": Conductance(tau=5.0, conductance=1.0, reversal=0.0)}
    session = Session(Network(wires, neuron=LIF(), synapse=synapse), dt=20.0)
    path = export_page(tmp_path / "a.html", session, log=[], until=40.0)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    until(page, "window.amphid && amphid.frames > 1")
    painted = """() => {
      const canvas = document.getElementById("cells");
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.filter((value, i) => i % 4 === 3 && value === 255).length;
    }"""
    assert page.evaluate(painted) > 10_000
    context.close()


def test_few_connections_are_drawn_as_strong_lines(chromium, tmp_path):
    cells = Cells(list("abcdefg"))
    wires = Connectome(cells, Connections([0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 0], sign=1))
    session = Session(
        Network(
            wires,
            neuron=LIF(),
            synapse={"excitatory": Conductance(tau=5.0, conductance=1.0, reversal=0.0)},
        ),
        dt=1.0,
    )
    path = export_page(tmp_path / "a.html", session, log=[], until=40.0)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    until(page, "window.amphid && amphid.frames > 1")
    darkest = """() => {
      const [[x, y], [p, q]] = [amphid.spot("a"), amphid.spot("b")];
      const canvas = document.getElementById("cells");
      const ratio = canvas.width / canvas.clientWidth;
      const at = [(x + p) / 2 - 3, (y + q) / 2 - 3].map((px) => px * ratio);
      const {data} = canvas.getContext("2d").getImageData(...at, 6 * ratio, 6 * ratio);
      return Math.max(...data.filter((_, i) => i % 4 === 3));
    }"""
    assert page.evaluate(darkest) > 90
    context.close()


def test_two_pages_show_one_session(opened, served):
    one, two = opened(), opened()
    one.mouse.click(*spot_of(one, "VD8"))
    until(two, "amphid.actions === 1")
    assert two.locator("#log li").count() == 1
    pause(two)
    until(one, "!amphid.playing")
    assert one.evaluate("amphid.time") == two.evaluate("amphid.time") == served.session.time
    two.locator("#play").click()
    served.session.record()  # whoever began to
    for page in (one, two):
        until(page, "document.getElementById('record-text').textContent === 'Stop and save'")
    served.session.tape = None
    until(one, "document.getElementById('record-text').textContent === 'Record'")


def test_a_recording_is_asked_for_once_ends_once_and_is_told_to_both(
    opened, served, monkeypatch, tmp_path
):
    monkeypatch.setattr(served.stage, "keep", lambda session: tmp_path / "kept")
    one, two = opened(), opened()
    one.locator("#record").evaluate("(button) => { button.click(); button.click(); }")
    for page in (one, two):
        until(page, "document.getElementById('record-text').textContent === 'Stop and save'")
    two.locator("#record").click()
    for page in (one, two):
        until(page, "document.getElementById('record-text').textContent === 'Record'")
        until(page, "!document.getElementById('banner').hidden")
        assert (
            page.locator("#banner").inner_text()
            == f"Recorded into {tmp_path / 'kept'}; session.py in it repeats it."
        )
    assert served.session.tape is None


def test_a_wrong_token_is_refused(opened, served):
    page = opened(address=f"http://127.0.0.1:{served.door.port}/?token=guess")
    assert "only by the address" in page.locator("body").inner_text()


def test_a_server_that_ends_is_told_on_the_page(chromium):
    served = Served()
    context = chromium.new_context()
    page = context.new_page()
    page.goto(served.door.address)
    until(page, "window.amphid && window.amphid.pictures > 0")
    served.stop()
    until(page, "amphid.connection === 'stopped'")
    assert "has stopped" in page.locator("#banner").inner_text()
    context.close()


def test_an_exported_page_opens_from_disk_plays_and_is_scrubbed(chromium, tmp_path):
    worm = celegans(signs=by_transmitter)
    net = Network(worm, neuron=Graded(), synapse=graded_synapses())
    session = Session(net, dt=5.0, worm=Worm(worm))
    log = [Event(50.0, Stimulate("PLML", 20.0, 100.0)), Event(100.0, Lesion("AVAL"))]
    path = export_page(tmp_path / "a.html", session, log=log, until=300.0, title="Film")
    context = chromium.new_context()
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    until(page, "window.amphid && amphid.time === 300 && !amphid.playing")  # it plays to its end
    page.locator("#scrub").fill("2")
    until(page, "Math.abs(amphid.time - 65) < 6")
    assert page.evaluate("amphid.value('PLML')") > 0
    assert not page.evaluate("amphid.dead('AVAL')")
    page.locator("#scrub").fill("9")
    until(page, "amphid.dead('AVAL')")
    assert page.evaluate("amphid.value('PLML')") == pytest.approx(
        float(session.life.level[session.place_of("PLML")]), abs=0.1
    )
    assert page.locator("#log li").count() == 2
    assert not page.locator("#record").is_visible()
    assert errors == []
    context.close()


def test_in_a_notebook_the_page_talks_through_the_window_around_it(chromium):
    worm = celegans(signs=by_transmitter)
    session = Session(
        Network(worm, neuron=Graded(), synapse=graded_synapses()), dt=5.0, worm=Worm(worm)
    )
    script = resources.files("amphid.interfaces.view") / "page" / "widget.js"
    tape = {"host": True, "network": wire.network(session, title="Notebook")}
    context = chromium.new_context()
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content("<body></body>")
    page.evaluate(
        """async ({script, text}) => {
          const {default: {render}} = await import(URL.createObjectURL(
            new Blob([script], {type: "text/javascript"})));
          window.said = [];
          window.kept = {page: text, title: "Notebook", height: 700};
          document.body.dataset.jpThemeLight = "false"; // as JupyterLab says that it is dark
          const model = {
            get: (name) => window.kept[name],
            set: (name, value) => (window.kept[name] = value),
            send: (content) => {
              if (window.gone) throw new Error("Cannot send");
              window.said.push(content);
            },
            on: (_, heard) => (window.tell = heard),
          };
          window.again = () => render({model, el: document.body});
          render({model, el: document.body});
        }""",
        {"script": script.read_text("utf-8"), "text": sheet.page("Notebook", tape=tape)},
    )
    until(page, "window.said.includes('ready')")
    picture = wire.frame(session, number=1, flags=wire.PLAYING)
    told = {
        "hello": {"op": "hello", "speed": 1.0, "seed": 0, "log": []},
        "picture": base64.b64encode(picture).decode(),
    }
    page.evaluate(TELL, told)
    inside = page.frames[1]
    hears(page, inside, "window.amphid && amphid.frames > 0 && amphid.pictures")
    assert inside.evaluate("document.documentElement.dataset.theme") == "dark"
    inside.locator("#step").click()
    until(page, 'window.said.some((text) => text.includes(\'"op":"step"\'))')
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    hears(page, inside, "document.documentElement.dataset.theme === 'light'")
    hears(page, inside, "amphid.connection === 'silent'")  # nobody answers
    assert "run this cell again" in inside.locator("#banner").inner_text()
    page.evaluate(TELL, told)
    hears(page, inside, "amphid.connection === 'open' && amphid.playing")
    hears(page, inside, "amphid.connection === 'silent'")  # no more pictures, and nobody asked
    page.evaluate("() => { window.gone = true; }")
    inside.locator("#step").click()
    assert complaints == []
    page.evaluate("() => { again(); }")  # as a notebook that is opened anew without a kernel
    hears(page, page.frames[2], "window.amphid && amphid.pictures === 1")
    context.close()


def test_cells_of_a_table_are_offered_no_current_in_picoamperes(chromium):
    """The classic worm takes any current above 0 as one and the same touch."""
    cells = Connectome(Cells(list("abc")), Connections())
    session = Session(Network(cells, neuron=LIF()), dt=0.5)
    network = wire.network(session, title="Table")
    context = chromium.new_context()
    page = context.new_page()
    for unit in ("mV", ""):
        network["shows"] = {"name": "charge", "unit": unit, "spikes": False}
        page.set_content(sheet.page("Table", tape={"host": True, "network": network}))
        until(page, "window.amphid && amphid.run")
        assert page.locator("#duration").is_visible()
        assert page.locator("#amplitude").is_visible() is bool(unit)
    context.close()


TELL = """({hello, picture}) => {
  window.tell(hello, []);
  window.tell({op: "picture"}, [new DataView(Uint8Array.from(atob(picture), (c) =>
    c.charCodeAt(0)).buffer)]);
}"""


def hears(page, inside, expression):
    """Waits for something within an iframe."""
    for _ in range(PATIENCE // 50):
        if inside.evaluate(f"() => Boolean({expression})"):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {expression}")


def test_a_connection_that_breaks_comes_back_with_everything(opened, served):
    page = opened()
    page.mouse.click(*spot_of(page, "VD8"))
    until(page, "amphid.actions === 1")
    page.evaluate("amphid.drop()")
    until(page, "amphid.connection === 'lost'")
    assert "trying again" in page.locator("#banner").inner_text()
    before = page.evaluate("amphid.pictures")
    until(page, f"amphid.connection === 'open' && amphid.pictures > {before}")
    assert not page.locator("#banner").is_visible()
    assert page.locator("#log li").count() == 1
    page.locator("#cells").press("s")
    until(page, "amphid.actions === 2")


def test_the_page_of_a_training_draws_follows_and_looks(chromium, tmp_path):
    from amphid.interfaces.view.training_server import training_application

    log = tmp_path / "metrics.jsonl"
    rows = [
        {"generation": k, "best": 1 / (k + 1), "mean": 2 / (k + 1), "answer": 1.5 / (k + 1),
         "parents": 9.0 - k, "luck": None}
        for k in range(7)
    ]  # fmt: skip
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "config.toml").write_text('what = "none.py:none"\n')
    listening = server._listening(0)
    door = server.Door(listening.getsockname()[1])
    running = uvicorn.Server(
        uvicorn.Config(training_application(tmp_path, door), log_level="critical", lifespan="off")
    )
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    context = chromium.new_context(viewport={"width": 400, "height": 800})
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(door.address)
    until(page, "window.amphid && amphid.state.rows.length === 7")
    assert page.locator("#meters canvas").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with log.open("a") as file:
        file.write(json.dumps({**rows[-1], "generation": 7}) + "\n")
    until(page, "amphid.state.rows.length === 8")
    (tmp_path / "metrics.jsonl").write_text(
        '{"epoch": 0, "loss": 2.0}\n{"epoch": 1, "loss": 1.0}\n'
    )
    (tmp_path / "run.json").write_text('{"ended": "done"}')  # as amphid train does at the end
    until(page, "document.getElementById('at').textContent === 'epoch 2, loss 1; ended: done'")
    page.locator("#logarithmic").check()
    page.locator("[data-look=gradients]").click()
    until(page, "amphid.state.looks === 1")
    assert "none.py" in page.locator("#text").inner_text()
    assert errors == []
    context.close()
    running.should_exit = True
    thread.join(30)
    listening.close()
