"""Connections made ready to carry signals at one time step: weights gathered by delay."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amphid.kernels import common_shape
from amphid.simulation.kept import Kept
from amphid.wiring import Connectome

DENSE_CELLS = 1024  # below, one matrix product beats gathering edge by edge
_ROUNDED: Kept[str] = Kept()
_LONGEST: Kept[float] = Kept()


class UnderWay(NamedTuple):
    """What travels to the cells of a group, each signal with the weight that it left with.

    rows: what will arrive [*B, N], soonest first.
    """

    rows: tuple[Tensor, ...]


Past = tuple[Tensor, ...] | UnderWay
"""What cells released in the last steps [*B, N], latest first; or, where weights move or have
moved, what is under way."""


@dataclass(frozen=True, eq=False)
class Wires:
    """The connections of one group.

    pre, post: [K] cells. weight: [*B, K]. lag: [K] steps from the end of the step in which a cell
    gives out a signal to the step in which it acts, at least 1. size: N. rows: whether signals are
    carried by a sparse matrix, of which no gradient is asked.
    """

    pre: Tensor
    post: Tensor
    weight: Tensor
    lag: NDArray[np.int64]
    size: int
    rows: bool = False

    @staticmethod
    def of(connectome: Connectome, edges: NDArray[Any], weight: Tensor, dt: float) -> Wires:
        """Those connections of a connectome, with weights [*B, K], at steps of dt ms."""
        wires = connectome.connections
        return Wires(
            pre=torch.from_numpy(wires.pre[edges]).to(weight.device),
            post=torch.from_numpy(wires.post[edges]).to(weight.device),
            weight=weight,
            lag=lags(wires.delay, edges, dt),
            size=len(connectome),
        )

    def gathered(self) -> Wires:
        """The same with its weights gathered by delay now, once for all steps and gradients."""
        _ = self._by_lag
        return self

    @property
    def longest(self) -> int:
        """The longest lag, in steps."""
        return int(self.lag.max(initial=1))

    def matrix(self) -> Tensor:
        """Weights [*B, N, N], row pre, column post, whatever the lag."""
        return self._scatter(slice(None))

    def laplacian(self) -> Tensor:
        """[*B, N, N] of connections without direction: L v is the current out of each cell."""
        one_way = self.matrix()
        both = one_way + one_way.transpose(-1, -2)
        return torch.diag_embed(both.sum(-1)) - both

    def incoming(self) -> Tensor:
        """[*B, N] sum of the weights onto each cell."""
        none = self.weight.new_zeros(*self.weight.shape[:-1], self.size)
        return none.index_add(-1, self.post, self.weight)

    def degree(self) -> Tensor:
        """[*B, N] sum of the weights at each cell, of connections without direction."""
        ends = torch.cat((self.pre, self.post))
        weight = torch.where(self.pre == self.post, 0.0, self.weight)
        none = weight.new_zeros(*weight.shape[:-1], self.size)
        return none.index_add(-1, ends, torch.cat((weight, weight), -1))

    def difference(self, v: Tensor) -> Tensor:
        """v at pre minus v at post, for each connection [*B, K]."""
        return v.index_select(-1, self.pre) - v.index_select(-1, self.post)

    def deliver(self, past: tuple[Tensor, ...]) -> Tensor:
        """What arrives at each cell [*B, N] of what was released, latest step first."""
        arriving = [carry(past[lag - 1]) for lag, carry in self._by_lag]
        return sum(arriving[1:], arriving[0]) if arriving else torch.zeros_like(past[0])

    def carry(self, past: Past, released: Tensor) -> tuple[Past, Tensor]:
        """What was released [*B, N] is sent off; then, what arrives in this step."""
        if not isinstance(past, UnderWay):
            past = (released, *past[:-1])
            return past, self.deliver(past)
        rows = list(past.rows)
        for lag, carry in self._by_lag:
            rows[lag - 1] = rows[lag - 1] + carry(released)
        return UnderWay((*rows[1:], torch.zeros_like(rows[0]))), rows[0]

    def under_way(self, past: Past) -> UnderWay:
        """What is under way of what was released in the last steps.

        Raises ValueError where signals are under way over other delays.
        """
        if isinstance(past, UnderWay):
            if len(past.rows) != self.longest:
                raise ValueError(
                    f"state has signals under way for {len(past.rows)} steps, but delays take up "
                    f"to {self.longest} here: start from a state of this network at this dt."
                )
            return past
        rows = [torch.zeros_like(past[0]) for _ in past]
        if any(bool(released.any()) for released in past[:-1]):
            for lag, carry in self._by_lag:
                for age in range(lag - 1):
                    rows[lag - 2 - age] = rows[lag - 2 - age] + carry(past[age])
        return UnderWay(tuple(rows))

    def at(self, weight: Tensor) -> Wires:
        """The same connections with other weights [*B, K]."""
        moved = replace(self, weight=weight)
        moved.__dict__["_by_lag"] = [(lag, carry.at(moved)) for lag, carry in self._by_lag]
        return moved

    def deliver_difference(self, v: Tensor) -> Tensor:
        """Weighted voltage differences [*B, N] over connections without direction."""
        out = torch.zeros_like(v) if self.weight.dim() == 1 else v.new_zeros(self._shape(v))
        current = self.weight * self.difference(v)
        return out.index_add(-1, self.post, current).index_add(-1, self.pre, -current)

    @cached_property
    def _by_lag(self) -> list[tuple[int, _Carrier]]:
        lags = [int(lag) for lag in np.unique(self.lag)]
        # a matrix that serves one trial only is read once: then the edges alone are less to read
        dense = self.weight.dim() == 1 and self.size <= DENSE_CELLS
        dense &= len(lags) == 1 or self.size**2 * len(lags) <= 16 * len(self.lag)
        return [(lag, _Carrier(self, np.flatnonzero(self.lag == lag), dense)) for lag in lags]

    def _scatter(self, chosen: slice | Tensor) -> Tensor:
        weight = self.weight[..., chosen]
        flat = weight.new_zeros(*weight.shape[:-1], self.size**2)
        place = self.pre[chosen].long() * self.size + self.post[chosen]
        return flat.index_add(-1, place, weight).unflatten(-1, (self.size, self.size))

    def _by_row(self, chosen: Tensor) -> Tensor:
        """The sparse matrix of weights, a row for each cell at which connections end."""
        order = torch.argsort(self.post[chosen], stable=True)
        chosen = chosen[order]
        per_row = torch.bincount(self.post[chosen], minlength=self.size)
        starts = torch.cat((per_row.new_zeros(1), per_row.cumsum(0)))
        if len(self.weight) < 2**31:  # half the bytes to read
            starts = starts.int()
        columns = self.pre[chosen].to(starts.dtype)
        square = (self.size, self.size)
        weight = self.weight.detach()[chosen]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that such tensors are new in torch
            return torch.sparse_csr_tensor(starts, columns, weight, square, check_invariants=False)

    def _shape(self, signal: Tensor) -> tuple[int, ...]:
        batch = common_shape(signal.shape[:-1], self.weight.shape[:-1])
        return (*batch, self.size)


def lags(delay: NDArray[np.float32], edges: NDArray[Any], dt: float) -> NDArray[np.int64]:
    """[K] lags in steps of those connections, of delays [E] in ms, nan where there is none.

    Where all are the same it is one number, seen from everywhere.
    """
    first = delay[edges[:1]]
    same = len(first) and (np.isnan(delay).all() if np.isnan(first[0]) else (delay == first).all())
    own = first if same else delay[edges]
    steps = 1 + np.rint(np.nan_to_num(own.astype(np.float64)) / dt).astype(np.int64)
    return np.broadcast_to(steps, len(edges))


def longest_delay(connectome: Connectome) -> float:
    """That of any connection, ms; 0 where none has one."""
    delay = connectome.connections.delay
    return _LONGEST.of(connectome, None, lambda: float(np.nan_to_num(delay).max(initial=0.0)))


def rounded_delays(connectome: Connectome, dt: float) -> str:
    """A sentence on the delays that are no multiple of dt, or "" where all are."""
    return _ROUNDED.of(connectome, dt, lambda: _rounded(connectome, dt))


def _rounded(connectome: Connectome, dt: float) -> str:
    delay, most = connectome.connections.delay, 0.0
    for start in range(0, len(delay), 1 << 20):  # a copy of them all would be large
        steps = np.nan_to_num(delay[start : start + (1 << 20)].astype(np.float64)) / dt
        most = max(most, float(np.abs(steps - np.rint(steps)).max()))
    if most <= 1e-4:  # what single precision leaves of a multiple
        return ""
    return f"delays rounded to steps of {dt:g} ms, by at most {most * dt:.3g} ms"


class _Carrier:
    """Carries one signal [*B, N] over the connections of one lag."""

    def __init__(self, wires: Wires, chosen: NDArray[np.int64], dense: bool) -> None:  # noqa: FBT001
        self.size = wires.size
        self.edges = torch.from_numpy(chosen).to(wires.pre.device)
        self.matrix = wires._scatter(self.edges) if dense else None
        self.rows = None
        if wires.rows and not dense and wires.weight.dim() == 1:
            self.rows = wires._by_row(self.edges)
        elif not dense:
            self.pre, self.post = wires.pre[self.edges], wires.post[self.edges]
            self.weight = wires.weight[..., self.edges]

    def at(self, wires: Wires) -> _Carrier:
        """The same connections with the weights of those wires."""
        moved = copy.copy(self)
        if self.matrix is not None or self.rows is not None:
            moved.matrix = moved.rows = None
            moved.pre, moved.post = wires.pre[self.edges], wires.post[self.edges]
        moved.weight = wires.weight[..., self.edges]
        return moved

    def __call__(self, signal: Tensor) -> Tensor:
        if self.matrix is not None:
            return signal @ self.matrix
        if self.rows is not None:
            if signal.dim() == 1:
                return self.rows @ signal
            return (self.rows @ signal.reshape(-1, self.size).T).T.reshape(signal.shape)
        carried = signal.index_select(-1, self.pre) * self.weight
        nowhere = carried.new_zeros(*carried.shape[:-1], self.size)
        return nowhere.index_add(-1, self.post, carried)
