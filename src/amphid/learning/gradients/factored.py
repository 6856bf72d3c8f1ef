"""Members of a population that differ from one matrix by a few outer products each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

Factors = dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Factored:
    r"""Matrices [S, O, *I] that differ from one of them all by outer products, S members in all.

    .. math:: W_s = W + L_s R_s^T

    base: W [O, *I]. left: [S, O, r]. right: [S, I, r], with all further axes of W as one.

    A linear map then costs one product with the base for all members and r numbers for each cell,
    and no member's matrix is ever written down: for large layers.
    """

    base: Tensor
    left: Tensor
    right: Tensor

    def __post_init__(self) -> None:
        rows, columns = self.base.flatten(1).shape
        sizes = self.left.shape[1:2], self.right.shape[1:2], self.right.shape[::2]
        if sizes != ((rows,), (columns,), self.left.shape[::2]):
            raise ValueError(
                f"Factored: for a base [O, *I] = {list(self.base.shape)} left must be [S, O, r] "
                f"and right [S, I, r], got {list(self.left.shape)} and {list(self.right.shape)}."
            )

    def __len__(self) -> int:
        return len(self.left)

    def __getitem__(self, part: slice) -> Factored:
        """Some of the members."""
        return Factored(self.base, self.left[part], self.right[part])

    def dense(self) -> Tensor:
        """The matrices [S, O, *I]."""
        change = self.left @ self.right.mT
        return self.base + change.view(len(self), *self.base.shape)


def parted(
    model: nn.Module, members: Mapping[str, Tensor | Factored]
) -> tuple[dict[str, Tensor], dict[str, Tensor], Factors]:
    """Bases of the linear maps that may stay apart, members as tensors, and their factors."""
    base: dict[str, Tensor] = {}
    plain: dict[str, Tensor] = {}
    factors: Factors = {}
    for name, own in members.items():
        if isinstance(own, Tensor):
            plain[name] = own
        elif _is_map(model, name):
            base[name], factors[name] = own.base.detach(), (own.left, own.right)
        else:
            plain[name] = own.dense()
    return base, plain, factors


@contextmanager
def factored(model: nn.Module, base: Mapping[str, Tensor]) -> Iterator[Callable[[Factors], None]]:
    """Within the block, linear maps with these bases are products with factors, set by a call."""
    now: Factors = {}
    owners = [(name, _owner(model, name)) for name in base]
    try:
        for name, module in owners:
            vars(module)["forward"] = _product(module, base[name], name, now)
        yield now.update
    finally:
        for _, module in owners:
            vars(module).pop("forward", None)


def _product(
    module: nn.Module, base: Tensor, name: str, now: Factors
) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        left, right = now[name]
        bias: Tensor | None = module.bias  # type: ignore[assignment]
        return functional.linear(x, base, bias) + (x @ right) @ left.mT

    return forward


def _is_map(model: nn.Module, name: str) -> bool:
    """Whether a parameter is the weight of a linear map, and of that alone."""
    owner, weight = _owner(model, name), model.get_parameter(name)
    places = [key for key, own in model.named_parameters(remove_duplicate=False) if own is weight]
    return type(owner) is nn.Linear and places == [name] and "forward" not in vars(owner)


def _owner(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])
