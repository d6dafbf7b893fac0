# SPDX-License-Identifier: Apache-2.0
"""A cache whose entries end with the objects that they are about."""

import weakref
from functools import partial
from typing import Any, Generic, TypeVar

_V = TypeVar("_V")


class Kept(Generic[_V]):
    """A value for some objects, as long as all of them live; found by which objects they are.

    Safe between threads as dicts are; the collector may end an entry at any moment."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, ...], tuple[tuple[weakref.ref[Any], ...], _V]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> list[tuple[tuple[Any, ...], _V]]:
        """The objects of each entry, and its value."""
        entries = list(self._entries.values())
        found = [(tuple(reference() for reference in pair[0]), pair[1]) for pair in entries]
        return [(things, value) for things, value in found if None not in things]

    def clear(self) -> None:
        self._entries.clear()

    def get(self, *objects: Any) -> _V | None:
        entry = self._entries.get(tuple(map(id, objects)))
        if entry is None:
            return None
        pairs = zip(entry[0], objects, strict=True)
        return entry[1] if all(reference() is thing for reference, thing in pairs) else None

    def put(self, value: _V, *objects: Any) -> None:
        key = tuple(map(id, objects))
        # No Python code in the callback: a signal handler that raised there would raise in vain. At
        # worst it ends the entry of the next objects at these addresses, which is then made again.
        forget = partial(self._entries.pop, key)  # the reference that it gets is pop()'s default
        self._entries[key] = tuple(weakref.ref(thing, forget) for thing in objects), value
