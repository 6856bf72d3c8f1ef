"""Solve all voltages of a step at once: (diag(d) + L) v = b with L the gap junctions' Laplacian.

L stays, d moves a little from step to step. So the inverse at one d is kept as the preconditioner
of conjugate gradients at the next, and made anew only when the iterations grow many. Where trials
have junctions of their own, one inverse serves all as long as they are alike. Networks too
large for a matrix are preconditioned by the diagonal alone.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amphid.dynamics.values import Value
from amphid.simulation.wires import Wires

LARGEST_MATRIX = 2048  # cells; beyond, the inverse costs more than it saves
ITERATIONS = 12  # a fresh inverse costs about as much as this many products at 300 cells
DIAGONAL_ITERATIONS = 2000
SPARE_ITERATIONS = 2  # beyond the most that were needed so far, where the host takes no look


class _Iterate(NamedTuple):
    """Where conjugate gradients are."""

    v: Tensor
    residual: Tensor
    direction: Tensor
    power: Tensor


class JointSolver:
    """Solves (diag(d) + L) v = b for one Laplacian and many d and b; differentiable in all three.

    wires: the connections without direction, with weights [*C, K]. conductance: nS per weight.
    d and b: [*B, N], d > 0, where the axes *C of the weights are the last of *B.
    missed: None, or where it is noted that iterations did not converge: the host then takes no look
        at them, and they are some more than were needed so far. A solution that is not missed has
        the bits that it has where the host looks.
    Raises RuntimeError when the iterations do not converge.
    """

    missed: Tensor | None = None
    needed: int = 0
    """The most iterations that any solve took so far, of those that the host looked at."""

    def __init__(self, wires: Wires, conductance: Value) -> None:
        self.wires = replace(wires, weight=conductance * wires.weight)
        self.degree = self.wires.degree()
        self.tolerance = 1e-10 if self.degree.dtype == torch.float64 else 1e-6
        small = wires.size <= LARGEST_MATRIX
        self.laplacian = self.wires.laplacian().detach() if small else None
        self._inverse: Tensor | None = None
        self._alike = self.degree.dim() > 1  # whether one inverse may do for all trials

    def solve(self, d: Tensor, b: Tensor, guess: Tensor) -> Tensor:
        """v [*B, N]; the guess only saves iterations."""
        d, b, guess = torch.broadcast_tensors(d, b, guess)
        v: Tensor = _Solve.apply(d, self.wires.weight, b, guess, self)  # type: ignore[no-untyped-call]
        return v

    @torch.no_grad()
    def conjugate_gradients(self, d: Tensor, b: Tensor, guess: Tensor) -> Tensor:
        """v [*B, N] to a relative residual of the tolerance; nan where d or b are not finite."""
        if self.missed is not None:
            return self._unseen(d, b, guess, self.missed)
        if not (torch.isfinite(d).all() and torch.isfinite(b).all()):
            return torch.full_like(b, torch.nan)
        if self.laplacian is None:
            v = self._iterate(d, b, guess.clone(), DIAGONAL_ITERATIONS)
            if v is None:
                raise RuntimeError("the voltages of a step could not be solved: try a smaller dt.")
            return v
        if self._inverse is None:
            self._renew(d, self.laplacian)
        v = self._iterate(d, b, guess.clone(), ITERATIONS)
        if v is None:
            self._renew(d, self.laplacian)
            v = self._iterate(d, b, guess.clone(), ITERATIONS)
        if v is None and self._alike:
            self._alike = False
            self._renew(d, self.laplacian)
            v = self._iterate(d, b, guess.clone(), ITERATIONS)
        return direct(d, self.laplacian, b) if v is None else v

    def _renew(self, d: Tensor, laplacian: Tensor) -> None:
        if self._alike:  # trials that differ in a few cells are read for a hundredth of the time
            laplacian = laplacian.mean(tuple(range(laplacian.dim() - 2)))
        lead = d.dim() - laplacian.dim() + 1
        typical = d.mean(tuple(range(lead))) if lead else d
        matrix = torch.diag_embed(typical) + laplacian
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
        # half the bytes where every trial reads a matrix of its own; it only preconditions
        self._inverse = inverse.float() if inverse.dim() > 2 else inverse

    def _iterate(self, d: Tensor, b: Tensor, v: Tensor, iterations: int) -> Tensor | None:
        """Preconditioned conjugate gradients, or None when they do not get there in time."""
        now = self._begin(d, b, v)
        goal = self.tolerance * float(b.abs().max())
        for taken in range(iterations):
            if float(now.residual.abs().max()) <= goal:
                self.needed = max(self.needed, taken)
                return now.v
            now = self._improved(d, now)
        self.needed = max(self.needed, iterations)
        return now.v if float(now.residual.abs().max()) <= goal else None

    def _unseen(self, d: Tensor, b: Tensor, v: Tensor, missed: Tensor) -> Tensor:
        """The same after a number of iterations that is known beforehand."""
        known = torch.isfinite(d).all() & torch.isfinite(b).all()
        now = self._begin(d, b, v)
        goal = self.tolerance * b.abs().max().double()
        most = DIAGONAL_ITERATIONS if self.laplacian is None else ITERATIONS
        for _ in range(min(self.needed + SPARE_ITERATIONS, most)):
            there = now.residual.abs().max().double() <= goal
            then = self._improved(d, now)
            now = _Iterate(*(torch.where(there, a, b) for a, b in zip(now, then, strict=True)))
        there = now.residual.abs().max().double() <= goal
        missed.logical_or_(known & ~there)
        return torch.where(known, now.v, torch.nan)

    def _begin(self, d: Tensor, b: Tensor, v: Tensor) -> _Iterate:
        residual = b - d * v - self._flow(v)
        return _Iterate(v, residual, torch.zeros_like(b), torch.ones_like(b[..., :1]))

    def _improved(self, d: Tensor, now: _Iterate) -> _Iterate:
        """One iteration further."""
        smooth = self._precondition(d, now.residual)
        fresh = (now.residual * smooth).sum(-1, keepdim=True)
        direction = smooth + fresh / now.power * now.direction
        moved = d * direction + self._flow(direction)
        share = fresh / (direction * moved).sum(-1, keepdim=True)
        share = torch.where(fresh > 0, share, 0.0)  # a trial that is done stays where it is
        v, residual = now.v + share * direction, now.residual - share * moved
        return _Iterate(v, residual, direction, torch.where(fresh > 0, fresh, 1.0))

    def _flow(self, v: Tensor) -> Tensor:
        """L v [*B, N], by the matrix where all trials share it, else by the edges."""
        if self.laplacian is not None and self.laplacian.dim() == 2:
            return v @ self.laplacian
        return -self.wires.deliver_difference(v)

    def _precondition(self, d: Tensor, residual: Tensor) -> Tensor:
        if self._inverse is None:
            return residual / (d + self.degree)
        return _product(self._inverse, residual.to(self._inverse.dtype)).to(residual.dtype)


def direct(d: Tensor, laplacian: Tensor, b: Tensor) -> Tensor:
    """v [*B, N] by one Cholesky factorization of every matrix."""
    factor = torch.linalg.cholesky(torch.diag_embed(d) + laplacian)
    return torch.cholesky_solve(b.expand(factor.shape[:-1]).unsqueeze(-1), factor).squeeze(-1)


class _Solve(torch.autograd.Function):
    """The solution, whose adjoint is one more solve with the same symmetric matrix."""

    @staticmethod
    def forward(d: Tensor, weight: Tensor, b: Tensor, guess: Tensor, by: JointSolver) -> Tensor:
        return by.conjugate_gradients(d, b, guess)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[1], output)
        ctx.by = inputs[4]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d, weight, v = ctx.saved_tensors
        adjoint = ctx.by.solve(d, gradients[0], torch.zeros_like(v))
        of_weight = None
        if ctx.needs_input_grad[1]:
            along = ctx.by.wires.difference(adjoint) * ctx.by.wires.difference(v)
            of_weight = -along.sum_to_size(weight.shape)
        return -adjoint * v, of_weight, adjoint, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        d, weight, b = (
            x.movedim(dim, 0) if dim is not None else x.unsqueeze(0)
            for x, dim in zip(inputs[:3], in_dims[:3], strict=True)
        )
        d, b = torch.broadcast_tensors(d, b)
        laplacian = replace(inputs[4].wires, weight=weight).laplacian()
        between = (1,) * (d.dim() + 1 - laplacian.dim())
        laplacian = laplacian.reshape(len(laplacian), *between, *laplacian.shape[1:])
        return direct(d, laplacian, b).expand(info.batch_size, *d.shape[1:]), 0


# else torch works it out at every call, which takes as long as half the iterations
_Solve.forward.__signature__ = inspect.signature(_Solve.forward)  # type: ignore[attr-defined]


def _product(matrix: Tensor, v: Tensor) -> Tensor:
    """Symmetric matrix [*C, N, N] times v [*A, *C, N], every matrix read once."""
    if matrix.dim() == 2:
        return v @ matrix
    own = matrix.dim() - 2
    lead = v.shape[: v.dim() - 1 - own]
    columns = v.flatten(0, len(lead) - 1) if lead else v.unsqueeze(0)
    product = (matrix @ columns.movedim(0, -1)).movedim(-1, 0)
    return product.reshape(*lead, *product.shape[1:])
