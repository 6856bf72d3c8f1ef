"""What drawing a live page costs: its worm at rest, touched, noisy and turned, and two crowds.

    python benchmarks/view_drawing.py [CASE ...] [--seconds 10] [--json]

A server is started as from a shell, and a Chromium of the system that paints by the processor
opens its page at 1440 x 900. For some seconds of every case: drawings and data of each second,
simulated time against yours, and what a drawing takes of one core, in the process of the page and
in that which puts the picture together; what a data frame takes in the server. Processor time is
counted, not time on a clock; the load of the machine stands in every line.

Needs the extra `web` and playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from amphid import wiring
from view_soak import PATIENCE, chromium, cpu, served

TURNING = """async (seconds) => {
  const cells = document.getElementById("cells"), box = cells.getBoundingClientRect();
  const across = (k) => box.left + box.width / 2 + 60 * Math.sin(k / 20);
  const send = (name, k) => cells.dispatchEvent(new PointerEvent(name, {
    clientX: across(k), clientY: box.top + box.height / 2, pointerId: 1, buttons: 1, bubbles: true,
  }));
  send("pointerdown", 0);
  const end = performance.now() + 1000 * seconds;
  let k = 0;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    send("pointermove", ++k);
  }
  send("pointerup", k);
}"""


@dataclass(frozen=True)
class Row:
    """What some seconds of a case came to."""

    case: str
    load: float  # of the machine
    drawings: float  # each second
    data: float
    pace: float  # simulated time against the clock's
    drawing: float  # ms of the page's process for a drawing
    painting: float  # ms of the process that puts the picture together
    frame: float  # ms of the server for a data frame


def look(page: Any, seconds: float) -> None:
    """Nothing is done."""
    page.wait_for_timeout(1000 * seconds)


def touch(page: Any, seconds: float) -> None:
    """Twice a second the body is touched, in front and behind in turn."""
    for k in range(int(2 * seconds)):
        page.locator("#dish").press("23"[k % 2])
        page.wait_for_timeout(500)


def turn(page: Any, seconds: float) -> None:
    """The picture is turned with every picture of the screen."""
    page.evaluate(TURNING, seconds)


def crowd(cells: int, each: int, *options: str) -> Callable[[Path], list[str]]:
    """A random network of spiking cells, as a file."""

    def made(folder: Path) -> list[str]:
        path = folder / f"{cells}.h5"
        generator = torch.Generator().manual_seed(0)
        drawn = wiring.random(cells, probability=each / cells, generator=generator)
        wiring.write(drawn, path)
        return [str(path), "--neuron", "lif", *options]

    return made


def worm(*options: str) -> Callable[[Path], list[str]]:
    """The worm that is shipped."""
    return lambda folder: ["celegans", *options]


CASES: dict[str, tuple[Callable[[Path], list[str]], Callable[[Any, float], None]]] = {
    "rest": (worm(), look),
    "touched": (worm(), touch),
    "noisy": (worm("--noise", "5"), look),
    "turned": (worm(), turn),
    "1000": (crowd(1_000, 100, "--noise", "300"), look),
    "3000": (crowd(3_000, 20, "--noise", "300"), look),
    "139000": (crowd(139_000, 14), look),
    "139000-noisy": (crowd(139_000, 14, "--noise", "300"), look),
}
"""The network that is shown, and what is done."""


class Counts:
    """How much was drawn, sent and spent until now."""

    def __init__(self, page: Any, browser: Any, server: int) -> None:
        told = browser.send("SystemInfo.getProcessInfo")["processInfo"]
        spent = {kind: sum(cpu(one["id"]) for one in told if one["type"] == kind) for kind in KINDS}
        self.page, self.painting = (spent[kind] for kind in KINDS)
        self.server, self.clock = cpu(server), time.monotonic()
        self.drawn, self.received, self.simulated = page.evaluate(
            "[amphid.frames, amphid.pictures, amphid.time / 1000]"
        )


KINDS = ("renderer", "GPU")


def measured(case: str, seconds: float, folder: Path, started: Any) -> Row:
    """A server and a page of its own for each case."""
    network, done = CASES[case]
    with served(folder, *network(folder)) as (server, address):
        browser = chromium(started)
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        while not page.evaluate("() => Boolean(window.amphid && amphid.pictures > 30)"):
            page.wait_for_timeout(100)
        whole = browser.new_browser_cdp_session()
        before = Counts(page, whole, server)
        done(page, seconds)
        after = Counts(page, whole, server)
        browser.close()
    return row(case, before, after)


def row(case: str, before: Counts, after: Counts) -> Row:
    """The differences, for each second, drawing or data frame."""
    passed = after.clock - before.clock
    drawn, received = after.drawn - before.drawn, after.received - before.received
    return Row(
        case=case,
        load=os.getloadavg()[0],
        drawings=drawn / passed,
        data=received / passed,
        pace=(after.simulated - before.simulated) / passed,
        drawing=1000 * (after.page - before.page) / max(drawn, 1),
        painting=1000 * (after.painting - before.painting) / max(drawn, 1),
        frame=1000 * (after.server - before.server) / max(received, 1),
    )


def told(row: Row) -> str:
    """A line."""
    return (
        f"{row.case:12s} load {row.load:4.1f}  drawings {row.drawings:4.1f}/s  data "
        f"{row.data:4.1f}/s  {row.pace:4.2f} of real time  a drawing: page {row.drawing:5.1f} ms, "
        f"put together {row.painting:4.1f} ms  a data frame: server {row.frame:5.1f} ms"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    unknown = [case for case in asked.cases if case not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(CASES)}.")
    from playwright.sync_api import sync_playwright

    rows = []
    with tempfile.TemporaryDirectory() as name, sync_playwright() as started:
        for case in asked.cases or CASES:
            rows.append(measured(case, asked.seconds, Path(name), started))
            if not asked.json:
                print(told(rows[-1]), flush=True)
    if asked.json:
        print(json.dumps(list(map(asdict, rows))))


if __name__ == "__main__":
    main()
