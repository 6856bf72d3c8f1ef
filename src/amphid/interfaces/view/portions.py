"""A network that lives in compiled code: portions of one step, or of many."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.interfaces.view.living import check_single
from amphid.simulation import Network, NetworkState, Ongoing
from amphid.simulation.stimulus import check_positive


class LivingPortions:
    """A `Network`, run some steps at once in machine code, whose state stays in place between them.

    What is done to it, and the noise of its session, hold for a portion; a cell that fires several
    times within one is shown to have fired. Dead cells are those of `Network.lesioned`.

    network: of one copy. step: ms. portion: steps; together they are the dt of the session.
    Raises ValueError or TypeError for what does not fit; `begin` raises UnknownOperation, naming
    it, for what cannot be compiled.
    """

    shows = ("voltage", "mV")

    def __init__(self, network: Network, step: float, portion: int = 20) -> None:
        check_single(network)
        check_positive("step", step)
        if not isinstance(portion, int) or portion < 1:
            raise ValueError(f"portion must be a number of steps, at least 1, got {portion!r}.")
        self.network, self.size, self.portion = network, float(step), portion
        self.dt, self.connectome = step * portion, network.connectome
        self.spikes = network.neuron.output == "spike"
        self.script = f"LivingPortions(net, step={self.size!r}, portion={portion!r})"
        self.note = f"portions of {portion} steps of {step:g} ms in compiled code"

    def begin(self) -> None:
        """Start at rest, all cells alive."""
        with torch.no_grad():
            self._going = self._alive((), self.network.rest(self.size))
        self._fired = torch.zeros(len(self.connectome), dtype=torch.bool)

    def step(self, current: Tensor) -> None:
        """One portion under a current [N] in pA."""
        self._fired = self._going.go(current, self.portion)

    def kill(self, dead: tuple[int, ...]) -> None:
        """These cells, and no others, are dead from the next portion on."""
        self._going = self._alive(dead, self._going.state())

    def _alive(self, dead: tuple[int, ...], state: NetworkState) -> Ongoing:
        """The network that goes on from a state without some of its cells."""
        # no cells are killed in the same way: their machine code is that of a lesion from the start
        living = self.network.lesioned(list(dead), control=False)
        threads = 1 if self.portion == 1 else None  # to wake a thread takes longer than a step
        return Ongoing(living, self.size, state, threads=threads)

    @property
    def level(self) -> Tensor:
        """Membrane potentials [N], mV."""
        return self._going.v

    @property
    def fired(self) -> Tensor:
        """Which cells fired in the last portion [N]."""
        return self._fired
