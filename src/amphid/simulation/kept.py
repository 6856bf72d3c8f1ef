"""What was worked out from an object that nobody writes to, kept while that object lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """One value of each object: that of the key that was last asked for.

    Objects are told apart by which they are, not by what they hold; those that are gone are
    forgotten, and their values with them.
    """

    def __init__(self) -> None:
        self._held: dict[int, tuple[weakref.ref[Any], Hashable, T]] = {}

    def of(self, owner: object, key: Hashable, make: Callable[[], T]) -> T:
        """The value of an object for a key; made now unless it was the last one."""
        held = self._held.get(id(owner))
        if held and held[0]() is owner and held[1] == key:
            return held[2]
        return self.keep(owner, make(), key=key)

    def last(self, owner: object) -> T | None:
        """The value of an object, whatever its key; None where there is none."""
        held = self._held.get(id(owner))
        return held[2] if held and held[0]() is owner else None

    def keep(self, owner: object, value: T, *, key: Hashable = None) -> T:
        """The value, which takes the place of any other of that object."""
        number, held = id(owner), self._held

        def forget(gone: weakref.ref[Any]) -> None:
            if number in held and held[number][0] is gone:
                del held[number]

        held[number] = weakref.ref(owner, forget), key, value
        return value
