"""Cells of a single yes or no: without a memory, or with chance in the decision."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.neuron import Membrane, MembraneNeuron, Neuron
from amphid.dynamics.surrogate import FastSigmoid, Surrogate, reset, surrogate_of
from amphid.dynamics.values import Value, filled

# Multipliers and increment of splitmix64, written as signed integers.
_INCREMENT = -0x61C8864680B583EB
_FIRST = -0x40A7B892E31B1A47
_SECOND = -0x6B2FB644ECCEEE15
_HIGHEST = 60.0  # widths above threshold beyond which the escape rate no longer grows


class BinaryThresholdState(NamedTuple):
    """State of binary cells."""

    v: Tensor  # membrane potential, mV


class BinaryThreshold(Neuron[BinaryThresholdState]):
    r"""Gives out 1 while its input is above threshold, else 0; it remembers nothing.

    .. math:: v = v_\text{rest} + R I, \qquad s = [v > v_\text{threshold}]

    With the defaults a cell whose inputs are 0 and 1 pA computes OR; v_threshold = n - 0.5 asks for
    n of them.

    resistance: R in GOhm. v_rest, v_threshold: mV. surrogate: the gradient of a 1.
    Reference: McCulloch & Pitts 1943, doi 10.1007/BF02478259.
    """

    resistance: Value
    v_rest: Value
    v_threshold: Value

    def __init__(
        self,
        *,
        resistance: Value = 1.0,
        v_rest: Value = 0.0,
        v_threshold: Value = 0.5,
        surrogate: Surrogate = FastSigmoid(),  # noqa: B008  frozen
    ) -> None:
        super().__init__()
        self.hold_positive(resistance=resistance)
        self.hold(v_rest=v_rest, v_threshold=v_threshold)
        self.surrogate = surrogate_of(self, surrogate, (v_rest, v_threshold))
        self._values += ("surrogate",)

    def init(self, like: Tensor) -> BinaryThresholdState:
        """Without input."""
        return BinaryThresholdState(v=filled(like, self.v_rest))

    def step(
        self, state: BinaryThresholdState, current: Tensor, dt: float
    ) -> tuple[BinaryThresholdState, Tensor]:
        """State and output [*B, N] under a current [*B, N] in pA; the same at any dt."""
        v = self.v_rest + self.resistance * current
        return BinaryThresholdState(v=v), self.surrogate(v - self.v_threshold)


class EscapeRateState(NamedTuple):
    """State of cells with an escape rate."""

    v: Tensor  # membrane potential, mV
    key: Tensor  # where each cell stands in its sequence of random numbers, int64


class EscapeRate(MembraneNeuron[EscapeRateState]):
    r"""Leaky integrate-and-fire cell that fires by chance, the more likely the higher its voltage.

    .. math:: \tau \dot v = v_\text{rest} - v + R I, \qquad
              \rho = \rho_0 e^{(v - v_\text{threshold}) / w}, \qquad
              P(\text{spike in } dt) = 1 - e^{-\rho \, dt}, \qquad
              \text{spike} \Rightarrow v \leftarrow v_\text{reset}

    Motion between spikes is exact in dt; the chance takes the voltage at the end of the step. The
    gradient of a spike is that of its probability. Each cell draws from a sequence of its own that
    `init` starts from the generator and each step moves on by one: a run from a given state repeats
    itself, two runs from rest differ. Under `torch.func.vmap`, a run from rest needs
    `randomness="same"` or `"different"`.

    generator: where the sequences start. tau: ms. resistance: R in GOhm. v_rest, v_threshold,
    v_reset: mV. rate: rho_0, at threshold, per ms. width: w in mV. reset_gradient: whether the
    gradient passes through the reset.
    Reference: Gerstner et al. 2014, Neuronal Dynamics, doi 10.1017/CBO9781107447615, chapter 9.
    Random numbers: Steele, Lea & Flood 2014, doi 10.1145/2714064.2660195.
    """

    tau: Value
    resistance: Value
    v_rest: Value
    v_threshold: Value
    v_reset: Value
    rate: Value
    width: Value

    def __init__(
        self,
        *,
        generator: torch.Generator,
        tau: Value = 20.0,
        resistance: Value = 0.1,
        v_rest: Value = -65.0,
        v_threshold: Value = -50.0,
        v_reset: Value = -65.0,
        rate: Value = 0.1,
        width: Value = 2.0,
        reset_gradient: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(generator, torch.Generator):
            raise TypeError(f"EscapeRate: generator must be a torch.Generator, got {generator!r}.")
        self.generator, self.reset_gradient = generator, reset_gradient
        self.hold_positive(tau=tau, resistance=resistance)
        self.hold(v_rest=v_rest, v_threshold=v_threshold, v_reset=v_reset)
        self.hold_positive(rate=rate, width=width)
        self._values += ("reset_gradient",)

    def init(self, like: Tensor) -> EscapeRateState:
        """At rest, each cell with a sequence of its own."""
        return EscapeRateState(filled(like, self.v_rest), fresh_keys(like, self.generator))

    def membrane(self, state: EscapeRateState) -> Membrane:
        """The leak."""
        leak = 1 / self.resistance
        return Membrane(capacitance=self.tau * leak, conductance=leak, drive=self.v_rest * leak)

    def emit(self, state: EscapeRateState, v: Tensor, dt: float) -> tuple[EscapeRateState, Tensor]:
        """A spike with the probability that v has, and the reset."""
        distance = ((v - self.v_threshold) / self.width).clamp(max=_HIGHEST)
        chance = -torch.expm1(-self.rate * dt * torch.exp(distance))
        key, draw = uniform(state.key, v.dtype)
        spike = (draw < chance).to(v.dtype) + (chance - chance.detach())
        v = reset(v, spike, self.v_reset, gradient=self.reset_gradient)
        return EscapeRateState(v, key), spike


def fresh_keys(like: Tensor, generator: torch.Generator) -> Tensor:
    """Keys [*B, N], int64, from which sequences of random numbers start."""
    ends = torch.iinfo(torch.int64)
    keys = torch.randint(
        ends.min, ends.max, like.shape, generator=generator, device=generator.device
    )
    return keys.to(like.device)


def uniform(key: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The next keys, and random numbers of that type, uniform in [0, 1), from the keys [*B, N].

    The numbers have as many bits as the type holds exactly.
    """
    key = key + _INCREMENT
    bits = 1 - round(math.log2(torch.finfo(dtype).eps))
    number = _shifted(mixed(key), 64 - bits)
    return key, number.to(dtype) * 2.0**-bits


def place_in_sequence(key: Tensor, index: Tensor) -> Tensor:
    """The keys, int64, after as many moves and one: where entry `index` of a sequence is made."""
    return key + (index + 1) * _INCREMENT


def mixed(key: Tensor) -> Tensor:
    """64 random bits, int64, from each key, int64: splitmix64 in tensor arithmetic."""
    number = (key ^ _shifted(key, 30)) * _FIRST
    number = (number ^ _shifted(number, 27)) * _SECOND
    return number ^ _shifted(number, 31)


def _shifted(number: Tensor, places: int) -> Tensor:
    """The 64 bits of a number moved to the right, zeros filling in."""
    return (number >> places) & ((1 << (64 - places)) - 1)
