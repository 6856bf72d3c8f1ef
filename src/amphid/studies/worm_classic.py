"""The worm of the web, update for update."""

from __future__ import annotations

from typing import Any, ClassVar

from amphid.models import ClassicWorm
from amphid.models.classic_worm import ClassicTables
from amphid.studies.study import Findings, Settings, Study

UPDATES = 10
LONG = 200  # updates of the published sums

GOLDEN: dict[str, list[list[int]]] = {
    "hunger": [
        [2, 0], [2, 0], [2, 0], [3, 0], [37, 33], [2, 0], [7, 5], [101, 94], [75, 73], [32, 31],
    ],
    "hunger_nose": [
        [0, 0], [34, 32], [104, 101], [60, 60], [28, 20], [57, 65], [51, 48], [33, 29], [67, 70],
        [37, 39],
    ],
    "hunger_food": [
        [0, 0], [0, 0], [36, 33], [5, 5], [78, 79], [93, 91], [58, 56], [-60, -59], [11, 20],
        [32, 27],
    ],
}  # fmt: skip
SUMS = {"hunger": [6036, 5730], "hunger_nose": [387, 713], "hunger_food": [5796, 5759]}
STIMULI = {
    "hunger": ("hunger",),
    "hunger_nose": ("hunger", "nose"),
    "hunger_food": ("hunger", "food"),
}
ASSUMPTIONS = (
    "It starts without the 40 random discharges of the original, so that runs can be compared.",
    "Its faults are kept: no leak, erasure by order, a slip in the muscle lists.",
    "Control: the same worm with its cells visited in reverse order, which gives other traces.",
)


class WormClassic(Study):
    """The threshold-integrator worm reproduces the traces of the program it descends from."""

    name: ClassVar[str] = "worm-classic"
    claim: ClassVar[str] = (
        "The threshold-integrator worm of the web gives the same left and right muscle sums as the "
        "original program, update for update, under hunger, hunger and nose touch, hunger and food."
    )
    published: ClassVar[str] = "three traces of ten [left, right] pairs, and sums of 200 updates"

    def measure(self, settings: Settings) -> Findings:
        """Run the three traces; there is no randomness in them."""
        worm = ClassicWorm(ClassicTables.load())
        traces: dict[str, list[list[int]]] = {}
        for done, (name, stimuli) in enumerate(STIMULI.items()):
            settings.tell(name, done, len(STIMULI))
            traces[name] = trace(worm, stimuli, LONG)
        sums = {name: [sum(side) for side in zip(*t, strict=True)] for name, t in traces.items()}
        measured = {**first_updates(traces), "sums_of_200": sums}
        reference = {**GOLDEN, "sums_of_200": SUMS}
        return Findings(
            measured=measured,
            reference=reference,
            control={"order_reversed": backwards()},
            assumptions=ASSUMPTIONS,
            seeds=(),
            holds=measured == reference,
        )


def trace(worm: ClassicWorm, stimuli: tuple[str, ...], updates: int) -> list[list[int]]:
    """[left, right] of each update."""
    state, pairs = worm.init(), []
    for _ in range(updates):
        state, tick = worm.update(state, stimuli)
        pairs.append([int(tick.left), int(tick.right)])
    return pairs


def backwards() -> dict[str, list[list[int]]]:
    """The traces of the worm whose cells are visited in reverse order."""
    tables = ClassicTables.load()
    turned = ClassicTables(**{**vars(tables), "cells": tables.cells[::-1]})
    worm = ClassicWorm(turned)
    return {name: trace(worm, stimuli, UPDATES) for name, stimuli in STIMULI.items()}


def first_updates(traces: dict[str, list[list[int]]]) -> dict[str, Any]:
    """The updates of each trace that were published one by one."""
    return {name: pairs[:UPDATES] for name, pairs in traces.items()}
