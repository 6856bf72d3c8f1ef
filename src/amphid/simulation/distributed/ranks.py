"""Processes that talk to each other: what every one of them says is heard by all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

HOW_TO_START = (
    "start the script by `torchrun --nproc-per-node 2 script.py`, or call "
    'torch.distributed.init_process_group("gloo", ...) in every process first'
)


def rank() -> tuple[int, int]:
    """The number of this process and how many there are, as `part=` takes them; (0, 1) alone.

    Under torchrun the processes are joined here, where that has not been done.
    """
    if not _joined():
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def _joined() -> bool:
    """Whether this process is one of several, joined to the others now if torchrun started it."""
    if not dist.is_available():
        return False
    if not dist.is_initialized() and dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    return dist.is_initialized()


class Ranks:
    """All processes of a run.

    timeout: seconds for which one waits for the others before it gives up. user: who needs them.
    alone: what a single process does instead.
    Raises RuntimeError, telling how to start, where this process is alone.
    """

    def __init__(
        self,
        timeout: float,
        *,
        user: str = "Distributed",
        alone: str = "runs by Compiled()",
    ) -> None:
        if not _joined():
            raise RuntimeError(
                f"{user}() needs processes that know of each other: {HOW_TO_START}. A single "
                f"process {alone}."
            )
        self.number, self.count, self.timeout = dist.get_rank(), dist.get_world_size(), timeout
        self.user = user
        with self.heard():
            self.group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))

    def close(self) -> None:
        """Part from the others."""
        dist.destroy_process_group(self.group)

    def gathered(self, own: Tensor) -> Tensor:
        """[ranks, K] what each rank holds [K], of the same length everywhere."""
        together = own.new_empty(self.count, *own.shape)
        with self.heard():
            dist.all_gather(list(together.unbind(0)), own.contiguous(), group=self.group)
        return together

    def each(self, own: Tensor) -> list[Tensor]:
        """What each rank holds, of any length."""
        lengths = self.gathered(torch.tensor([len(own)]))[:, 0].tolist()
        padded = own.new_zeros(max(*lengths, 1))
        padded[: len(own)] = own
        return [row[:length] for row, length in zip(self.gathered(padded), lengths, strict=True)]

    def told(self, value: Any) -> list[Any]:
        """What each rank tells, anything that JSON can hold."""
        text = json.dumps(value).encode()
        rows = self.each(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        return [json.loads(bytes(row.numpy())) for row in rows]

    def agreed(self, work: Callable[[], T]) -> T:
        """The result of work that is done on every rank, once it went well on all of them.

        Raises what it raised here, or RuntimeError with what it raised elsewhere.
        """
        try:
            result = work()
        except BaseException as error:
            self.told(_sentence(error))
            raise
        self.check(self.told(None))
        return result

    def check(self, failures: list[str | None]) -> None:
        """Raise RuntimeError where a rank tells that it failed."""
        for number, failure in enumerate(failures):
            if failure is not None and number != self.number:
                raise RuntimeError(f"rank {number} of {self.count} failed: {failure}")

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Turn what the network of processes raises into a sentence."""
        try:
            yield
        except RuntimeError as error:
            raise LostRank(
                f"rank {self.number} of {self.count} lost another one, which has ended, or said "
                f"nothing for {self.timeout:g} s: its own message tells why. A step that takes "
                f"longer needs {self.user}(timeout=...). ({str(error).splitlines()[0]})"
            ) from None


class LostRank(RuntimeError):
    """A rank cannot be heard any more."""


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
