"""Noise on what arrives at cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import vmap

from amphid.dynamics import BinaryThreshold
from amphid.learning.gradients.cells.arriving import Entry
from amphid.learning.gradients.weak.designs import mixed
from amphid.learning.gradients.weak.schedules import Radius, check_radius
from amphid.learning.gradients.weak.settings import check_generator


class Noisy(Protocol):
    """An estimator that adds noise to what arrives at cells."""

    generator: torch.Generator
    samples: int
    radius: Radius
    absolute: bool
    steps: int | None
    window: int | None


@dataclass(frozen=True, eq=False)
class Noise:
    """Normal noise for each entry, of a standard deviation each, shared by `steps` time steps."""

    entries: Sequence[Entry]
    sizes: Sequence[Tensor]  # standard deviations
    steps: int | None

    @classmethod
    def of(cls, own: Noisy, entries: Sequence[Entry], radius: float) -> Noise:
        """That of an estimator."""
        units = [_unit(entry.arriving.detach(), absolute=own.absolute) for entry in entries]
        return cls(entries, [radius * unit for unit in units], own.steps)

    def drawn(self, key: int, count: int) -> list[Tensor]:
        """Numbers [K, *shape] for each entry; draw k depends on the key and k alone.

        The first axis of the shape is that of stretches of time.
        """
        found = [torch.empty(count, *self._shape(entry)) for entry in self.entries]
        for place in range(count):
            generator = torch.Generator().manual_seed(mixed(key, place))
            for own in found:
                own[place].normal_(generator=generator)
        pairs = zip(found, self.entries, self.sizes, strict=True)
        return [own.to(entry.arriving) * size for own, entry, size in pairs]

    def slope(self, place: int, drawn: Tensor, weights: Tensor) -> Tensor:
        """Mean over K of weights [K, ...] times what was drawn, per variance, at one entry."""
        slope = (weights * drawn).mean(0) / self.sizes[place] ** 2
        return self._over_time(self.entries[place], slope)

    def responses(self, place: int, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """What the cells of an entry, each by itself, give out with noise added and taken off.

        Both are [K, *shape], for what was drawn [K, ...].
        """
        entry = self.entries[place]
        arriving, offsets = entry.arriving.detach(), torch.cat((drawn, -drawn))
        if self.steps is not None and entry.timed:
            offsets = offsets.repeat_interleave(self.steps, 1)[:, : len(arriving)]
        with torch.no_grad():
            given = vmap(lambda own: entry.alone(arriving + own), randomness="same")(offsets)
        up, down = given.unflatten(0, (2, -1)).unbind(0)
        return up, down

    def caused(self, place: int, worth: Tensor, window: int | None) -> Tensor:
        """Of a worth at each step [K, T, ...] the sum over what each stretch of noise may cause.

        That is from where the stretch starts to `window` steps after it ends; to the end when None.
        """
        entry, steps = self.entries[place], self.steps or 1
        if not entry.timed:
            return worth
        if isinstance(entry.neuron, BinaryThreshold):  # it remembers nothing
            window = 0
        length = worth.shape[1]
        total = nn.functional.pad(worth.movedim(1, -1).cumsum(-1), (1, 0)).movedim(-1, 1)
        first = torch.arange(0, length, steps, device=worth.device)
        if window is None:
            return total[:, -1:] - total[:, first]
        return total[:, (first + steps + window).clamp(max=length)] - total[:, first]

    def _shape(self, entry: Entry) -> torch.Size:
        shape = entry.arriving.shape
        if self.steps is None or not entry.timed:
            return shape
        return torch.Size((-(-shape[0] // self.steps), *shape[1:]))

    def _over_time(self, entry: Entry, slope: Tensor) -> Tensor:
        """The slope of a stretch of time, in equal shares to its steps."""
        if self.steps is None or not entry.timed:
            return slope
        length = len(entry.arriving)
        last = length - self.steps * (len(slope) - 1)
        shares = torch.full((len(slope),), float(self.steps), dtype=slope.dtype)
        shares[-1] = last
        slope = slope / shares.to(slope.device).view(-1, *(1,) * (slope.dim() - 1))
        return slope.repeat_interleave(self.steps, 0)[:length]


def check_noise(own: Noisy) -> None:
    """Raise TypeError or ValueError for settings that are none."""
    check_generator(own.generator)
    if not isinstance(own.samples, int) or own.samples < 2 or own.samples % 2:
        raise ValueError(
            "samples must be an even number of runs, at least 2, as they come in pairs of opposite "
            f"noise; got {own.samples!r}."
        )
    check_radius(own.radius)
    for name, least in (("steps", 1), ("window", 0)):
        held = getattr(own, name)
        if held is not None and (not isinstance(held, int) or held < least):
            raise ValueError(f"{name} must be a number of time steps, or None, got {held!r}.")


def _unit(arriving: Tensor, *, absolute: bool) -> Tensor:
    """The root mean square of what arrives; 1 where it is nothing, or where absolute."""
    if absolute:
        return arriving.new_ones(())
    size = arriving.square().mean().sqrt()
    return torch.where(size > 0, size, 1.0)
