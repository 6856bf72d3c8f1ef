"""Refractoriness against latency: whether signals find their cells ready."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from amphid.dynamics.receivers import each
from amphid.dynamics.values import is_number
from amphid.simulation import GeometricNetwork


@dataclass(frozen=True, eq=False, repr=False)
class RefractionRatios:
    r"""Refraction ratios of E connections or paths.

    .. math:: \Delta_{ij} = R_j / \tau_{ij}

    value: [E] refractory period of the receiver over the latency of the signal; nan where one of
    them is unknown, infinite where the signal takes no time.

    At 1 a signal arrives just when its receiver is ready again, if both fired at once: above, it is
    lost; far below, the receiver is idle. Puppo et al. 2018, doi 10.1038/s41598-018-28527-2, found
    a median of 0.92 over nearly 12,000 axonal branches of basket cells.
    """

    value: Tensor

    @staticmethod
    def of(period: float | Tensor, latency: Tensor) -> RefractionRatios:
        """From refractory periods and latencies [E] in ms, such as those along a skeleton."""
        _check_times(period, latency)
        return RefractionRatios(torch.as_tensor(period, dtype=torch.float64) / latency.double())

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        low, middle, high = self.quantiles(0.25, 0.5, 0.75)
        return (
            f"RefractionRatios({len(self)}: median {middle:.3g}, quartiles {low:.3g} to {high:.3g})"
        )

    @property
    def known(self) -> Tensor:
        """[K] those that are known, ascending."""
        return self.value[~self.value.isnan()].sort().values

    @property
    def median(self) -> float:
        """Their median; nan where none is known."""
        return self.quantiles(0.5)[0]

    @property
    def lost(self) -> float:
        """Share above 1: signals that are lost where both cells fired at once."""
        return float((self.known > 1).double().mean())

    def quantiles(self, *shares: float) -> tuple[float, ...]:
        """Values below which those shares of them lie, the nearest of lower rank; nan of none."""
        if not all(is_number(one) and 0 <= one <= 1 for one in shares):
            raise ValueError(f"shares must be numbers from 0 to 1, got {shares!r}.")
        known = self.known
        if not len(known):
            return (float("nan"),) * len(shares)
        rank = (torch.tensor(shares, dtype=torch.float64) * (len(known) - 1)).long()
        return tuple(known[rank].tolist())


def refraction_ratio(network: GeometricNetwork) -> RefractionRatios:
    """Refraction ratios [K] of the connections of a network that carry signals.

    In the order of `network.edges`, from periods and latencies that are not yet rounded to ticks.
    """
    if not isinstance(network, GeometricNetwork):
        raise TypeError(f"network must be a GeometricNetwork, got {network!r:.60}.")
    wires = network.connectome.connections
    period = torch.from_numpy(each("period", network.receiver.period, len(network)))
    receivers = torch.from_numpy(wires.post[network.edges]).long()
    return RefractionRatios.of(period[receivers], torch.from_numpy(network.latency))


def _check_times(period: object, latency: object) -> None:
    """Raise TypeError or ValueError for what are no times; nan is one that is not known."""
    if not isinstance(latency, Tensor) or latency.dim() != 1 or latency.is_complex():
        raise TypeError(f"latency must be a tensor [E] in ms, got {latency!r:.60}.")
    if not isinstance(period, Tensor | Real) or isinstance(period, bool):
        raise TypeError(f"period must be a number or a tensor [E] in ms, got {period!r:.60}.")
    given = torch.as_tensor(period)
    if given.shape not in ((), (1,), latency.shape) or given.is_complex():
        raise ValueError(
            f"period must be one number or one for each of {len(latency)} latencies, got "
            f"{given.dtype} of shape {list(given.shape)}."
        )
    if bool((given < 0).any()) or bool((latency < 0).any()):
        raise ValueError("period and latency must not be negative, in ms.")
