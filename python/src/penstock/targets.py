# SPDX-License-Identifier: Apache-2.0
"""Target transforms that are known to depend on nothing but the label, so that one call a class is
as good as one a sample. What a function depends on cannot be seen: only these are known."""

import operator
from collections.abc import Callable
from types import BuiltinMethodType
from typing import Any

import torch
from penstock.refusal import describe, refuse

_FUNCTIONS = (int, operator.index, operator.pos, operator.neg, operator.inv, operator.abs)
# One label as a tensor without dimensions: the default collate stacks them to what it makes of int.
_TENSORS = (torch.tensor, torch.as_tensor)
_METHODS: dict[Any, tuple[str, ...]] = {
    dict: ("__getitem__", "get"),
    list: ("__getitem__", "index"),
}


class Target:
    """A target transform with a copy of the numbers that it looks up."""

    __slots__ = ("function", "values")

    def __init__(self, function: Any) -> None:
        self.function = function
        self.values: Any = None
        if any(function is known for known in (*_FUNCTIONS, *_TENSORS)):
            return
        owner: Any = getattr(function, "__self__", None)
        names = _METHODS.get(type(owner), ()) if type(function) is BuiltinMethodType else ()
        if not any(function == getattr(owner, name) for name in names):
            refuse("dataset", f"target_transform is {describe(function)}")
        values = (*owner, *owner.values()) if isinstance(owner, dict) else tuple(owner)
        if not set(map(type, values)) <= {int}:
            refuse("dataset", f"target_transform looks up in a {describe(owner)} of more than int")
        self.values = values

    def is_same(self, other: "Target | None") -> bool:
        # All values are int: equal ones are the same to whoever sees them.
        return other is not None and self.function == other.function and self.values == other.values

    def labels(self, labels: list[Any]) -> list[Any]:
        """What it makes of labels, which are integers of one class."""
        call: Callable[[Any], Any] = self.function
        if any(call is known for known in _TENSORS):
            if not set(map(type, labels)) <= {int}:
                refuse(
                    "dataset", f"target_transform is {describe(call)}, of labels that are not int"
                )
            call = int
        try:
            table = {label: call(label) for label in set(labels)}
        except Exception as error:  # stock raises it when it comes to such a sample
            refuse("dataset", f"target_transform raises {type(error).__name__}: {error}")
        return [table[label] for label in labels]


def is_same(one: Target | None, other: Target | None) -> bool:
    return one is other if one is None else one.is_same(other)
