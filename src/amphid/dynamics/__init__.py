"""What one cell or one synapse does in one step."""

from amphid.dynamics.graded import GapJunction, Graded, GradedSynapse, graded_synapses
from amphid.dynamics.integrate_and_fire import LIF
from amphid.dynamics.neuron import Membrane, MembraneNeuron, Neuron
from amphid.dynamics.surrogate import Arctan, FastSigmoid, Surrogate, Triangle
from amphid.dynamics.synapse import ConductanceSynapse, Synapse

__all__ = [
    "LIF",
    "Arctan",
    "ConductanceSynapse",
    "FastSigmoid",
    "GapJunction",
    "Graded",
    "GradedSynapse",
    "Membrane",
    "MembraneNeuron",
    "Neuron",
    "Surrogate",
    "Synapse",
    "Triangle",
    "graded_synapses",
]
