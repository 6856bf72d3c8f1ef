"""A network that goes on: what its machine code works on stays in place from call to call."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from amphid.kernels import UnknownOperation
from amphid.simulation.compiled.engine import Compiled
from amphid.simulation.compiled.flat import flat_task, state_as_asked
from amphid.simulation.network import Network, NetworkState
from amphid.simulation.simulate import Task, check_types
from amphid.simulation.stimulus import check_finite, check_positive
from amphid.wiring import checks


class Ongoing:
    """A network under currents that come while it goes on, such as those of a body or a hand.

    It does what `simulate` does by the compiled engine with the state of each call handed to the
    next, but lays nothing out again; no bit depends on how its steps are portioned, or on looks at
    it. Of many cells, those that rest are left alone as `Compiled` does it, where few are driven:
    what is computed is then the same up to rounding. Weights and values are those at the start:
    what is changed later takes an `Ongoing` of its own, from the state of this one.

    network: of one copy, on the processor. dt: ms per step. state: where to start; at rest when
    None. threads: as `Compiled` takes them.
    Raises UnknownOperation, naming it, for what cannot be compiled, ValueError for many copies.
    """

    @torch.no_grad()
    def __init__(
        self,
        network: Network,
        dt: float,
        state: NetworkState | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        check_positive("dt", dt)
        check_types(network)
        if network.batch.numel() != 1:
            raise ValueError(
                f"network must be of one copy, got one of {list(network.batch)} side by side."
            )
        self.spikes, self.steps = network.neuron.output == "spike", 0
        still = network.weight.new_zeros(1, len(network.connectome))
        record = ("spike",) if self.spikes else ()
        self._task = Task(network, still, None, float(dt), record, 1, state, None)
        walk = Compiled(threads).walk(flat_task(self._task))
        if walk is None:
            raise UnknownOperation("the voltages of this network must be solved together.")
        self._walk = walk

    @property
    def note(self) -> str:
        """How it is stepped."""
        return self._walk.note

    def go(self, current: Tensor, steps: int = 1) -> Tensor:
        """Take some steps under a current [N] in pA; which cells fired in them [N], as booleans.

        Raises ValueError or TypeError for steps or a current that cannot be.
        """
        checks.whole("steps", steps)
        size = len(self._task.network.connectome)
        if checks.reals("current", current).shape != (size,):
            raise ValueError(
                f"current must hold one number for each cell, [{size}] in pA, got shape "
                f"{list(current.shape)}."
            )
        held = current.detach().to(self._task.stimulus).numpy()
        if not np.isfinite(held).all():  # numpy is quicker to tell that nothing is wrong
            check_finite(current[None], None)
        self._walk.hold(held)
        self.steps += steps
        fired = np.zeros(current.shape[-1], dtype=bool)
        for _, _, cells in self._walk.go_to(self.steps):
            fired[cells] = True
        return torch.from_numpy(fired)

    @property
    def v(self) -> Tensor:
        """Membrane potentials [N], mV."""
        return torch.from_numpy(self._walk.voltage()[0].copy())

    def state(self) -> NetworkState:
        """The state, for `simulate` or another network to start from."""
        return state_as_asked(self._task, self._walk.state(self.steps))
