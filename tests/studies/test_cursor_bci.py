"""Decoders side by side in the loop: how they are made, repaired and judged."""

from __future__ import annotations

import pytest
import torch

from amphid import models
from amphid.models import Decoder, KalmanDecoder, RecurrentDecoder
from amphid.studies.closed_loop import directions
from amphid.studies.cursor_bci import (
    FITTED,
    TRAINED,
    Bench,
    Outcome,
    controls,
    drawn_cells,
    explained,
    holds,
    told,
    watched,
)
from amphid.studies.decoder_training import Training, drawn, learned_from

WAYS = "open loop", "ReFIT"


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(opened: float, repaired: float, offline: float = 0.7) -> dict[str, object]:
    kinds = Outcome(opened, 2000.0, 0.5), Outcome(repaired, 1500.0, 0.9)
    return {"offline R2": offline, **dict(zip(WAYS, kinds, strict=True))}


def figures(*pairs: tuple[float, float]) -> dict[str, dict[str, object]]:
    runs = [{"Kalman": made(*pair), "control": {}} for pair in pairs]
    return {"drawn cells": told(runs), "recorded cells": told(runs)}


def test_the_claim_needs_both_a_sure_gain_and_the_bar():
    assert holds(figures((0.5, 0.95), (0.6, 1.0), (0.4, 0.9)))
    assert not holds(figures((0.5, 0.85), (0.6, 0.89), (0.4, 0.8)))  # below the bar
    assert not holds(figures((0.9, 0.95), (0.99, 0.97), (0.95, 1.0)))  # the gain may be none


def test_a_decoder_that_only_some_seeds_have_is_judged_by_those():
    runs = [{"spiking": made(0.5, 1.0)}, {"spiking": made(0.7, 1.0)}, {}]
    found = told(runs)["spiking"]
    assert found["seeds"] == 2
    assert found["success"] == {"open loop": 0.6, "ReFIT": 1.0}
    assert found["gain"]["mean"] == pytest.approx(0.4)
    assert found["sooner"]["mean"] == pytest.approx(500.0)


def test_controls_are_means_over_seeds():
    rows = {
        "no change, open loop": Outcome(0.8, 1900.0, 0.6),
        "no change, ReFIT": Outcome(1.0, 1500.0, 0.9),
        "cells shuffled": Outcome(0.0, 3000.0, 0.0),
    }
    found = controls([{"control": rows}, {"control": rows}, {}])
    assert found["success"]["cells shuffled"] == 0
    assert found["gain, no change"]["mean"] == pytest.approx(0.2)
    assert found["sooner, no change"]["mean"] == pytest.approx(400.0)


def test_windows_are_stretches_of_one_trial_anywhere_in_it():
    lengths = 11, 7, 23
    counts = [torch.arange(n)[:, None] + 100.0 * k for k, n in enumerate(lengths)]
    training = Training(updates=300, batch=5, window=7)
    seen = [one for one, _ in drawn(counts, counts, training, seeded())]
    assert len(seen) == 300
    whole = torch.cat(seen, 1)[..., 0]
    assert (whole.diff(dim=0) == 1).all()
    firsts = set(whole[0].tolist())
    assert firsts == {*range(5), 100, *range(200, 217)}


def test_a_short_training_explains_most_of_the_velocity():
    cells, way = drawn_cells(3), directions(8, 100.0).repeat(5, 1)
    trials = watched(cells, way, generator=seeded())
    decoder = RecurrentDecoder(60, 2, hidden=17, generator=seeded())
    training = Training(updates=40, batch=16, window=15, rate=1e-2)
    learned_from(decoder, *trials, training=training, generator=seeded())
    assert not decoder.training
    assert explained(decoder, watched(cells, way, generator=seeded(5))) > 0.4


def test_the_decoders_side_by_side_are_all_there_are():
    mine = {type(maker(5, seeded())) for maker in (*FITTED.values(), *TRAINED.values())}
    concrete = {
        value for value in vars(models).values()
        if isinstance(value, type) and issubclass(value, Decoder) and value is not Decoder
    }  # fmt: skip
    assert mine == concrete


def test_a_repair_in_the_loop_learns_cells_that_nobody_watched():
    """Preferred directions turned by a quarter: the cursor circles, until ReFIT."""
    cells = drawn_cells(3)
    turned = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    other = type(cells)(cells.baseline, cells.slope @ turned)
    target = directions(8, 100.0)
    bench = Bench(FITTED["Kalman"], other, target, seed=7)
    opened = KalmanDecoder(60, 2).fit(*watched(cells, target.repeat(5, 1), generator=seeded()))
    before, after = bench.tested(opened), bench.tested(bench.repaired(opened))
    assert after.success > before.success + 0.5
