"""Delays that are learned: of a cell, or of every connection between two layers."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from amphid.dynamics.values import Value
from amphid.models.layer import Layer, Stepping, check_sequence, check_state, nothing

NEAR = 1e-6  # of a step: what rounding leaves of a whole number of steps


class Delayed(Layer):
    """A layer that hands on what it received some time ago. Abstract.

    The state holds the last inputs [D, *B, N], as many steps as the longest delay takes.
    """

    delay: Value
    longest: float
    spread: float | None

    def hold_delay(self, delay: Value, longest: float | None, spread: float | None) -> None:
        """Keep a delay, the longest that it may become, and how widely it is read."""
        kind = type(self).__name__
        self.hold(delay=delay)
        own = torch.as_tensor(delay).detach()
        if own.numel() and not (float(own.min()) >= 0 and float(own.max()) < math.inf):
            raise ValueError(f"{kind}: delay must not be negative, got {delay}.")
        highest = float(own.max()) if own.numel() else 0.0
        if longest is None and isinstance(delay, nn.Parameter):
            raise ValueError(
                f"{kind}: a learned delay needs longest=, in ms, the most that it may become."
            )
        self.longest = highest if longest is None else float(longest)
        if not highest <= self.longest < math.inf:
            raise ValueError(
                f"{kind}: longest must be at least the delays, up to {highest:g} ms, got {longest}."
            )
        self.spread = spread
        self._values += ("longest", "spread")

    def steps(self, dt: float) -> int:
        """How many steps of dt ms the longest delay takes."""
        if self.spread is not None and not 0 < self.spread < math.inf:
            raise ValueError(
                f"{type(self).__name__}: spread must be a positive number of ms, or None, got "
                f"{self.spread!r}."
            )
        return math.ceil(self.longest / dt - NEAR)

    def known(self, x: Tensor, state: Any, steps: int) -> Tensor:
        """What was received [D + T, *B, N], before and now."""
        before = x.new_zeros(steps, *x.shape[1:]) if nothing(state) else state
        check_state(self, before, torch.Size((steps, *x.shape[1:])), "inputs")
        return torch.cat((before, x)) if steps else x

    def within(self, steps: int, dt: float, like: Tensor) -> Tensor:
        """The delays in steps, none longer than may be, their gradient as though none were cut."""
        delay = torch.as_tensor(self.delay, dtype=like.dtype, device=like.device) / dt
        return delay + (delay.detach().clamp(0, steps) - delay.detach())

    def taps(self, steps: int, dt: float, like: Tensor) -> Tensor:
        """How much of the input of 0 to D steps ago is heard [D + 1, ...]; they sum to one."""
        delay = self.within(steps, dt, like)
        ago = torch.arange(steps + 1, dtype=like.dtype, device=like.device)
        ago = ago.reshape(-1, *[1] * delay.dim())
        if self.spread is not None:
            width = self.spread / dt
            return torch.softmax(-0.5 * ((ago - delay) / width) ** 2, dim=0)
        below = delay.detach().floor().clamp(0, max(steps - 1, 0))
        share = delay - below
        return (ago == below) * (1 - share) + (ago == below + 1) * share


class Delay(Delayed):
    r"""What every cell received some time ago, over a line of its own.

    A delay that is no whole number of steps lies between two: :math:`y(t) = (1 - f) x(t - k) +
    f x(t - k - 1)` for a delay of :math:`k + f` steps, exact where f is 0. That is also what its
    gradient is of. With a `spread` it is read through a Gaussian of that standard deviation, which
    lets a learned delay feel what lies further away; make it smaller while training, to None.

    delay: ms; a float or one for each cell [N], learned where an `nn.Parameter`. longest: the most
    that a learned one may become, ms; beyond, it acts like this one. spread: ms, an attribute that
    may be set at any time.
    Reference: Hammouamri, Khalfaoui-Hassani & Masquelier 2023, doi 10.48550/arXiv.2306.17670.
    """

    def __init__(
        self, delay: Value, *, longest: float | None = None, spread: float | None = None
    ) -> None:
        super().__init__()
        self.hold_delay(delay, longest, spread)

    def run(self, x: Tensor, state: Tensor | None = None, dt: float = 1.0) -> tuple[Tensor, Tensor]:
        """The input [T, *B, N] of some time ago [T, *B, N]."""
        check_sequence(self, x)
        own = self.delay
        if isinstance(own, Tensor) and own.dim() and own.shape[-1] not in (1, x.shape[-1]):
            raise ValueError(
                f"Delay: delay has {own.shape[-1]} entries along its last axis, but there are "
                f"{x.shape[-1]} cells: the input has shape {list(x.shape)}."
            )
        steps = self.steps(dt)
        known = self.known(x, state, steps)
        after = known[len(known) - steps :]
        if self.spread is not None:
            heard = zip(self.taps(steps, dt, x), _shifted(known, steps), strict=True)
            return reduce(torch.add, [tap * ago for tap, ago in heard]), after
        if isinstance(self.delay, float):
            return self._fixed(known, steps, dt), after
        return self._gathered(known, steps, dt), after

    def _fixed(self, known: Tensor, steps: int, dt: float) -> Tensor:
        """One delay for all: two slices at most."""
        delay = float(self.delay) / dt
        below = math.floor(delay + NEAR)
        ago, share = list(_shifted(known, steps)), delay - below
        if share < NEAR:
            return ago[below]
        return (1 - share) * ago[below] + share * ago[below + 1]

    def _gathered(self, known: Tensor, steps: int, dt: float) -> Tensor:
        """A delay for each: two entries for each output."""
        delay = self.within(steps, dt, known)
        below = delay.detach().floor().clamp(0, max(steps - 1, 0)).long()
        share = delay - below
        time = torch.arange(steps, len(known), device=known.device)
        time = time.reshape(-1, *[1] * (known.dim() - 1))
        shape = (len(known) - steps, *known.shape[1:])
        near = known.gather(0, (time - below).expand(shape))
        far = known.gather(0, (time - below - 1).clamp(min=0).expand(shape))
        return (1 - share) * near + share * far


class DelayedLinear(Delayed):
    r"""A linear layer whose every connection has a delay of its own, fixed or learned.

    .. math:: y_j(t) = b_j + \sum_i w_{ji}\, x_i(t - d_{ji})

    in_features, out_features: N and K. delay: ms, [K, N] or what broadcasts to it; see `Delay` for
    what lies between two steps, and for `longest` and `spread`. weight: [K, N] and bias: [K] start
    as those of `nn.Linear`.
    Reference: Hammouamri, Khalfaoui-Hassani & Masquelier 2023, doi 10.48550/arXiv.2306.17670.
    """

    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        delay: Value,
        longest: float | None = None,
        spread: float | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        like = nn.Linear(in_features, out_features, bias=bias)
        self.in_features, self.out_features = in_features, out_features
        self.weight, self.bias = like.weight, like.bias
        self._values += ("in_features", "out_features")
        self.hold_delay(delay, longest, spread)
        if isinstance(delay, Tensor):
            _check_delays(delay, out_features, in_features)

    def run(self, x: Tensor, state: Tensor | None = None, dt: float = 1.0) -> tuple[Tensor, Tensor]:
        """Currents [T, *B, K] of an input [T, *B, N]."""
        check_sequence(self, x)
        return self._heard(self._kernel(dt), x, state, dt)

    def stepping(self, dt: float) -> Stepping:
        """One step, with the weights of all taps computed once."""
        kernel = self._kernel(dt)

        def step(state: Any, x: Tensor) -> tuple[Tensor, Tensor]:
            y, after = self._heard(kernel, x[None], state, dt)
            return after, y[0]

        return step

    def _kernel(self, dt: float) -> Tensor:
        """Weights [K, N, D + 1] of the inputs of D to 0 steps ago."""
        taps = self.taps(self.steps(dt), dt, self.weight)
        taps = taps.reshape(len(taps), *[1] * (3 - taps.dim()), *taps.shape[1:])
        return (self.weight * taps).movedim(0, -1).flip(-1)

    def _heard(self, kernel: Tensor, x: Tensor, state: Any, dt: float) -> tuple[Tensor, Tensor]:
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"DelayedLinear takes {self.in_features} features along the last axis, but there "
                f"are {x.shape[-1]}: the input has shape {list(x.shape)}."
            )
        steps = kernel.shape[-1] - 1
        known = self.known(x, state, steps)
        rows = known.reshape(len(known), -1, self.in_features).permute(1, 2, 0)
        y = conv1d(rows, kernel, self.bias).permute(2, 0, 1)
        return y.reshape(*x.shape[:-1], self.out_features), known[len(known) - steps :]


def _shifted(known: Tensor, steps: int) -> list[Tensor]:
    """What was received 0 to D steps ago, each [T, *B, N]."""
    size = len(known) - steps
    return [known[steps - ago : steps - ago + size] for ago in range(steps + 1)]


def _check_delays(delay: Tensor, outputs: int, inputs: int) -> None:
    fits = delay.dim() <= 2 and all(
        own in (1, there) for own, there in zip(delay.shape[::-1], (inputs, outputs), strict=False)
    )
    if not fits:
        raise ValueError(
            f"DelayedLinear: delay must be [K, N] = [{outputs}, {inputs}], or broadcast to it, got "
            f"shape {list(delay.shape)}."
        )
