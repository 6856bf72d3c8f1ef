"""A network that lives: step after step, under whatever current comes, its cells dead or alive."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from amphid.simulation import Network, NetworkState
from amphid.simulation.stepping import Joint, Stepper, choose
from amphid.simulation.stimulus import check_positive
from amphid.wiring import Connectome


class Life(Protocol):
    """What a session steps through time: cells that have a level, and may fire."""

    connectome: Connectome
    dt: float
    """ms per step."""
    note: str
    """How it is stepped, in words."""
    shows: tuple[str, str]
    """What the level is, and its unit."""
    spikes: bool
    """Whether cells fire."""
    script: str
    """The first arguments of a session, in Python, the network being `net`."""

    def begin(self) -> None:
        """Start at rest, all cells alive."""

    def step(self, current: Tensor) -> None:
        """One step under a current [N] in pA."""

    def kill(self, dead: tuple[int, ...]) -> None:
        """These cells, and no others, are dead from the next step on."""

    @property
    def level(self) -> Tensor:
        """Where the cells are [N]."""

    @property
    def fired(self) -> Tensor:
        """Which cells fired in the last step [N], as booleans."""


class LivingNetwork:
    """A `Network`, stepped by the torch engine's own step; nothing depends on how it is portioned.

    network: of one copy, without trials. dt: ms per step.
    """

    shows = ("voltage", "mV")

    def __init__(self, network: Network, dt: float) -> None:
        check_single(network)
        check_positive("dt", dt)
        self.network, self.dt, self.connectome = network, float(dt), network.connectome
        self.spikes = network.neuron.output == "spike"
        self.script = f"net, dt={self.dt!r}"

    @torch.no_grad()
    def begin(self) -> None:
        """Start at rest, all cells alive."""
        wires = self.network.wires(self.dt)
        like = self.network.weight.new_zeros(1, len(self.connectome))
        self.state: NetworkState = self.network.init(like, wires)
        self._stepper: Stepper | None = choose(self.network, wires, self.dt)
        self.note = self._stepper.note
        self._implicit = isinstance(self._stepper, Joint)
        self._dead: tuple[int, ...] = ()

    @torch.no_grad()
    def step(self, current: Tensor) -> None:
        """One step under a current [N] in pA."""
        if self._stepper is None:
            self._stepper = self._prepared()
        self.state = self._stepper(self.state, current.to(self.network.weight)[None])

    def kill(self, dead: tuple[int, ...]) -> None:
        """These cells, and no others, are dead from the next step on."""
        self._dead, self._stepper = dead, None

    @property
    def level(self) -> Tensor:
        """Membrane potentials [N], mV."""
        return self.state.v.reshape(-1)

    @property
    def fired(self) -> Tensor:
        """Which cells fired in the last step [N]."""
        given = self.state.given.reshape(-1)
        return given > 0 if self.spikes else torch.zeros_like(given, dtype=torch.bool)

    def _prepared(self) -> Stepper:
        dead = list(self._dead)
        network = self.network.lesioned(dead, control=False) if dead else self.network
        return choose(network, network.wires(self.dt), self.dt, implicit=self._implicit)


def check_single(network: Network) -> None:
    """Raise TypeError or ValueError for anything but a network of one copy."""
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {type(network).__name__}.")
    if network.batch:
        raise ValueError(
            f"a session needs a network of one copy, got one of {list(network.batch)} side by side."
        )
