# SPDX-License-Identifier: Apache-2.0
"""How the native lane says no, and what it asks of a class before it says yes."""

from types import FunctionType, ModuleType
from typing import Any, NoReturn


class Refusal(Exception):
    """The native lane is not for this: `stage` is who stands in the way, `reason` why."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


def refuse(stage: str, reason: str) -> NoReturn:
    raise Refusal(stage, reason)


def describe(value: Any) -> str:
    """A class or function by its own name, anything else by its class."""
    thing = value if isinstance(value, type | FunctionType) else type(value)
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None) or repr(thing)
    return f"{module}.{name}" if module not in (None, "builtins") else str(name)


def is_from(function: Any, module: ModuleType) -> bool:
    return isinstance(function, FunctionType) and function.__globals__ is module.__dict__
