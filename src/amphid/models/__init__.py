"""Trainable architectures, and ready-made ones that others published."""

from amphid.models import forecasts, graphs
from amphid.models.arms import (
    Arm,
    DrivenArm,
    DrivenState,
    PlanarArm,
    SerialArm,
    Servo,
    ServoState,
    seven_joint_arm,
)
from amphid.models.behavior import (
    Animal,
    CellsReadout,
    CommandReadout,
    CommandRule,
    FrameNet,
    Logistic,
    RecurrentNet,
)
from amphid.models.cell_layers import (
    Weights,
    cell_layers,
    dense_weights,
    permuted_weights,
    relay_weights,
)
from amphid.models.classic_worm import ClassicWorm
from amphid.models.classifiers import convolutional_classifier, dense_classifier, unit_lif
from amphid.models.coding import (
    LatencyCode,
    PoissonCode,
    PopulationCode,
    RateCode,
    Repeat,
)
from amphid.models.connections import Connections
from amphid.models.cortex import (
    CorticalModel,
    Regime,
    brunel,
    vogels_abbott,
    vogels_abbott_currents,
)
from amphid.models.dale import DaleLinear
from amphid.models.decoders import (
    AttentionDecoder,
    Decoder,
    KalmanDecoder,
    RecurrentDecoder,
    RidgeDecoder,
    SpikingDecoder,
    TunedPopulation,
    WienerCascade,
)
from amphid.models.delays import Delay, DelayedLinear
from amphid.models.dropout import Dropout
from amphid.models.fly_brain import fly_brain, fly_drive, generated_fly
from amphid.models.gain import Gain
from amphid.models.latents import (
    GPFA,
    AutoencoderRates,
    FactorRates,
    LatentModel,
    MaskedTransformer,
    PoissonReadout,
    SequentialAutoencoder,
    SmoothedRates,
    TransformerRates,
)
from amphid.models.layer import Encoder, Layer, Readout
from amphid.models.microcircuit import microcircuit
from amphid.models.norm import BatchNorm, BatchNormThroughTime
from amphid.models.readouts import FirstSpikeTime, LastStep, SpikeCount, TimeMax, TimeMean
from amphid.models.recurrent import Recurrent
from amphid.models.sequential import Sequential
from amphid.models.stretch_circuit import StretchCircuit
from amphid.models.trials import (
    BandPatterns,
    Discriminant,
    TrialClassifier,
    WindowMeans,
    finger_classifier,
    window_classifier,
)
from amphid.models.waves import (
    Edge,
    FloodWaves,
    GradientHistograms,
    OrientedWaves,
    Ridge,
    WaveEncoder,
    standard_waves,
)
from amphid.models.worm import Senses, Worm
from amphid.models.worm_body import Mechanics, WormBody

__all__ = [
    "GPFA",
    "Animal",
    "Arm",
    "AttentionDecoder",
    "AutoencoderRates",
    "BandPatterns",
    "BatchNorm",
    "BatchNormThroughTime",
    "CellsReadout",
    "ClassicWorm",
    "CommandReadout",
    "CommandRule",
    "Connections",
    "CorticalModel",
    "DaleLinear",
    "Decoder",
    "Delay",
    "DelayedLinear",
    "Discriminant",
    "DrivenArm",
    "DrivenState",
    "Dropout",
    "Edge",
    "Encoder",
    "FactorRates",
    "FirstSpikeTime",
    "FloodWaves",
    "FrameNet",
    "Gain",
    "GradientHistograms",
    "KalmanDecoder",
    "LastStep",
    "LatencyCode",
    "LatentModel",
    "Layer",
    "Logistic",
    "MaskedTransformer",
    "Mechanics",
    "OrientedWaves",
    "PlanarArm",
    "PoissonCode",
    "PoissonReadout",
    "PopulationCode",
    "RateCode",
    "Readout",
    "Recurrent",
    "RecurrentDecoder",
    "RecurrentNet",
    "Regime",
    "Repeat",
    "Ridge",
    "RidgeDecoder",
    "Senses",
    "Sequential",
    "SequentialAutoencoder",
    "SerialArm",
    "Servo",
    "ServoState",
    "SmoothedRates",
    "SpikeCount",
    "SpikingDecoder",
    "StretchCircuit",
    "TimeMax",
    "TimeMean",
    "TransformerRates",
    "TrialClassifier",
    "TunedPopulation",
    "WaveEncoder",
    "Weights",
    "WienerCascade",
    "WindowMeans",
    "Worm",
    "WormBody",
    "brunel",
    "cell_layers",
    "convolutional_classifier",
    "dense_classifier",
    "dense_weights",
    "finger_classifier",
    "fly_brain",
    "fly_drive",
    "forecasts",
    "generated_fly",
    "graphs",
    "microcircuit",
    "permuted_weights",
    "relay_weights",
    "seven_joint_arm",
    "standard_waves",
    "unit_lif",
    "vogels_abbott",
    "vogels_abbott_currents",
    "window_classifier",
]
