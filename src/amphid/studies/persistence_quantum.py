"""Quiescent, sustained or saturated, asked of a quantum computer that is simulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import mean, stdev
from typing import Any, ClassVar

import torch
from torch import Tensor

from amphid.measures import Activity
from amphid.measures.quantum import (
    Circuit,
    best_iterations,
    counting,
    decide,
    decide_by_sampling,
    deutsch_jozsa,
    grover,
    search,
    search_by_counting,
)
from amphid.simulation import race
from amphid.studies.paired import figure
from amphid.studies.persistence_family import ASSUMPTIONS as FAMILY
from amphid.studies.persistence_family import DT, Case, cases
from amphid.studies.study import Findings, Settings, Study

FAILURE = 1e-6
TESTS = 2  # Deutsch-Jozsa queries before the search
ERROR = 1e-12  # of a probability, at most
ON_AER = 12  # networks whose circuits Aer runs too
AT_LEAST = 500  # networks
ASSUMPTIONS = (
    *FAMILY,
    "Ground truth: the cycle in which the whole state of the run repeats itself. The oracle marks "
    "cells that fire in it, and cells that do so as soon as their refractoriness ends, every time; "
    "one query tells both of one cell. Networks without a cycle within the time are left out.",
    "So building the oracle takes the simulation of the whole network (measured.oracle), after "
    "which the answer is known without asking anybody: what is saved are queries, not work.",
    f"The three-way answer: one cell asked, {TESTS} Deutsch-Jozsa queries for cells that dissent "
    "from it, then Grover's search for one, by exponential guessing or by quantum counting; "
    f"'sustained' is certain, either other answer wrong with probability below {FAILURE:g}.",
    "The classical sampler asks cells in random order until two disagree, or all are asked; it is "
    "never wrong. Asked for a failure as rare, it may leave out one cell in a million.",
    "Unpromised Deutsch-Jozsa: one query whether the marks of cells that fire are all alike, taken "
    "at its word although no promise is kept; it fails where they are not, and 0 is measured.",
    "Largest error of a probability: of Deutsch-Jozsa's zero against (1 - 2k/N)^2, and of Grover's "
    "success against sin^2((2r + 1) asin sqrt(k/N)), over all networks, in double precision.",
)


@dataclass(frozen=True)
class Asked:
    """What all askers said of one network, and with how many queries."""

    cells: int
    truth: Activity
    said: dict[str, Activity]
    queries: dict[str, int]
    error: float
    alike: bool  # whether all cells fire, or none
    chance: float  # of a 0 from a single Deutsch-Jozsa query
    constant: bool  # whether it came
    signals: int  # that the simulation delivered


class PersistenceQuantum(Study):
    """The three-way answer from queries alone, and what that is worth."""

    name: ClassVar[str] = "activity-persistence-quantum"
    claim: ClassVar[str] = (
        "Deutsch-Jozsa and Grover, coupled, say whether activity dies, goes on or saturates as the "
        "whole state does, on every network, with probabilities exact to 1e-12."
    )
    cells: ClassVar[int] = 64
    published: ClassVar[str] = "the idea: Silva 2024, arXiv 2403.18963; no figure could be read"

    def measure(self, settings: Settings) -> Findings:
        """500 networks, or 2000."""
        draw = torch.Generator().manual_seed(settings.seed)
        networks, lone = (2000, range(4, 15, 2)) if settings.full else (AT_LEAST, range(4, 11, 2))
        asked, on_aer, undecided = [], [], 0
        for case in cases(draw):
            if case.truth.activity is None:
                undecided += 1
                continue
            asked.append(all_asked(case, case.truth.activity, draw))
            on_aer += circuits(case.truth.fires) if len(asked) <= ON_AER else []
            settings.tell("networks", len(asked), networks)
            if len(asked) == networks:
                break
        measured = told(asked) | {"undecided": undecided, "aer_error": aer_error(on_aer)}
        return Findings(
            measured=measured | {"lone_cell": lone_cell(lone, draw)},
            reference={"source": "Silva 2024, arXiv 2403.18963: no figure could be read"},
            control=controls(asked),
            assumptions=ASSUMPTIONS,
            seeds=(settings.seed,),
            holds=judged(measured),
        )


def judged(measured: dict[str, Any]) -> bool:
    """Whether every class is right and every probability exact, on networks enough."""
    return (
        min(measured["agreement"], measured["agreement_by_counting"]) == 1.0
        and measured["max_probability_error"] <= ERROR
        and (measured["aer_error"] or 0.0) <= ERROR
        and measured["networks"] >= AT_LEAST
    )


def all_asked(case: Case, truth: Activity, draw: torch.Generator) -> Asked:
    """Ask everybody about one network."""
    fires, prompt = case.truth.fires, case.truth.prompt
    ways: dict[str, Any] = {"guessing": search, "counting": search_by_counting}
    answers = {
        way: decide(fires, prompt, failure=FAILURE, tests=TESTS, seek=seek, generator=draw)
        for way, seek in ways.items()
    }
    answers["sampling"] = decide_by_sampling(fires, prompt, generator=draw)
    chance = float(deutsch_jozsa(fires).probabilities()[0])
    lasts = max(case.truth.transient, DT)
    return Asked(
        cells=len(fires),
        truth=truth,
        said={way: answer.activity for way, answer in answers.items()},
        queries={way: answer.queries for way, answer in answers.items()},
        error=max(probability_error(marks) for marks in (fires, prompt)),
        alike=bool(fires.all() | ~fires.any()),
        chance=chance,
        constant=float(torch.rand((), generator=draw)) < chance,
        signals=int(race(case.network, case.stimulus, duration=lasts, dt=DT).arrived),
    )


def probability_error(marks: Tensor) -> float:
    """How far two probabilities are from their closed forms, at most."""
    size, marked = 2 ** max(1, (len(marks) - 1).bit_length()), int(marks.sum())
    found = float(deutsch_jozsa(marks).probabilities()[0])
    errors = [abs(found - (1 - 2 * marked / size) ** 2)]
    if marked:
        iterations = best_iterations(marked, size)
        success = grover(marks, iterations).probabilities()[: len(marks)][marks].sum()
        law = math.sin((2 * iterations + 1) * math.asin(math.sqrt(marked / size))) ** 2
        errors.append(abs(float(success) - law))
    return max(errors)


def told(asked: Sequence[Asked]) -> dict[str, Any]:
    """Agreement, errors and queries over all networks."""
    return {
        "networks": len(asked),
        "agreement": agreement(asked, "guessing"),
        "agreement_by_counting": agreement(asked, "counting"),
        "max_probability_error": max(one.error for one in asked),
        "classes": {kind: sum(one.truth is kind for one in asked) for kind in Activity},
        "queries": {
            way: {kind: spread(asked, way, kind) for kind in Activity} for way in asked[0].queries
        },
        "oracle": {"signals_simulated": figure(mean(one.signals for one in asked))},
    }


def agreement(asked: Sequence[Asked], way: str) -> float:
    """Share of networks of which the truth was said."""
    return sum(one.said[way] is one.truth for one in asked) / len(asked)


def spread(asked: Sequence[Asked], way: str, kind: Activity) -> list[float]:
    """Mean and standard deviation of the queries that networks of a kind took."""
    queries = [one.queries[way] for one in asked if one.truth is kind]
    return [figure(mean(queries)), figure(stdev(queries))] if len(queries) > 1 else []


def controls(asked: Sequence[Asked]) -> dict[str, Any]:
    """What the classical sampler and a single Deutsch-Jozsa query without a promise make of it."""
    mixed = [one for one in asked if not one.alike]
    return {
        "sampling_agreement": agreement(asked, "sampling"),
        "cells": [figure(mean(one.cells for one in asked)), max(one.cells for one in asked)],
        "unpromised_deutsch_jozsa": {
            "networks_with_mixed_marks": len(mixed),
            "failure_rate": figure(mean(one.constant for one in mixed)) if mixed else None,
            "expected_failure_rate": figure(mean(one.chance for one in mixed)) if mixed else None,
        },
        "all_fire_but_not_saturated": sum(
            one.alike and one.truth is Activity.SUSTAINED for one in asked
        ),
    }


def lone_cell(qubits: Sequence[int], draw: torch.Generator) -> dict[str, dict[str, float]]:
    """Mean queries to find the only marked one of 2^n cells, and to say that there is none."""
    found = {}
    for number in qubits:
        marks = torch.zeros(2**number, dtype=torch.bool)
        none = [search(marks, failure=FAILURE, generator=draw).queries for _ in range(5)]
        marks[int(torch.randint(2**number, (), generator=draw))] = True
        runs = [search(marks, failure=FAILURE, generator=draw).queries for _ in range(30)]
        found[str(2**number)] = {
            "quantum_finds": figure(mean(runs)),
            "classical_finds": (2**number + 1) / 2,
            "quantum_says_none": figure(mean(none)),
            "classical_says_none": 2**number,
        }
    return found


def circuits(marks: Tensor) -> list[Circuit]:
    """One of each kind."""
    return [deutsch_jozsa(marks), grover(marks, 2), counting(marks, 3)]


def aer_error(own: Sequence[Circuit]) -> float | None:
    """Largest difference of a probability from that of Qiskit's Aer; None without it."""
    if find_spec("qiskit_aer") is None:
        return None
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    simulator = AerSimulator(method="statevector", max_parallel_threads=1)
    errors = []
    for circuit in own:
        exported = circuit.to_qiskit()
        exported.save_statevector()
        ready = transpile(exported, simulator, optimization_level=0)
        theirs = torch.tensor(simulator.run(ready).result().get_statevector().data)
        errors.append(float((circuit.probabilities() - theirs.abs().square()).abs().max()))
    return max(errors)
