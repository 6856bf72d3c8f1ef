"""An arm that a decoder moves, bin by bin, and that comes to rest where no bins come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.models.arms.servo import Servo, ServoState
from amphid.models.decoders import Decoder
from amphid.wiring import checks


class DrivenState(NamedTuple):
    """What a driven arm carries from tick to tick."""

    memory: Any  # of the decoder
    velocity: Tensor  # told to the arm [D], mm/ms
    servo: ServoState


@dataclass(frozen=True, eq=False)
class DrivenArm:
    r"""A decoder and the arm that follows it, told at each tick which bins came since the last.

    All bins are decoded in their order, and the arm follows the last velocity. Where none came the
    velocity fades, :math:`v \leftarrow v e^{-dt / \tau}`, so that a stream that stalls or ends
    brings the arm to rest without a jump. A decoder whose velocity is not finite starts anew.

    fade: tau, ms.
    """

    decoder: Decoder
    servo: Servo
    fade: float = 60.0

    def __post_init__(self) -> None:
        checks.positive("fade, in ms,", self.fade)
        checks.instance("decoder", self.decoder, Decoder, "a decoder such as RidgeDecoder(84, 2)")
        checks.instance("servo", self.servo, Servo, "a servo such as Servo(PlanarArm())")
        if self.decoder.axes != self.servo.arm.dimensions:
            raise ValueError(
                f"decoder must give velocities along the {self.servo.arm.dimensions} axes of the "
                f"arm, got {self.decoder.axes}."
            )

    def init(self) -> DrivenState:
        """The arm at its posture, the decoder before its first bin."""
        still = torch.zeros(self.decoder.axes)
        return DrivenState(self._fresh(), still, self.servo.init(still))

    def step(
        self, state: DrivenState, bins: Sequence[Tensor], dt: float
    ) -> tuple[DrivenState, Tensor]:
        """Decode the bins [N] that came, and move for dt ms; also returns where the hand is [D]."""
        checks.positive("dt, in ms,", dt)
        checks.instance("state", state, DrivenState, "the state that `init` or `step` gives")
        checks.instance("bins", bins, Sequence, "a list of counts [N], one tensor for each bin")
        memory, velocity = state.memory, state.velocity * math.exp(-dt / self.fade)
        with torch.no_grad():
            for counts in bins:
                memory, velocity = self._decoded(memory, counts)
            servo, place = self.servo.step(state.servo, velocity, dt)
        return DrivenState(memory, velocity, servo), place

    def _fresh(self) -> Any:
        return self.decoder.init(torch.zeros(self.decoder.cells))

    def _decoded(self, memory: Any, counts: Tensor) -> tuple[Any, Tensor]:
        memory, velocity = self.decoder.step(memory, counts)
        if bool(velocity.isfinite().all()):
            return memory, velocity
        return self._fresh(), torch.zeros_like(velocity)
