"""The losses of a population, shared out among processes that tell each other nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amphid.learning.gradients.factored import Factored
from amphid.learning.gradients.objective import Loss, Mean, Objective, Params
from amphid.learning.gradients.population import Members, losses_of
from amphid.learning.watching import tensors_in
from amphid.simulation import rank
from amphid.simulation.distributed.ranks import LostRank, Ranks


class Sharing:
    """The losses of a population, of which each process of `torchrun` computes its share.

    Every process draws all candidates from the same seeds, computes the losses of its own members,
    and hears those of the others: what travels are the losses, however many parameters there are.

    A population is cut into `portions`, whatever the number of processes, and each portion is one
    computation: on machines of one kind, results do not depend on that number, to the last bit.

    portions: at least as many as there are processes. timeout: seconds of silence after which
    another process counts as lost.
    """

    def __init__(self, *, portions: int = 8, timeout: float = 300.0) -> None:
        if not isinstance(portions, int) or portions < 1:
            raise ValueError(f"portions must be a number, at least 1, got {portions!r}.")
        if not timeout > 0:
            raise ValueError(f"timeout must be seconds above zero, got {timeout!r}.")
        self.portions, self.timeout = portions, timeout
        self.sent = 0
        """Bytes that this process has sent so far."""
        self._ranks: Ranks | None = None

    def shared(self, loss: Loss) -> Loss:
        """The same loss, whose populations are computed by all processes."""
        return _shared(loss, self)

    def losses(self, loss: Loss, members: Members) -> Tensor:
        """Losses [S, *owners] of members [S, *shape], each portion computed by one process."""
        ranks, portions = self._joined(), _portions(members, self.portions)
        alone, size = _shared(loss, None), len(next(iter(portions[0].values())))
        if ranks is None:
            return torch.cat([losses_of(alone, portion) for portion in portions])
        try:
            mine = portions[ranks.number :: ranks.count]
            message = _written([losses_of(alone, portion) for portion in mine])
            seen = _fingerprint(loss, members)
        except BaseException as error:
            self._told(ranks, f"{type(error).__name__}: {error}", 0)
            raise
        pieces = [iter(own.split(size)) for own in self._told(ranks, None, seen, message)]
        together = torch.cat([next(pieces[k % ranks.count]) for k in range(len(portions))])
        return together.to(_device(members))

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return rank()[0] == 0

    def _joined(self) -> Ranks | None:
        """All processes; None where there is but this one."""
        if self._ranks is None and rank()[1] > 1:
            own = Ranks(self.timeout, user="Sharing", alone="needs none of it")
            if self.portions < own.count:
                raise ValueError(
                    f"portions must be at least the number of processes: got {self.portions} for "
                    f"{own.count}."
                )
            self._ranks = own
        return self._ranks

    def _told(
        self, ranks: Ranks, failure: str | None, seen: int, losses: bytes = b""
    ) -> list[Tensor]:
        """The losses of each process. Raises RuntimeError where one failed or saw other things."""
        message = json.dumps([failure, seen]).encode() + b"\n" + losses
        self.sent += len(message)
        every = ranks.each(torch.frombuffer(bytearray(message), dtype=torch.uint8))
        heads, bodies = zip(*(_parted(bytes(row.numpy())) for row in every), strict=True)
        for number, (failed, _) in enumerate(heads):
            if failed is not None and number != ranks.number:
                raise LostRank(f"rank {number} of {ranks.count} failed: {failed}")
        _check_alike([own for _, own in heads])
        return [_read(body) for body in bodies]

    def __repr__(self) -> str:
        return f"Sharing(portions={self.portions})"


@dataclass(frozen=True, eq=False)
class _Shared:
    """A function of parameters whose populations are computed by all processes."""

    loss: Any
    sharing: Sharing | None

    def __call__(self, params: Params) -> Any:
        return self.loss(params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loss, name)  # all else, such as `population`, is that of the loss


def _shared(loss: Loss, sharing: Sharing | None) -> Loss:
    """A loss of the same kind whose populations are computed by all processes, or by this one."""
    if isinstance(loss, Mean):
        return Mean(tuple(replace(part, sharing=sharing) for part in loss.parts))
    if isinstance(loss, Objective | _Shared):
        return replace(loss, sharing=sharing)
    return _Shared(loss, sharing)


def _device(members: Members) -> torch.device:
    held = next(iter(members.values()))
    return (held.base if isinstance(held, Factored) else held).device


def _portions(members: Members, count: int) -> list[Members]:
    size = len(next(iter(members.values())))
    each = -(-size // count)
    return [
        {name: held[low : low + each] for name, held in members.items()}
        for low in range(0, size, each)
    ]


def _check_alike(seen: list[int]) -> None:
    """Raise RuntimeError where processes saw different parameters or batches."""
    for number, own in enumerate(seen):
        if own != seen[0]:
            raise RuntimeError(
                f"rank 0 and rank {number} were asked for the losses of different parameters or "
                "batches: build model, optimizer, batches and estimator alike in every process, "
                "from the same seeds."
            )


def _written(losses: list[Tensor]) -> bytes:
    """A line that says what follows, and the bytes of all losses."""
    rows = torch.cat(losses).detach().cpu().contiguous() if losses else torch.empty(0)
    said = [str(rows.dtype).removeprefix("torch."), list(rows.shape)]
    return json.dumps(said).encode() + b"\n" + rows.view(torch.uint8).numpy().tobytes()


def _read(message: bytes) -> Tensor:
    """The losses of a message; none of one that is empty."""
    if not message:
        return torch.empty(0)
    (kind, shape), body = _parted(message)
    dtype = getattr(torch, kind)
    rows = torch.frombuffer(bytearray(body), dtype=dtype) if body else torch.empty(0, dtype=dtype)
    return rows.view(shape)


def _parted(message: bytes) -> tuple[Any, bytes]:
    """What the first line of a message says, and the rest."""
    head, _, body = message.partition(b"\n")
    return json.loads(head), body


def _fingerprint(loss: object, members: Members) -> int:
    """A number that differs where parameters or the batch do."""
    batch = [getattr(loss, "inputs", None), getattr(loss, "targets", None)]
    moved = [
        (held.base, held.left, held.right)
        if isinstance(held, Factored)
        else held[: None if held.stride(0) else 1]
        for held in members.values()
    ]
    total = 0
    for place, held in enumerate(tensors_in([moved, batch])):
        raw = held.detach().cpu().contiguous().view(torch.uint8).numpy().reshape(-1)
        whole = len(raw) // 8 * 8
        total += (place + 1) * (int(raw[:whole].view(np.uint64).sum()) + int(raw[whole:].sum()))
    return total % 2**63
