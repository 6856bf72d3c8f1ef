"""Solve all voltages of a step at once: (diag(d) + L) v = b with L the gap junctions' Laplacian.

L stays, d moves a little from step to step. So the inverse at one d is kept as the preconditioner
of conjugate gradients at the next, and made anew only when the iterations grow many.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ITERATIONS = 12  # a fresh inverse costs about as much as this many products at 300 cells


class JointSolver:
    """Solves (diag(d) + L) v = b for one Laplacian and many d and b; differentiable in all three.

    laplacian: [*C, N, N], symmetric, positive semi-definite. d and b: [*B, N], d > 0, where the
    axes *C of the Laplacian are the last of *B.
    """

    def __init__(self, laplacian: Tensor) -> None:
        self.laplacian = laplacian
        self._inverse: Tensor | None = None
        self.tolerance = 1e-11 if laplacian.dtype == torch.float64 else 1e-6

    def solve(self, d: Tensor, b: Tensor, guess: Tensor) -> Tensor:
        """v [*B, N]; the guess only saves iterations."""
        d, b, guess = torch.broadcast_tensors(d, b, guess)
        v: Tensor = _Solve.apply(d, self.laplacian, b, guess, self)  # type: ignore[no-untyped-call]
        return v

    def conjugate_gradients(self, d: Tensor, b: Tensor, guess: Tensor) -> Tensor:
        """v [*B, N] to a relative residual of the tolerance."""
        if self._inverse is None:
            self._renew(d)
        v = self._iterate(d, b, guess)
        if v is None:
            self._renew(d)
            v = self._iterate(d, b, guess)
        return direct(d, self.laplacian, b) if v is None else v

    def _renew(self, d: Tensor) -> None:
        lead = d.dim() - self.laplacian.dim() + 1
        typical = d.mean(tuple(range(lead))) if lead else d
        matrix = torch.diag_embed(typical) + self.laplacian
        self._inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))

    def _iterate(self, d: Tensor, b: Tensor, v: Tensor) -> Tensor | None:
        """Preconditioned conjugate gradients, or None when they do not get there in time."""
        residual = b - d * v - _product(self.laplacian, v)
        goal = self.tolerance * float(b.abs().max())
        direction, power = torch.zeros_like(b), torch.ones_like(b[..., :1])
        for _ in range(ITERATIONS):
            if float(residual.abs().max()) <= goal:
                return v
            smooth = _product(self._inverse, residual)
            fresh = (residual * smooth).sum(-1, keepdim=True)
            direction = smooth + fresh / power * direction
            power = fresh
            moved = d * direction + _product(self.laplacian, direction)
            share = power / (direction * moved).sum(-1, keepdim=True)
            share = torch.where(power > 0, share, torch.zeros_like(share))
            v, residual = v + share * direction, residual - share * moved
            power = torch.where(power > 0, power, torch.ones_like(power))
        return v if float(residual.abs().max()) <= goal else None


def direct(d: Tensor, laplacian: Tensor, b: Tensor) -> Tensor:
    """v [*B, N] by one factorization of every matrix."""
    return torch.linalg.solve(torch.diag_embed(d) + laplacian, b)


class _Solve(torch.autograd.Function):
    """The solution, whose adjoint is one more solve with the same symmetric matrix."""

    @staticmethod
    def forward(d: Tensor, laplacian: Tensor, b: Tensor, guess: Tensor, by: JointSolver) -> Tensor:
        return by.conjugate_gradients(d, b, guess.clone())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[1], output)
        ctx.by = inputs[4]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d, laplacian, v = ctx.saved_tensors
        adjoint = ctx.by.solve(d, gradients[0], torch.zeros_like(v))
        outer = None
        if ctx.needs_input_grad[1]:
            outer = -(adjoint.unsqueeze(-1) * v.unsqueeze(-2)).sum_to_size(laplacian.shape)
        return -adjoint * v, outer, adjoint, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        d, laplacian, b = (
            x.movedim(dim, 0) if dim is not None else x.unsqueeze(0)
            for x, dim in zip(inputs[:3], in_dims[:3], strict=True)
        )
        d, b = torch.broadcast_tensors(d, b)
        between = (1,) * (d.dim() + 1 - laplacian.dim())
        laplacian = laplacian.reshape(len(laplacian), *between, *laplacian.shape[1:])
        return direct(d, laplacian, b).expand(info.batch_size, *d.shape[1:]), 0


def _product(matrix: Tensor | None, v: Tensor) -> Tensor:
    """Symmetric matrix [*C, N, N] times v [*A, *C, N], every matrix read once."""
    if matrix is None:
        return v
    if matrix.dim() == 2:
        return v @ matrix
    own = matrix.dim() - 2
    lead = v.shape[: v.dim() - 1 - own]
    columns = v.flatten(0, len(lead) - 1) if lead else v.unsqueeze(0)
    product = (matrix @ columns.movedim(0, -1)).movedim(-1, 0)
    return product.reshape(*lead, *product.shape[1:])
