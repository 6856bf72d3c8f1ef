"""A connectome as a layer: one learned weight for every connection."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amphid.models.folding import check_type
from amphid.models.layer import Layer, Stepping, check_sequence, check_state, nothing
from amphid.simulation.wires import Wires, lags
from amphid.wiring import Connectome


class Connections(Layer):
    r"""What arrives at each cell of a connectome: a sparse linear layer with delays.

    .. math:: y_j(t) = \sum_{e: i \to j} w_e\, x_i(t - d_e)

    connectome: N cells and E connections; delays are rounded to whole steps, none count as zero.
    weight: [E] pA for each unit that a cell gives out, with its sign. A tensor is fixed, an
    `nn.Parameter` learned; when None it is learned and starts at `scale` pA times the number of
    synapses, negative where the connectome says so.

    The state holds what is under way [D, *B, N], D steps for the longest delay. For cells with
    synapses that have equations use a `Network`.
    """

    weight: Tensor

    def __init__(
        self, connectome: Connectome, weight: Tensor | None = None, *, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.connectome, wires = connectome, connectome.connections
        if weight is None:
            counts = torch.tensor(wires.synapses, dtype=torch.get_default_dtype())
            counts[torch.from_numpy(wires.sign < 0)] *= -1
            weight = nn.Parameter(scale * counts)
        if not isinstance(weight, Tensor) or weight.shape != (len(wires),):
            got = list(weight.shape) if isinstance(weight, Tensor) else repr(weight)
            raise ValueError(
                f"Connections: weight must be [E], one for each of {len(wires)} connections, got "
                f"{got}."
            )
        self.hold(weight=weight)

    def extra_repr(self) -> str:
        """The connectome, and whether its weights are learned."""
        return f"{self.connectome!r}, {super().extra_repr()}"

    def run(self, x: Tensor, state: Tensor | None = None, dt: float = 1.0) -> tuple[Tensor, Tensor]:
        """What arrives [T, *B, N] of what the cells give out [T, *B, N]."""
        check_sequence(self, x)
        return self._carried(self._wires(dt), x, state)

    def stepping(self, dt: float) -> Stepping:
        """One step, with weights gathered once."""
        wires = self._wires(dt)

        def step(state: Any, x: Tensor) -> tuple[Tensor, Tensor]:
            y, after = self._carried(wires, x[None], state)
            return after, y[0]

        return step

    def lag(self, dt: float) -> NDArray[np.int64]:
        """[E] steps of dt ms from the one in which a cell gives out to the next that may hear it.

        That is 1 without a delay.
        """
        wires = self.connectome.connections
        return lags(wires.delay, np.arange(len(wires)), dt)

    def _wires(self, dt: float) -> Wires:
        edges = np.arange(len(self.connectome.connections))
        return Wires.of(self.connectome, edges, self.weight, dt).gathered()

    def _carried(self, wires: Wires, x: Tensor, state: Any) -> tuple[Tensor, Tensor]:
        if x.shape[-1] != wires.size:
            raise ValueError(
                f"Connections takes {wires.size} cells along the last axis, but there are "
                f"{x.shape[-1]}: the input has shape {list(x.shape)}."
            )
        check_type("Connections", self, x)
        steps, longest = len(x), wires.longest - 1  # a lag of one is no delay here
        before = x.new_zeros(longest, *x.shape[1:]) if nothing(state) else state
        check_state(self, before, torch.Size((longest, *x.shape[1:])), "what is under way")
        known = torch.cat((before, x)) if longest else x
        past = tuple(known[longest - k : longest - k + steps] for k in range(longest + 1))
        return wires.deliver(past), known[len(known) - longest :]
