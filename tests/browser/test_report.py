"""The report in a browser, opened from disk: it draws, plays, turns and answers."""

import math
from pathlib import Path

import pytest
import torch
from waiting import PATIENCE, until

from amphid.interfaces.report import write_report
from amphid.simulation import Recording, Spikes, pulse
from amphid.wiring import Cells, Connections, Connectome
from amphid.wiring.celegans import celegans
from amphid.wiring.signs import by_transmitter

pytestmark = pytest.mark.browser
HOSTILE = '</script><img src=x onerror="window.broken=1">\'&amp;'
BRIGHT = """() => {
  const canvas = document.getElementById("cells");
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colors = new Set();
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 200) colors.add([0, 1, 2].map((k) => data[i + k] >> 4).join());
  }
  return colors.size;
}"""


def worm_report(folder: Path) -> Path:
    """A made-up wave that runs from tail to head."""
    worm = celegans(signs=by_transmitter)
    along = torch.tensor(worm.cells.position[:, 1], dtype=torch.float32).nan_to_num()
    time = torch.arange(1, 301.0)[:, None]
    v = -40 + 30 * torch.exp(-((((time - 150) * 3 + along) / 90) ** 2))
    run = Recording(worm.cells, dt=1.0, fields={"v": v, "release": v.sigmoid()})
    touch = pulse(
        worm, "PLML", "PLMR", start=20.0, stop=90.0, amplitude=1.0, duration=300.0, dt=1.0
    )
    return write_report(
        folder / "worm.html",
        run,
        worm,
        title="Worm",
        stimulus=touch,
        command="amphid simulate",
        python="x = 1",
    )


def spiking_report(folder: Path) -> Path:
    generator = torch.Generator().manual_seed(2)
    spike = torch.rand(400, 97, generator=generator) > 0.95
    names = [HOSTILE, *[f"c{i}" for i in range(96)]]
    wires = Connectome(
        Cells(names, cell_class=["A"] * 60 + ["B"] * 37), Connections([0, 3], [3, 7])
    )
    events = Spikes(spike.nonzero().T, tuple(spike.shape), 0.5)
    run = Recording(wires.cells, dt=0.5, events=events)
    return write_report(
        folder / "spiking.html", run, wires, title=HOSTILE, facts={HOSTILE: HOSTILE}
    )


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    return {"worm": worm_report(folder), "spiking": spiking_report(folder)}


@pytest.fixture
def opened(chromium, reports):
    """Opens a report in a new window; no error and no request may come of it."""
    contexts, complaints = [], []

    def open_report(name, width=1280, height=900, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on(
            "request",
            lambda request: (
                complaints.append(request.url)
                if not request.url.startswith(("file:", "data:"))
                else None
            ),
        )
        page.goto(reports[name].as_uri())
        until(page, "window.amphid && window.amphid.frames > 0")
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert complaints == []


def ask(page, expression):
    return page.evaluate(f"() => window.amphid.{expression}")


def drawn(page, act):
    """Does something and waits until the cells were drawn after it."""
    before = ask(page, "frames")
    act()
    until(page, f"window.amphid.frames > {before}")


def spot_of(page, name):
    box = page.locator("#cells").bounding_box()
    x, y = page.evaluate("(name) => window.amphid.spot(name)", name)
    return box["x"] + x, box["y"] + y


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 820, 360])
@pytest.mark.parametrize("name", ["worm", "spiking"])
def test_the_page_draws_at_every_width_and_does_not_scroll_sideways(opened, name, width, scheme):
    page = opened(name, width=width, scheme=scheme)
    assert page.evaluate(BRIGHT) > 12  # many colors: not blank
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("h1").inner_text() == ("Worm" if name == "worm" else HOSTILE)


def test_the_slider_moves_time_and_every_cursor(opened):
    page = opened("worm")
    place = "document.querySelector('#rows-figure .cursor').style.left"
    before = page.evaluate(place)
    drawn(page, lambda: page.locator("#scrub").fill("41"))
    assert ask(page, "frame") == 41
    assert ask(page, "time") == 42.0
    assert page.locator("#clock").inner_text() == "42 ms"
    assert page.evaluate(place) != before
    drawn(page, lambda: page.locator("#scrub").press("ArrowRight"))
    assert ask(page, "time") == 43.0


def test_it_plays_to_the_end_and_stops(opened):
    page = opened("worm")
    page.select_option("#speed", "4")
    page.locator("#scrub").fill("270")
    page.locator("#play").press("Enter")
    assert page.locator("#play").inner_text() in ("Pause", "Play")
    until(page, "!window.amphid.playing && window.amphid.frame === 299")
    assert page.locator("#play").inner_text() == "Play"


def test_dragging_turns_and_the_wheel_zooms_only_after_a_click(opened):
    page = opened("worm")
    box = page.locator("#cells").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 20
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    assert ask(page, "view.zoom") == 1
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(x, y)

    def drag():
        page.mouse.down()
        page.mouse.move(x + 60, y + 30, steps=4)
        page.mouse.up()

    drawn(page, drag)
    assert ask(page, "view.yaw") == pytest.approx(0.42)
    assert ask(page, "view.pitch") == pytest.approx(0.21)
    drawn(page, lambda: page.mouse.wheel(0, -300))
    assert ask(page, "view.zoom") > 1.3
    drawn(page, lambda: page.locator("#zoom-reset").click())
    assert ask(page, "view") == {"yaw": 0, "pitch": 0, "zoom": 1, "x": 0, "y": 0, "z": 0}


def test_what_is_under_the_mouse_stays_there_when_zooming_a_turned_picture(opened):
    page = opened("worm")
    page.locator("#cells").focus()
    drawn(page, lambda: page.locator("#cells").press("ArrowRight"))
    x, y = spot_of(page, "VD8")
    page.mouse.move(x, y)
    drawn(page, lambda: page.mouse.wheel(0, -400))
    assert math.dist(spot_of(page, "VD8"), (x, y)) < 8
    drawn(page, lambda: page.locator("#cells").press("Shift+ArrowRight"))
    assert spot_of(page, "VD8")[0] == pytest.approx(x + 18, abs=9)


def test_cells_are_hovered_and_picked_by_mouse_table_and_search(opened):
    page = opened("worm")
    page.mouse.move(*spot_of(page, "DB6"))
    until(page, "window.amphid.hovered === 'DB6'")
    assert page.locator("#cells-tip").inner_text().startswith("DB6\nmotor, class DB")
    page.mouse.click(*spot_of(page, "DB6"))
    assert ask(page, "picked") == "DB6"
    assert page.locator("#picked b").inner_text() == "DB6"
    assert page.locator("#traces h3 button").first.inner_text() == "DB6"
    page.locator("#find").fill("AVAL")
    page.locator("#find").press("Enter")
    until(page, "window.amphid.picked === 'AVAL'")
    row = page.locator("tbody th .cell").first
    row.press("Enter")
    assert ask(page, "picked") == row.inner_text()


def test_the_chart_of_all_cells_goes_to_a_moment_and_picks(opened):
    page = opened("worm")
    rows = page.locator("#rows")
    rows.scroll_into_view_if_needed()
    drawn(page, lambda: rows.click(position={"x": 500, "y": 60}))
    share = (500 - 74) / (page.evaluate("document.getElementById('rows').clientWidth") - 74 - 12)
    assert ask(page, "time") == pytest.approx(share * 300, abs=1.5)
    assert ask(page, "picked") == page.evaluate(
        "amphid.run.names[amphid.state.order[Math.floor((60 - 8) / (470 - 8 - 34) * 397)]]"
    )
    first = page.evaluate("amphid.state.order[0]")
    page.select_option("#sort", "head to tail")
    assert page.evaluate("amphid.state.order[0]") != first


def test_values_read_on_the_page_are_those_that_were_recorded(opened):
    page = opened("worm")
    worm = celegans().cells
    cell = list(worm.name).index("AVAL")
    v = -40 + 30 * math.exp(-((((100 - 150) * 3 + worm.position[cell, 1]) / 90) ** 2))
    read = page.evaluate(f"amphid.run.voltage.value({cell}, 99)")
    assert read == pytest.approx(v, abs=1e-3)
    assert page.evaluate("amphid.run.fields.map((field) => field.name)") == ["v", "release"]
    page.select_option("#field", "1")
    assert page.evaluate("amphid.state.field.name") == "release"


def test_the_rate_of_spikes_is_their_exponential_window(opened):
    page = opened("spiking")
    expected = page.evaluate(
        """() => {
      const {run} = amphid, {tau} = run.fields[0];
      let sum = 0;
      run.spikes.time.forEach((t, k) => {
        const ago = run.time[250] - t;
        if (run.spikes.cell[k] === 5 && ago >= 0) sum += Math.exp(-ago / tau) * 1000 / tau;
      });
      return [sum, run.fields[0].value(5, 250)];
    }"""
    )
    assert expected[1] == pytest.approx(expected[0], rel=1e-4)
    assert page.locator("#rows-title").inner_text() == "Every spike"
    assert page.locator("#rate-chart").is_visible()
    assert not page.locator("#traces-figure").is_visible()


def test_hostile_names_are_shown_as_text_everywhere(opened):
    page = opened("spiking")
    page.locator("#find").fill(HOSTILE)
    page.locator("#find").press("Enter")
    until(page, "window.amphid.picked !== null")
    assert page.locator("#picked b").inner_text() == HOSTILE
    assert page.evaluate("window.broken === undefined")
    assert page.locator("img").count() == 0
    assert page.locator(".facts").inner_text().count(HOSTILE) == 2


def test_every_control_has_a_name_and_is_reached_by_keyboard(opened):
    page = opened("worm")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, canvas")].filter((item) =>
          !item.textContent.trim() && !item.ariaLabel && !item.labels?.length).length"""
    )
    assert unnamed == 0
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"cells", "zoom-in", "play", "scrub", "field", "speed", "find", "sort"} <= reached


def test_the_recipe_is_copied(opened):
    page = opened("worm")
    page.evaluate(
        """() => {
      const keep = async (text) => { window.copied = text; };
      if (navigator.clipboard) navigator.clipboard.writeText = keep;
    }"""
    )
    page.locator(".copy").nth(1).click()
    until(page, "window.copied === 'x = 1' || getSelection().toString() === 'x = 1'")


def test_paper_is_white_and_the_screen_dark_again_after_printing(opened):
    page = opened("worm", scheme="dark")
    page.select_option("#field", "1")  # nothing moves in the first row of its last moment
    lightness = """() => {
      const canvas = document.getElementById("rows"), ratio = canvas.width / canvas.clientWidth;
      const at = [canvas.clientWidth - 20, 425].map((px) => px * ratio);
      return Math.max(...canvas.getContext("2d").getImageData(...at, 1, 1).data.slice(0, 3));
    }"""
    assert page.evaluate(lightness) < 90
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(lightness) > 200
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(lightness) < 90
    assert page.pdf()[:4] == b"%PDF"
