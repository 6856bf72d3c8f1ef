"""Laws of cells are laws of their steps: only what is marked runs sequences in machine code."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from amphid.dynamics import step_by_step


@pytest.fixture(autouse=True)
def plain(request: pytest.FixtureRequest) -> Iterator[None]:
    """Machine code of every cell would be compiled in every type, which takes minutes."""
    marked = request.node.get_closest_marker("machine_code")
    with nullcontext() if marked else step_by_step():
        yield
