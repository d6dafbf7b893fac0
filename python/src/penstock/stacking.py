# SPDX-License-Identifier: Apache-2.0
"""The functions that users put behind FiveCrop and TenCrop:

    lambda crops: torch.stack([normalize(ToTensor()(crop)) for crop in crops])

They are the user's own, so one is known by its code, by what its names stand for now, and by what
it makes of images that hold all values."""

import ast
import sys
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

import torch
from penstock import steps, user_code
from penstock.refusal import describe, is_from, refuse

_STACK = torch.stack


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a function does with each crop, in this order, and whether it stacks what comes of it.
    `names`: what was looked up for that, beside copies of lists."""

    function: FunctionType
    code: CodeType
    each: tuple[Any, ...]
    is_stacked: bool
    names: tuple[tuple[str, Any, Any], ...]

    def is_unchanged(self) -> bool:
        return self.function.__code__ is self.code and all(
            user_code.value(self.function, name) is found and (copy is None or found == copy)
            for name, found, copy in self.names
        )


def function_of(thing: Any) -> FunctionType | None:
    """The function that a step calls with the crops: v1's Lambda, or the function itself."""
    if type(thing) is FunctionType:
        return thing
    v1: Any = sys.modules.get("torchvision.transforms.transforms")
    if v1 is None or type(thing) is not v1.Lambda:
        return None
    function = vars(thing).get("lambd")
    return function if type(function) is FunctionType else None


_expression = lru_cache(maxsize=64)(user_code.expression)


class _Unclear(Exception):
    """Not one of the forms that are known."""


def read(function: FunctionType) -> Reading:
    """Raises Refusal."""
    found = _expression(function.__code__)
    try:
        if found is None:
            raise _Unclear("what it does is not known by its code")
        return _Walk(function, *found).reading()
    except _Unclear as why:
        refuse("transform", f"{describe(function)} takes the crops: {why}")


_NUMBERS = (int, float)


class _Walk:
    def __init__(self, function: FunctionType, argument: str, body: ast.expr) -> None:
        self.function = function
        self.argument = argument
        self.body = body
        self.local = {argument}
        self.names: list[tuple[str, Any, Any]] = []

    def reading(self) -> Reading:
        body, is_stacked = self.body, False
        if isinstance(body, ast.Call) and self._value(body.func) is _STACK:
            is_stacked, body = True, self._stacked(body)
        each: list[Any] = []
        if isinstance(body, ast.ListComp):
            each = self._each(body)
        elif not is_stacked or not self._is_name(body, self.argument):
            raise _Unclear("it does not go through them")
        function = self.function
        return Reading(function, function.__code__, tuple(each), is_stacked, tuple(self.names))

    @staticmethod
    def _is_name(node: ast.expr, name: str) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    def _stacked(self, call: ast.Call) -> ast.expr:
        """What torch.stack() gets; along the first dimension, which is the default."""
        named = [(one.arg, one.value) for one in call.keywords]
        more = [*call.args[1:], *(value for name, value in named if name == "dim")]
        if not call.args or len(more) > 1 or len(call.args) + len(named) > 2:
            raise _Unclear("torch.stack() has other arguments")
        if named and named[0][0] != "dim":
            raise _Unclear(f"torch.stack() has an argument {named[0][0]}")
        if more and self._constant(more[0]) != 0:
            raise _Unclear("torch.stack() makes another dimension than the first")
        return call.args[0]

    def _each(self, made: ast.ListComp) -> list[Any]:
        loop = made.generators[0]
        if not self._is_name(loop.iter, self.argument) or not isinstance(loop.target, ast.Name):
            raise _Unclear("it does not go through them")
        target = loop.target.id
        self.local.add(target)
        found: list[Any] = []
        node = made.elt
        while not self._is_name(node, target):
            if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
                raise _Unclear("it does more with a crop than to call something with it")
            found.append(self._called(node.func))
            (node,) = node.args
        return found[::-1]

    def _called(self, node: ast.expr) -> Any:
        """What a crop is given to: an object of the user's, or one that is made on the spot."""
        if isinstance(node, ast.Call):
            return self._made(node)
        found = self._value(node)
        if isinstance(found, FunctionType):
            return _as_step(found)
        if isinstance(found, type):
            raise _Unclear(f"it makes a {describe(found)} of a crop")
        return found

    def _made(self, call: ast.Call) -> Any:
        cls = self._value(call.func)
        kind = steps.kinds().get(cls) if isinstance(cls, type) else None
        if kind is None or kind.group not in ("convert", "pixels"):
            raise _Unclear(f"it calls {describe(cls)}")
        named = {one.arg: self._constant(one.value) for one in call.keywords if one.arg}
        try:
            return cls(*map(self._constant, call.args), **named)
        except (TypeError, ValueError) as error:
            raise _Unclear(f"{cls.__name__}() raises {type(error).__name__}: {error}") from None

    def _constant(self, node: ast.expr) -> Any:
        """Numbers, and lists and tuples of them, a dtype."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.List):
            return [self._constant(one) for one in node.elts]
        if isinstance(node, ast.Tuple):
            return tuple(self._constant(one) for one in node.elts)
        found = self._value(node)
        if type(found) in (list, tuple):
            if not {type(one) for one in found} <= set(_NUMBERS):
                raise _Unclear(f"an argument is a {describe(found)} of more than numbers")
        elif type(found) not in (*_NUMBERS, bool, torch.dtype):
            raise _Unclear(f"an argument is a {describe(found)}")
        return found

    def _value(self, node: ast.expr) -> Any:
        """What a name of the function's stands for."""
        name = ast.unparse(node)
        if not all(part.isidentifier() for part in name.split(".")):
            raise _Unclear(f"it calls {name}")
        if name.split(".")[0] in self.local:
            raise _Unclear(f"it looks at {name}")
        found = user_code.value(self.function, name)
        if found is user_code.NOTHING:
            raise _Unclear(f"{name} is not known")
        copy = found.copy() if type(found) is list else None
        self.names.append((name, found, copy))
        return found


def _as_step(function: FunctionType) -> Any:
    """The object that does what one of torchvision's own functions does."""
    v1: Any = sys.modules.get("torchvision.transforms.functional")
    v2: Any = sys.modules.get("torchvision.transforms.v2")
    for name, step in (("to_tensor", "ToTensor"), ("pil_to_tensor", "PILToTensor")):
        if v1 is not None and is_from(function, v1) and vars(v1).get(name) is function:
            return getattr(sys.modules["torchvision.transforms.transforms"], step)()
    if v2 is not None and vars(v2.functional).get("to_image") is function:
        if function.__module__ == "torchvision.transforms.v2.functional._type_conversion":
            return v2.ToImage()
    raise _Unclear(f"it calls {describe(function)}")
