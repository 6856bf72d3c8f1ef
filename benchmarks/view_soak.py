"""Does the memory of a live page, and of its server, stay what it is? The worm, for an hour.

    python benchmarks/view_soak.py [--minutes 60] [--seed 0] [--json]

A server is started as from a shell, and a Chromium of the system opens its page. Every two seconds
something is done there: cells are stimulated, killed and restored, the body is touched and fed,
traces pinned, the speed changed; every half minute something rarer: a second page, a connection
that breaks, a page that sleeps, a script, an image, a recording, a saved page, a beginning anew.
A line a minute; then the slopes of memory over the last two thirds.

Needs the extra `web` and playwright. The figures of a busy machine are those of a busy machine:
its load stands in every line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

PATIENCE = 300_000  # ms that a page may take for anything
OFTEN, SELDOM = 2.0, 30.0  # s between things that are done
TICK = os.sysconf("SC_CLK_TCK")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@dataclass(frozen=True)
class Row:
    """What a minute came to: MB of memory, s of processor and simulated time, counts so far."""

    minute: float
    load: float  # of the machine
    server: float  # MB
    page: float  # MB, of the process that draws it
    heap: float  # MB, of its script, after all garbage is collected
    nodes: int  # of its document
    server_cpu: float  # s so far
    page_cpu: float
    browser_cpu: float  # all processes of it
    simulated: float  # s so far
    drawn: int
    received: int
    lost: int
    actions: int


@contextmanager
def served(folder: Path, *network: str) -> Iterator[tuple[int, str]]:
    """A server of a network in a process of its own: its number and its address."""
    words = [sys.executable, "-m", "amphid", "view", *network, "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=folder) as ran:
        try:
            assert ran.stdout is not None
            told = "".join(ran.stdout.readline() for _ in range(3))
            yield ran.pid, json.loads(told)["address"]
        finally:
            ran.terminate()


def chromium(started: Any) -> Any:
    """The browser of the system, which paints by the processor."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    return started.chromium.launch(executable_path=program, args=FLAGS, timeout=PATIENCE)


def memory(process: int) -> float:
    """What a process has in memory, MB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def cpu(process: int) -> float:
    """Processor time of a process, s; nothing where it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


class Visit:
    """A page that is open, and what was done to it."""

    def __init__(self, browser: Any, address: str, server: int, seed: int) -> None:
        self.browser, self.address, self.server = browser, address, server
        self.draw = random.Random(seed)
        self.whole = browser.new_browser_cdp_session()
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.until("amphid.pictures > 0")
        self.names = self.page.evaluate("amphid.run.names")
        self.tools = self.context.new_cdp_session(self.page)
        self.began, self.simulated, self.last = time.monotonic(), 0.0, 0.0
        self.counted = {"frames": 0, "pictures": 0, "gaps": 0, "actions": 0}

    def until(self, expression: str) -> None:
        """Wait until something is true on the page, whose policy forbids Playwright's own way."""
        end = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(f"() => Boolean(window.amphid && ({expression}))"):
            if time.monotonic() > end:
                raise TimeoutError(f"the page waited {PATIENCE // 1000} s for: {expression}.")
            self.page.wait_for_timeout(50)

    def follow(self) -> None:
        """Add up the simulated time, which starts anew with every reset."""
        now = self.page.evaluate("amphid.time")
        self.simulated += max(now - self.last, 0.0) / 1000
        self.last = now

    def row(self) -> Row:
        """What the last minute came to."""
        self.tools.send("HeapProfiler.collectGarbage")
        told = self.whole.send("SystemInfo.getProcessInfo")["processInfo"]
        drawing = max(
            (one for one in told if one["type"] == "renderer"), key=lambda p: p["cpuTime"]
        )
        nodes = self.tools.send("Memory.getDOMCounters")["nodes"]
        heap = self.tools.send("Runtime.getHeapUsage")["usedSize"]
        frames, pictures, gaps, actions = self.page.evaluate(
            "[amphid.frames, amphid.pictures, amphid.gaps, amphid.actions]"
        )
        return Row(
            minute=(time.monotonic() - self.began) / 60,
            load=os.getloadavg()[0],
            server=memory(self.server),
            page=memory(drawing["id"]),
            heap=heap / 2**20,
            nodes=nodes,
            server_cpu=cpu(self.server),
            page_cpu=cpu(drawing["id"]),
            browser_cpu=sum(cpu(one["id"]) for one in told),
            simulated=self.simulated,
            drawn=frames,
            received=pictures,
            lost=gaps,
            actions=actions,
        )


def click_cell(visit: Visit, modifier: str = "") -> None:
    """Stimulate a cell; with shift, kill it or bring it back."""
    canvas = visit.page.locator("#cells")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = visit.page.evaluate("(name) => amphid.spot(name)", visit.draw.choice(visit.names))
    if modifier:
        visit.page.keyboard.down(modifier)
    visit.page.mouse.click(box["x"] + x, box["y"] + y)
    if modifier:
        visit.page.keyboard.up(modifier)


def kill_cell(visit: Visit) -> None:
    """Kill a cell, or bring it back."""
    click_cell(visit, "Shift")


def revive(visit: Visit) -> None:
    """Bring the chosen cell back, or kill it."""
    visit.page.locator("#cells").press("k")


def turn(visit: Visit) -> None:
    """Turn and zoom the picture."""
    keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "-", "0"]
    visit.page.locator("#cells").press(visit.draw.choice(keys))


def touch(visit: Visit) -> None:
    """Touch the body, or put food at its nose."""
    visit.page.locator("#dish").press(visit.draw.choice("123f"))


def crawl(visit: Visit) -> None:
    """The published circuit takes over, or gives back."""
    visit.page.locator("#crawl").click()


def pin(visit: Visit) -> None:
    """Pin or unpin the trace of the next cell."""
    visit.page.locator("#cells").press("]")
    visit.page.locator("#cells").press("p")


def hurry(visit: Visit) -> None:
    """Another speed, mostly more than can be reached."""
    visit.page.locator("#speed").fill(str(visit.draw.choice([-0.5, 0, 0.5, 1, 1, 1])))


def sort_rows(visit: Visit) -> None:
    """The moving picture in another order."""
    options = visit.page.locator("#sort option").all_inner_texts()
    visit.page.locator("#sort").select_option(visit.draw.choice(options))


def pause(visit: Visit) -> None:
    """Stop, take a step, go on."""
    visit.page.locator("#play").click()
    visit.until("!amphid.playing")
    visit.page.locator("#step").click()
    visit.page.locator("#play").click()
    visit.until("amphid.playing")


def second_page(visit: Visit) -> None:
    """Another page of the same session comes, touches a cell, and goes."""
    other = visit.context.new_page()
    other.goto(visit.address)
    other.wait_for_timeout(3000)
    other.locator("#cells").press("]")
    other.locator("#cells").press("s")
    other.wait_for_timeout(1000)
    other.close()


def lose(visit: Visit) -> None:
    """The connection breaks and comes back."""
    visit.page.evaluate("amphid.drop()")
    visit.until("amphid.connection === 'lost'")
    visit.until("amphid.connection === 'open'")


def sleep(visit: Visit) -> None:
    """The page is frozen for some seconds, as in a window that is hidden, and wakes."""
    visit.tools.send("Page.setWebLifecycleState", {"state": "frozen"})
    time.sleep(8)
    visit.tools.send("Page.setWebLifecycleState", {"state": "active"})
    visit.until("amphid.connection === 'open'")


def script(visit: Visit) -> None:
    """The session as Python."""
    visit.page.locator("#script").click()


def image(visit: Visit) -> None:
    """What is seen as a file."""
    with visit.page.expect_download() as given:
        visit.page.locator("#image").click()
    given.value.delete()


def film(visit: Visit) -> None:
    """The session so far as a file."""
    with visit.page.expect_download() as given:
        visit.page.locator("#export").click()
    given.value.delete()


def record(visit: Visit) -> None:
    """Record for some seconds into a folder."""
    press_record(visit, "recording")
    visit.page.wait_for_timeout(5000)
    press_record(visit, "!recording")


def press_record(visit: Visit, wanted: str) -> None:
    """Press the button with a connection: what is pressed without one is lost, and told so."""
    visit.until("amphid.connection === 'open'")
    visit.page.locator("#record").click()
    on = "document.getElementById('record').classList.contains('recording')"
    visit.until(wanted.replace("recording", on))


def table(visit: Visit) -> None:
    """The table is opened, or closed."""
    visit.page.locator("#table-box summary").click()


def reset(visit: Visit) -> None:
    """From rest again."""
    visit.follow()
    visit.page.locator("#reset").click()
    visit.last = 0.0


COMMON: tuple[Callable[[Visit], None], ...] = (
    click_cell, click_cell, kill_cell, revive, turn, touch, touch, crawl, pin, hurry, sort_rows,
    pause,
)  # fmt: skip
RARE: tuple[Callable[[Visit], None], ...] = (
    table, second_page, lose, sleep, script, image, record, second_page, lose, sleep, film, script,
    second_page, record, lose, sleep, image, second_page, lose, reset,
)  # fmt: skip


def lived(visit: Visit, minutes: float, tell: Callable[[Row], None]) -> list[Row]:
    """A row at the start, and after every minute."""
    rows = [visit.row()]
    seldom = time.monotonic() + SELDOM
    rare = 0
    while rows[-1].minute < minutes:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            visit.page.wait_for_timeout(1000 * OFTEN)
            visit.follow()
            visit.draw.choice(COMMON)(visit)
            if time.monotonic() > seldom:
                RARE[rare % len(RARE)](visit)
                rare, seldom = rare + 1, time.monotonic() + SELDOM
        rows.append(visit.row())
        tell(rows[-1])
    return rows


def slope(rows: list[Row], name: str) -> float:
    """MB an hour, by least squares over the last two thirds."""
    late = rows[len(rows) // 3 :]
    if len(late) < 3:
        return float("nan")
    minute = np.array([row.minute for row in late])
    value = np.array([getattr(row, name) for row in late])
    return float(np.polyfit(minute, value, 1)[0] * 60)


def rates(rows: list[Row]) -> dict[str, float]:
    """Of the whole time: each second of it, or as a share of it."""
    first, last = rows[0], rows[-1]
    seconds = 60 * (last.minute - first.minute)
    names = ("drawn", "received", "lost", "simulated", "server_cpu", "page_cpu", "browser_cpu")
    return {name: (getattr(last, name) - getattr(first, name)) / seconds for name in names}


def told(row: Row) -> str:
    """A line."""
    return (
        f"{row.minute:5.1f} min  load {row.load:4.1f}  server {row.server:5.0f} MB  page "
        f"{row.page:4.0f} MB  heap {row.heap:5.2f} MB  {row.nodes:5d} nodes  simulated "
        f"{row.simulated:6.0f} s  drawn {row.drawn:6d}  data {row.received:6d} (lost {row.lost})"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    tell = (lambda row: None) if asked.json else (lambda row: print(told(row), flush=True))
    with (
        tempfile.TemporaryDirectory() as name,
        served(Path(name), "celegans") as (server, address),
        sync_playwright() as started,
    ):
        browser = chromium(started)
        visit = Visit(browser, address, server, asked.seed)
        rows = lived(visit, asked.minutes, tell)
        browser.close()
    slopes = {part: slope(rows, part) for part in ("server", "page", "heap")}
    if asked.json:
        made = {"rows": list(map(asdict, rows)), "slopes": slopes, "rates": rates(rows)}
        print(json.dumps({**made, "errors": visit.errors}))
        return
    print("a second: " + ", ".join(f"{part} {rate:.2f}" for part, rate in rates(rows).items()))
    print("MB an hour: " + ", ".join(f"{part} {value:+.1f}" for part, value in slopes.items()))
    print(f"errors on the page: {visit.errors or 'none'}")


if __name__ == "__main__":
    main()
