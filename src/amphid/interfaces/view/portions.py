"""A large network that lives: portions of many steps, each run by the compiled engine."""

from __future__ import annotations

import torch
from torch import Tensor

from amphid.interfaces.view.living import check_single
from amphid.simulation import Compiled, Engine, Network, NetworkState, Stimulus, simulate
from amphid.simulation.stimulus import check_positive


class LivingPortions:
    """A `Network` of many cells, run some steps at once by the compiled engine.

    What is done to it, and the noise of its session, hold for a portion; a cell that fires several
    times within one is shown to have fired. Dead cells are those of `Network.lesioned`.

    network: of one copy. step: ms. portion: steps; together they are the dt of the session.
    engine: another one than `Compiled()`. Raises ValueError or TypeError for what does not fit.
    """

    shows = ("voltage", "mV")

    def __init__(
        self, network: Network, step: float, portion: int = 20, *, engine: Engine | None = None
    ) -> None:
        check_single(network)
        check_positive("step", step)
        if not isinstance(portion, int) or portion < 1:
            raise ValueError(f"portion must be a number of steps, at least 1, got {portion!r}.")
        self.network, self.size, self.portion = network, float(step), portion
        self.dt, self.connectome = step * portion, network.connectome
        self.engine = engine or Compiled()
        self.spikes = network.neuron.output == "spike"
        self.script = f"LivingPortions(net, step={self.size!r}, portion={portion!r})"
        self.note = f"portions of {portion} steps of {step:g} ms in compiled code"

    @torch.no_grad()
    def begin(self) -> None:
        """Start at rest, all cells alive."""
        like = self.network.weight.new_zeros(1, len(self.connectome))
        self.state: NetworkState | None = self.network.init(like, self.network.wires(self.size))
        self._level = self.state.v.detach()[0].clone()
        self._fired = torch.zeros(len(self.connectome), dtype=torch.bool)
        self.kill(())

    @torch.no_grad()
    def step(self, current: Tensor) -> None:
        """One portion under a current [N] in pA."""
        driven = current.nonzero()[
            :, 0
        ]  # few, without noise: all of them would be copied each step
        held = current.to(self.network.weight)[driven].expand(self.portion, -1)
        run = simulate(
            self._living,
            Stimulus(held, driven, len(current), self.size),
            record=("v", *(["spike"] if self.spikes else [])),
            every=self.portion,
            state=self.state,
            engine=self.engine,
        )
        self.state, self._level = run.state, run.v[-1, 0].clone()
        self._fired = torch.zeros_like(self._fired)
        if run.spikes is not None:
            self._fired[run.spikes.cell] = True

    def kill(self, dead: tuple[int, ...]) -> None:
        """These cells, and no others, are dead from the next portion on."""
        # no cells are killed in the same way: their machine code is that of a lesion from the start
        self._living = self.network.lesioned(list(dead), control=False)

    @property
    def level(self) -> Tensor:
        """Membrane potentials [N], mV."""
        return self._level

    @property
    def fired(self) -> Tensor:
        """Which cells fired in the last portion [N]."""
        return self._fired
