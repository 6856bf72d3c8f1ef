"""Numbers that are none are refused where they are given, in a sentence that names the argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from amphid import models
from amphid.models import forecasts, graphs


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def drawn(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **settings: make(**{"generator": seeded()} | settings)


NET = {"horizon": 2, "edges": graphs.NoEdges()}
CELLS = {"cells": 5, "axes": 2}
NAMED = {"cells": ("AVAL", "RIML"), "classes": 2}
BAND = {"channels": 4, "band": (10.0, 33.0), "interval": 10.0}
NUMBERS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (models.SmoothedRates, {}, "width bin penalty offset"),
    (models.FactorRates, {}, "factors width bin penalty"),
    (models.GPFA, {}, "factors tau bin steps penalty"),
    (drawn(models.AutoencoderRates), {}, "width factors epochs size lr dropped cost members"),
    (drawn(models.TransformerRates), {}, "width layers epochs size lr masked tail dropped members"),
    (drawn(models.MaskedTransformer), {"shown": 3, "cells": 5}, "width layers heads reach"),
    (models.RidgeDecoder, CELLS, "cells axes history penalty"),
    (models.WienerCascade, CELLS, "degree history"),
    (drawn(models.RecurrentDecoder), CELLS, "hidden generator"),
    (drawn(models.SpikingDecoder), CELLS | {"interval": 50.0}, "interval hidden tau smoothing"),
    (drawn(models.AttentionDecoder), CELLS, "width heads blocks context"),
    (drawn(models.TunedPopulation.drawn), CELLS, "cells baseline depth top"),
    (models.PlanarArm, {}, "upper lower low"),
    (models.seven_joint_arm, {}, "upper forearm hand"),
    (models.Servo, {"arm": models.PlanarArm()}, "arm speed joint_speed return_time"),
    (models.Logistic, {"features": 3}, "features classes ridge"),
    (models.CommandReadout, {}, "edges share ridge"),
    (models.CommandRule, {}, "frames quantile"),
    (drawn(models.FrameNet), NAMED, "cells classes units dropout"),
    (drawn(models.RecurrentNet), NAMED, "cells classes units dropout generator"),
    (forecasts.Autoregression, {"horizon": 2}, "horizon lags hold"),
    (forecasts.VectorAutoregression, {"horizon": 2}, "ridge"),
    (forecasts.GraphForecast, NET, "edges pace ridge"),
    (drawn(forecasts.GraphNetwork), NET, "attention hidden generator"),
    (drawn(forecasts.GatedRecurrent), {"horizon": 2, "names": ("AVAL",)}, "hidden"),
    (graphs.Pace, {}, "first early every"),
    (graphs.Alike, {}, "rise power neighbors early"),
    (graphs.Inferred, {}, "ridge pace"),
    (models.BandPatterns, BAND, "channels band interval pairs"),
    (models.Discriminant, {"features": 3}, "features classes"),
    (models.WindowMeans, {"windows": [(0, 5)]}, "windows"),
]
ASKED = [(make, given, name) for make, given, names in NUMBERS for name in names.split()]
NONSENSE = ("x", math.nan, -1, True, [], {}, torch.zeros(0), torch.full((3,), math.nan))


@pytest.mark.parametrize(("make", "given", "name"), ASKED)
def test_a_number_that_is_none_is_refused_by_name(make, given, name):
    make(**given)
    for wrong in NONSENSE:
        with pytest.raises((TypeError, ValueError), match=name):
            make(**given | {name: wrong})


DECODERS = {
    "ridge": lambda: models.RidgeDecoder(5, 2, history=2),
    "kalman": lambda: models.KalmanDecoder(5, 2),
    "recurrent": lambda: models.RecurrentDecoder(5, 2, hidden=3, generator=seeded()),
    "spiking": lambda: models.SpikingDecoder(5, 2, interval=50.0, generator=seeded()),
    "attention": lambda: models.AttentionDecoder(5, 2, width=4, generator=seeded()),
}


@pytest.mark.parametrize("make", DECODERS.values(), ids=DECODERS)
def test_a_decoder_goes_on_from_its_own_state_only(make):
    decoder, counts = make(), torch.poisson(torch.ones(29, 5), generator=seeded())
    if hasattr(decoder, "fit"):
        decoder.fit(counts, torch.randn(29, 2, generator=seeded()))
    state, first = decoder.step(decoder.init(counts[0]), counts[0])
    torch.testing.assert_close(decoder.step(None, counts[0])[1], first)
    for wrong in (3, "x", (), [state]):
        with pytest.raises(TypeError, match="goes on from a"):
            decoder.step(wrong, counts[0])
    for wrong in (None, 3.0, torch.zeros(3), torch.zeros(0)):
        with pytest.raises(ValueError, match="decodes 5 cells"):
            decoder.step(state, wrong)
        with pytest.raises(ValueError, match="decodes 5 cells"):
            decoder.init(wrong)


@pytest.mark.parametrize(
    "arm", [models.PlanarArm(), models.seven_joint_arm()], ids=["two", "seven"]
)
def test_no_angles_bring_a_hand_to_where_nothing_is(arm):
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="position must be finite"):
            arm.inverse(torch.full((arm.dimensions,), wrong))


def test_a_cell_that_no_animal_has_is_told_with_one_that_is_near():
    signals, classes = torch.randn(29, 2, generator=seeded()), torch.arange(29) % 2
    one = models.Animal("a", signals, ("AVAL", None), classes, 3)
    with pytest.raises(ValueError, match=r"none has 'AVAl'\. Did you mean 'AVAL'"):
        models.CellsReadout(("AVAl",)).fit([one])
