"""A layer behind which torch sees a slope that was measured, whatever follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from amphid.learning.gradients.objective import Criterion

Slope = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From noise [*E, S, P] of a standard deviation, changes of losses [*E, S] and that deviation to
the slope [*E, P] of the losses."""


def least_squares(noise: Tensor, change: Tensor, size: Tensor) -> Tensor:
    """Slope of the plane through the losses without noise that is closest to those with noise.

    The shortest of them where there are fewer samples than entries. It is the worst where there are
    about as many: there take `smoothed`, or more or fewer.
    """
    driver = "gelsd" if noise.device.type == "cpu" else "gels"
    found: Tensor = torch.linalg.lstsq(noise, change.unsqueeze(-1), driver=driver).solution
    return found.squeeze(-1)


def smoothed(noise: Tensor, change: Tensor, size: Tensor) -> Tensor:
    """Gradient of the losses smoothed by the noise, with the loss without noise as baseline."""
    return torch.einsum("...s,...sp->...p", change, noise) / (noise.shape[-2] * size**2)


class WeakGrad(nn.Module):
    r"""Passes on its input and copies of it with noise; the slope of what follows is measured.

    In training the output holds the input, then S copies with normal noise, one after another along
    the batch: [(1 + S) B, *N] of [B, *N]. `judging(criterion)` is the loss to use with it: it asks
    the criterion of each copy, hands the losses over, and gives that of the copy without noise.
    What comes back to the layer in the backward pass is not looked at: its input gets the slope of
    those losses. So layers before it are trained by autograd whatever follows; layers behind it as
    far as torch can differentiate them. In evaluation it passes its input on and nothing else.

    Where the criterion gives an entry for each example [B], each is regressed by itself, on its own
    noise: far fewer samples are needed.

    generator: draws the noise. samples: S. radius: standard deviation of the noise in units of the
    root mean square of the input, of the input itself when `absolute`. slope: `least_squares` as
    published, or `smoothed`. axis: that of the batch in the input; 1 for sequences [T, B, N].
    Reference: Hazelden, WeakGrad layer, github.com/meeree/LossLandscapesBNN.
    """

    def __init__(
        self,
        generator: torch.Generator,
        samples: int,
        radius: float = 0.3,
        *,
        absolute: bool = False,
        slope: Slope = least_squares,
        axis: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(generator, torch.Generator):
            raise TypeError(f"WeakGrad: generator must be a torch.Generator, got {generator!r}.")
        if not isinstance(samples, int) or samples < 1:
            raise ValueError(f"WeakGrad: samples must be copies, at least 1, got {samples!r}.")
        if not radius > 0:
            raise ValueError(f"WeakGrad: radius must be above zero, got {radius!r}.")
        self.generator, self.samples, self.radius = generator, samples, radius
        self.absolute, self.slope, self.axis = absolute, slope, axis
        self._handed: _Handed | None = None

    def extra_repr(self) -> str:
        """What it was given."""
        return f"samples={self.samples}, radius={self.radius}, axis={self.axis}"

    def forward(self, x: Tensor) -> Tensor:
        """The input [B, *N] and its copies [(1 + S) B, *N], or in evaluation the input."""
        self._handed = None
        if not (self.training and torch.is_grad_enabled()):
            return x
        place = self.generator.device
        shape = (self.samples, *x.shape)
        noise = torch.randn(shape, generator=self.generator, device=place).to(x)
        rms = x.detach().square().mean().sqrt()
        size = self.radius * (torch.ones_like(rms) if self.absolute or not rms else rms)
        self._handed = handed = _Handed(noise * size, size, self.slope, self.axis)
        handed.copies = _Copied.apply(x, handed)  # type: ignore[no-untyped-call]
        return handed.copies

    def judging(self, criterion: Criterion, *, axis: int = 0) -> Criterion:
        """The loss of a model with this layer: that of its output without noise, [*owners].

        criterion: `criterion(outputs, targets)`, a scalar or one entry for each example. axis: that
        of the batch in the outputs.
        """

        def judged(outputs: Any, targets: Any) -> Tensor:
            handed, self._handed = self._handed, None
            if handed is None:  # in evaluation
                return criterion(outputs, targets)
            plain, *moved = outputs.unflatten(axis, (1 + self.samples, -1)).unbind(axis)
            value = criterion(plain, targets)
            with torch.no_grad():
                losses = torch.stack([criterion(own, targets) for own in moved])
            handed.take(losses - value.detach())
            copies, handed.copies = handed.copies, None  # no circle through the graph is left
            linked: Tensor = _Judged.apply(value, copies, handed)  # type: ignore[no-untyped-call]
            return linked

        return judged


class _Handed:
    """What passes from the losses of a forward pass to its backward pass."""

    def __init__(self, noise: Tensor, size: Tensor, slope: Slope, axis: int) -> None:
        self.noise, self.size, self.slope = noise, size, slope  # [S, *shape of the input]
        self.axis = axis
        self.copies: Tensor | None = None
        self.change: Tensor | None = None  # of the losses by the noise [S, *owners]
        self.weight: Tensor | None = None  # gradient with respect to each loss [*owners]

    def take(self, change: Tensor) -> None:
        """Take the changes of the losses [S] or [S, B]."""
        batch = self.noise.shape[1 + self.axis]
        if change.dim() > 2 or (change.dim() == 2 and change.shape[1] != batch):
            raise ValueError(
                f"WeakGrad: the criterion must give a scalar or an entry for each of {batch} "
                f"examples, got shape {list(change.shape[1:])}."
            )
        self.change = change.to(self.noise)

    def gradient(self) -> Tensor:
        """What goes back to the input."""
        if self.change is None or self.weight is None:
            raise RuntimeError(
                "WeakGrad was given no losses: train with weak.judging(criterion) as the loss, so "
                "that each copy is judged."
            )
        if self.change.dim() == 1:
            slope = self.slope(self.noise.flatten(1), self.change, self.size)
            return slope.view(self.noise.shape[1:]) * self.weight
        noise = self.noise.movedim(1 + self.axis, 0)  # [B, S, *N]
        slope = self.slope(noise.flatten(2), self.change.T, self.size) * self.weight[:, None]
        return slope.view(len(noise), *noise.shape[2:]).movedim(0, self.axis)


class _Copied(torch.autograd.Function):
    """An input and its copies; backward gives what was handed over instead of what comes back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, handed: _Handed) -> Tensor:
        ctx.handed = handed
        return torch.cat((x, *(x + handed.noise)), handed.axis)

    @staticmethod
    def backward(ctx: Any, *unused: Tensor) -> tuple[Tensor, None]:
        return ctx.handed.gradient(), None


class _Judged(torch.autograd.Function):
    """The loss without noise; backward reaches the copies even where nothing else leads there."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, copies: Tensor, handed: _Handed) -> Tensor:
        ctx.handed, ctx.shape = handed, copies.shape
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor, Tensor, None]:
        ctx.handed.weight = weights[0]
        return weights[0], weights[0].new_zeros(()).expand(ctx.shape), None
