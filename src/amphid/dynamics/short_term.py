"""Short-term plasticity: how much a synapse releases depends on when it last did."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.graded import GapJunction, GradedSynapse
from amphid.dynamics.synapse import ConductanceSynapse, Synapse
from amphid.dynamics.values import Value, decay


class ShortTermState(NamedTuple):
    """State of synapses with short-term plasticity, and of the synapse inside."""

    synapse: Any  # state of the synapse inside
    u: Tensor  # facilitation: how much of `use` is in force from earlier spikes, 0 to 1
    x: Tensor  # share of the resources that are ready, 0 to 1


class ShortTerm(ConductanceSynapse[ShortTermState]):
    r"""Depression and facilitation of any synapse that takes spikes.

    .. math:: \dot u = -u / \tau_f, \qquad \dot x = (1 - x) / \tau_r; \qquad \text{spike}:
              u \leftarrow u + U (1 - u), \; \text{release } u x, \; x \leftarrow x - u x

    Both live in the presynaptic cell and are exact between spikes. A first spike releases U, so the
    strength of a fresh synapse is U times weight times that of the synapse inside. Released
    resources recover at once from their short time in use, as they do where the synaptic current
    is much faster than the recovery.

    It is made for spikes. An output between 0 and 1 counts as that share of a spike in every step,
    which gives surrogate gradients their way but means nothing for cells of graded release.

    synapse: what a spike does at the other side. use: U, share of the ready resources, in (0, 1].
    facilitation, recovery: ms; None is none: u is U at every spike, or x is 1.
    Raises TypeError for a synapse that takes no spikes or has short-term plasticity already.
    Reference: Tsodyks, Pawelzik & Markram 1998, doi 10.1162/089976698300017502.
    """

    use: Value
    facilitation: Value | None
    recovery: Value | None

    def __init__(
        self,
        synapse: Synapse[Any],
        *,
        use: Value,
        facilitation: Value | None = None,
        recovery: Value | None = None,
    ) -> None:
        super().__init__()
        self.synapse = _taking_spikes(synapse)
        self.hold_positive(use=use)
        if bool((torch.as_tensor(use) > 1).any()):
            raise ValueError(f"ShortTerm: use is a share of the resources, at most 1; got {use}.")
        self._hold_time(facilitation=facilitation)
        self._hold_time(recovery=recovery)

    @property
    def solvable(self) -> bool:
        """Whether the synapse inside opens a conductance."""
        return isinstance(self.synapse, ConductanceSynapse) and self.synapse.solvable

    @property
    def reversal(self) -> Value:  # type: ignore[override]
        """Reversal in mV of the synapse inside, which must open a conductance."""
        reversal: Value = self.synapse.reversal  # type: ignore[assignment]
        return reversal

    def init(self, like: Tensor) -> ShortTermState:
        """Fresh: everything ready, nothing facilitated."""
        inside = self.synapse.init(like)
        return ShortTermState(inside, u=torch.zeros_like(like), x=torch.ones_like(like))

    def release(
        self, state: ShortTermState, output: Tensor, dt: float
    ) -> tuple[ShortTermState, Tensor]:
        """What the spikes `output` [*B, N] release, and the state dt ms later."""
        rise = self.use * (1 - state.u)
        u = state.u + rise * output
        released = (state.u + rise) * state.x * output
        x = state.x - released
        inside, released = self.synapse.release(state.synapse, released, dt)
        u = u * _left(dt, self.facilitation)
        x = 1 + (x - 1) * _left(dt, self.recovery)
        return ShortTermState(inside, u, x), released

    def step(
        self, state: ShortTermState, arriving: Tensor, v_post: Tensor, dt: float
    ) -> tuple[ShortTermState, Tensor]:
        """Current [*B, N] in pA of the synapse inside."""
        inside, current = self.synapse.step(state.synapse, arriving, v_post, dt)
        return state._replace(synapse=inside), current

    def advance(self, state: ShortTermState, arriving: Tensor, dt: float) -> ShortTermState:
        """The state with the synapse inside advanced."""
        return state._replace(synapse=self._conductance().advance(state.synapse, arriving, dt))

    def conductance_of(self, state: ShortTermState, v_post: Tensor, dt: float) -> Tensor:
        """Conductance [*B, N] in nS of the synapse inside."""
        return self._conductance().conductance_of(state.synapse, v_post, dt)

    def _conductance(self) -> ConductanceSynapse[Any]:
        if not isinstance(self.synapse, ConductanceSynapse):
            raise TypeError(
                f"ShortTerm: {self.synapse!r} injects a current and opens no conductance. Ask "
                "`solvable` first, and use `step`."
            )
        return self.synapse

    def _hold_time(self, **time: Value | None) -> None:
        for name, value in time.items():
            if value is None:
                setattr(self, name, None)
                self._values += (name,)
            else:
                self.hold_positive(**{name: value})


def _taking_spikes(synapse: Synapse[Any]) -> Synapse[Any]:
    if not isinstance(synapse, Synapse) or isinstance(
        synapse, (GapJunction, GradedSynapse, ShortTerm)
    ):
        raise TypeError(
            "ShortTerm: synapse must be one that takes spikes, such as Exponential(tau=5.0, "
            f"amplitude=30.0), and has no short-term plasticity yet; got {synapse!r}."
        )
    return synapse


def _left(dt: float, tau: Value | None) -> Value:
    return 0.0 if tau is None else decay(dt, tau)
