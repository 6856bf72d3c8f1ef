"""Parameters by name as one row of genes, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amphid.learning.gradients.weak.sampling import units_of

Start = Tensor | Mapping[str, Tensor] | nn.Module
"""Where a population starts: a vector [P], parameters by name, or those of a module."""
Candidates = Tensor | dict[str, Tensor]
"""[S, P] of a vector, [S, *shape] by name of parameters."""


@dataclass(frozen=True, eq=False)
class Genome:
    """How parameters are written as genes: each in units of the root mean square of its tensor.

    start: the parameters by name; under the name "" a vector, which is taken as it is.
    units: the value of a gene of 1, by name.
    """

    start: Mapping[str, Tensor]
    units: Mapping[str, float]

    @property
    def bare(self) -> bool:
        """Whether it is of a vector rather than of parameters by name."""
        return "" in self.start

    @property
    def genes(self) -> Tensor:
        """The start [P]."""
        return self.of({name: held[None] for name, held in self.start.items()})[0]

    def of(self, members: Mapping[str, Tensor] | Tensor) -> Tensor:
        """The genes [S, P] of members [S, *shape]. Raises ValueError for other shapes."""
        named = {"": members} if isinstance(members, Tensor) else members
        self._check(named)
        rows = [named[name].detach().flatten(1) / unit for name, unit in self.units.items()]
        return torch.cat(rows, dim=1)

    def members(self, genes: Tensor) -> Candidates:
        """Parameters [S, *shape] of genes [S, P], each of its type and on its device."""
        sizes = [held.numel() for held in self.start.values()]
        parts = zip(self.start.items(), genes.split(sizes, dim=1), strict=True)
        made = {
            name: (part * self.units[name]).to(held).view(len(genes), *held.shape)
            for (name, held), part in parts
        }
        return made[""] if self.bare else made

    def one(self, genes: Tensor) -> Candidates:
        """Parameters of one row of genes [P]."""
        made = self.members(genes[None])
        if isinstance(made, Tensor):
            return made[0]
        return {name: held[0] for name, held in made.items()}

    def _check(self, named: Mapping[str, Tensor]) -> None:
        shapes = {name: list(held.shape[1:]) for name, held in named.items()}
        own = {name: list(held.shape) for name, held in self.start.items()}
        if shapes != own:
            raise ValueError(f"members must have shapes [S, *shape] of {own}, got {shapes}.")


def genome(start: Start, *, absolute: bool = False) -> Genome:
    """The genome of a vector [P], of parameters by name, or of those that a module trains.

    absolute: genes are the parameters themselves, not in units of their root mean square.
    """
    if isinstance(start, Tensor):
        if start.dim() != 1 or not len(start) or not start.is_floating_point():
            raise ValueError(
                "start must be a vector [P] of floating-point numbers, parameters by name or a "
                f"module, got shape {list(start.shape)} of {start.dtype}."
            )
        return Genome({"": start.detach().clone()}, {"": 1.0})
    if isinstance(start, nn.Module):
        start = {name: held for name, held in start.named_parameters() if held.requires_grad}
    if not isinstance(start, Mapping) or not start:
        raise ValueError("start has no parameter to evolve: give a vector, parameters or a module.")
    held = {name: value.detach().clone() for name, value in start.items()}
    return Genome(held, units_of(held, list(held), absolute=absolute))
