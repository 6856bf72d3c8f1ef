"""What one cell or one synapse does in one step."""

from amphid.dynamics.ablation import Ablated
from amphid.dynamics.binary import BinaryThreshold, EscapeRate
from amphid.dynamics.clearing import ClearingLIF
from amphid.dynamics.conductance import FitzHughNagumo, HodgkinHuxley, MorrisLecar
from amphid.dynamics.fractional import (
    AdaptiveMemory,
    BlockMemory,
    ExponentialMemory,
    Fractional,
    FractionalDiffusion,
    FullMemory,
    Memory,
    ShortMemory,
    SummedMemory,
    mittag_leffler,
)
from amphid.dynamics.gating import ExponentialRate, Gate, LinearRate, Rate, SigmoidRate
from amphid.dynamics.graded import GapJunction, Graded, GradedSynapse, graded_synapses
from amphid.dynamics.integrate_and_fire import ALIF, LIF, LeakyIntegrator, ThresholdIntegrator
from amphid.dynamics.neuron import Membrane, MembraneNeuron, Neuron, NonlinearMembraneNeuron
from amphid.dynamics.receivers import Receiver, RelativeRefractoriness, Summing, Winner
from amphid.dynamics.short_term import ShortTerm
from amphid.dynamics.surrogate import (
    Arctan,
    Boxcar,
    FastSigmoid,
    Gaussian,
    MultiGaussian,
    Relative,
    Sigmoid,
    StraightThrough,
    Surrogate,
    Triangle,
)
from amphid.dynamics.synapse import ConductanceSynapse, Synapse
from amphid.dynamics.synapses import (
    NMDA,
    Alpha,
    AlphaConductance,
    Conductance,
    Delta,
    DoubleExponential,
    DoubleExponentialConductance,
    Exponential,
)
from amphid.dynamics.terminal import Crossing, SigmoidRelease, Terminal, TerminalNeuron
from amphid.dynamics.traces import ExponentialTrace, PowerTrace, StepTrace, Trace
from amphid.dynamics.upstroke import AdEx, Izhikevich
from amphid.dynamics.values import learned
from amphid.dynamics.wrappers import Mixed, Refractory
from amphid.kernels import step_by_step

__all__ = [
    "ALIF",
    "LIF",
    "NMDA",
    "Ablated",
    "AdEx",
    "AdaptiveMemory",
    "Alpha",
    "AlphaConductance",
    "Arctan",
    "BinaryThreshold",
    "BlockMemory",
    "Boxcar",
    "ClearingLIF",
    "Conductance",
    "ConductanceSynapse",
    "Crossing",
    "Delta",
    "DoubleExponential",
    "DoubleExponentialConductance",
    "EscapeRate",
    "Exponential",
    "ExponentialMemory",
    "ExponentialRate",
    "ExponentialTrace",
    "FastSigmoid",
    "FitzHughNagumo",
    "Fractional",
    "FractionalDiffusion",
    "FullMemory",
    "GapJunction",
    "Gate",
    "Gaussian",
    "Graded",
    "GradedSynapse",
    "HodgkinHuxley",
    "Izhikevich",
    "LeakyIntegrator",
    "LinearRate",
    "Membrane",
    "MembraneNeuron",
    "Memory",
    "Mixed",
    "MorrisLecar",
    "MultiGaussian",
    "Neuron",
    "NonlinearMembraneNeuron",
    "PowerTrace",
    "Rate",
    "Receiver",
    "Refractory",
    "Relative",
    "RelativeRefractoriness",
    "ShortMemory",
    "ShortTerm",
    "Sigmoid",
    "SigmoidRate",
    "SigmoidRelease",
    "StepTrace",
    "StraightThrough",
    "SummedMemory",
    "Summing",
    "Surrogate",
    "Synapse",
    "Terminal",
    "TerminalNeuron",
    "ThresholdIntegrator",
    "Trace",
    "Triangle",
    "Winner",
    "graded_synapses",
    "learned",
    "mittag_leffler",
    "step_by_step",
]
