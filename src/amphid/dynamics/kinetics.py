"""Time courses of transmitter: what a pulse at the start of a step leaves during it and after it.

All are linear and exact: the state after dt, and the mean over dt, do not depend on how dt is cut
into steps. A pulse of 1 has a peak of 1.
"""

from __future__ import annotations

import math

from torch import Tensor

from amphid.dynamics.values import Value, decay, mean_decay


def exponential(s: Tensor, arriving: Tensor, dt: float, tau: Value) -> tuple[Tensor, Tensor]:
    r"""s after dt ms and its mean over them: :math:`\dot s = -s / \tau`, pulses raise s."""
    s = s + arriving
    return s * decay(dt, tau), s * mean_decay(dt, tau)


def alpha(
    s: Tensor, rising: Tensor, arriving: Tensor, dt: float, tau: Value
) -> tuple[Tensor, Tensor, Tensor]:
    r"""s and rising after dt ms and the mean of s over them; a pulse gives (t/tau) exp(1 - t/tau).

    .. math:: \dot s = (h - s) / \tau, \qquad \dot h = -h / \tau, \text{ pulses raise } h
    """
    rising = rising + math.e * arriving
    left, mean = decay(dt, tau), mean_decay(dt, tau)
    return (s + rising * (dt / tau)) * left, rising * left, s * mean + rising * (mean - left)


def double_exponential(
    slow: Tensor, fast: Tensor, arriving: Tensor, dt: float, rise: Value, decay: Value
) -> tuple[Tensor, Tensor, Tensor]:
    """slow and fast after dt ms and the mean of slow - fast over them; rise < decay, both in ms."""
    ratio = rise / decay
    peak = ratio ** (ratio / (1 - ratio)) * (1 - ratio)
    pulse = arriving / peak
    slow, slow_mean = exponential(slow, pulse, dt, decay)
    fast, fast_mean = exponential(fast, pulse, dt, rise)
    return slow, fast, slow_mean - fast_mean
