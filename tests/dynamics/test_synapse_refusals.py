"""Values that make no sense for a synapse are answered with a sentence."""

import math

import pytest
import torch

from amphid.dynamics import (
    NMDA,
    Alpha,
    AlphaConductance,
    Conductance,
    Delta,
    DoubleExponential,
    DoubleExponentialConductance,
    Exponential,
    GapJunction,
    GradedSynapse,
    ShortTerm,
)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Delta(charge="much"), "Delta: charge must be a finite number, a tensor or"),
        (lambda: Delta(charge=math.nan), "Delta: charge must be a finite number"),
        (lambda: Exponential(tau=0.0, amplitude=1.0), "Exponential: tau must be positive, got 0"),
        (
            lambda: Exponential(tau=torch.tensor([3.0, -1.0]), amplitude=1.0),
            "Exponential: tau must be positive, got -1",
        ),
        (lambda: Alpha(tau=None, amplitude=1.0), "Alpha: tau must be a finite number"),
        (
            lambda: DoubleExponential(rise=4.0, decay=4.0, amplitude=1.0),
            "DoubleExponential: rise must be shorter than decay, both in ms; got rise=4.0",
        ),
        (
            lambda: Conductance(tau=5.0, conductance=-1.0, reversal=0.0),
            "Conductance: conductance must be positive, got -1",
        ),
        (
            lambda: AlphaConductance(tau=5.0, conductance=1.0, reversal=True),
            "AlphaConductance: reversal must be a finite number",
        ),
        (
            lambda: DoubleExponentialConductance(
                rise=torch.tensor([1.0, 9.0]), decay=5.0, conductance=1.0, reversal=0.0
            ),
            "DoubleExponentialConductance: rise must be shorter than decay",
        ),
        (
            lambda: GapJunction(conductance=torch.ones(7)),
            r"GapJunction: conductance must be one number for all, .*got shape \[7\]",
        ),
        (
            lambda: NMDA(conductance=1.0, magnesium=-1.0),
            "NMDA: magnesium is a concentration in mM and cannot be negative, got -1.0",
        ),
        (lambda: ShortTerm(Delta(charge=1.0), use=1.5), "ShortTerm: use is a share .* got 1.5"),
        (lambda: ShortTerm(Delta(charge=1.0), use=0.0), "ShortTerm: use must be positive, got 0"),
        (
            lambda: ShortTerm(Delta(charge=1.0), use=0.5, recovery=-3.0),
            "ShortTerm: recovery must be positive, got -3",
        ),
        (
            lambda: ShortTerm(GapJunction(conductance=1.0), use=0.5),
            "ShortTerm: synapse must be one that takes spikes, such as .*got GapJunction",
        ),
        (
            lambda: ShortTerm(GradedSynapse(conductance=1.0, reversal=0.0), use=0.5),
            "one that takes spikes, .*got GradedSynapse",
        ),
        (
            lambda: ShortTerm(ShortTerm(Delta(charge=1.0), use=0.5), use=0.5),
            "no short-term plasticity yet; got ShortTerm",
        ),
        (lambda: ShortTerm("fast", use=0.5), "one that takes spikes, .*got 'fast'"),
    ],
)
def test_nonsense_is_answered_with_a_sentence(make, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        make()
