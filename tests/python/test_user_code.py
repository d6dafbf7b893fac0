# SPDX-License-Identifier: Apache-2.0
"""Functions that are read by their code, and what their names stand for."""

import ast
import random
from types import CodeType, FunctionType
from typing import Any

import pytest
from penstock import user_code


@pytest.mark.parametrize("imported", ["", "import torch\n", "import torch, transforms\n"])
@pytest.mark.parametrize("form", ["f = lambda c: {}", "def f(c):\n    return {}"])
def test_however_it_is_written(imported: str, form: str) -> None:
    """The compiler takes another way to what a module holds where its import is in sight."""
    text = "torch.stack([transforms.ToTensor()(x) for x in c])"
    made = compile(imported + form.format(text), "other", "exec")
    code = next(one for one in made.co_consts if isinstance(one, CodeType))
    found = user_code.expression(code)
    assert found is not None
    assert (found[0], ast.unparse(found[1])) == ("c", text)


def test_random_code_is_told_apart() -> None:
    """Expressions that are read are those that were written."""
    pick = random.Random(4)

    def one(depth: int) -> str:
        if depth == 0:
            return pick.choice(["x", "x", "x", "y", "1"])
        name = pick.choice(["f", "g", "m.f", "m.g", "m.n.f", "m.C()", "C(1, 2.5)", "C(a=[1, 2])"])
        return f"{name}({one(depth - 1)})"

    known = 0
    for _ in range(300):
        body = pick.choice(
            ["torch.stack([{}for x in c])", "[{}for x in c]", "s([{}for x in c], 0)"]
        )
        text = body.format(f"{one(pick.randint(0, 3))} ")
        text = pick.choice([text, text, text.replace("for x in c", "for x in c if x"), f"-{text}"])
        made = eval(f"lambda c: {text}")
        found = user_code.expression(made.__code__)
        if found is None:
            assert text.startswith("-") or " if " in text, text
            continue
        known += 1
        again = eval(f"lambda c: {ast.unparse(found[1])}")
        assert user_code.is_same(made.__code__, again.__code__), text
    assert known > 100


def test_what_is_not_read() -> None:
    def two(a: Any, b: Any) -> Any:
        return a(b)

    def later(a: Any) -> Any:
        b = a
        return b

    def counted(*a: Any) -> Any:
        return a

    functions: list[Any] = [
        two,
        later,
        counted,
        lambda a, *, b: a,
        lambda a: (yield a),
        lambda a: [b for b in a for _ in a],
        lambda a: {b for b in a},  # noqa: C416
        lambda a: [b(c) for b, c in a],
        lambda a: [lambda b=b: b for b in a],
        lambda a: a or a,
        lambda a: f"{a}",
        lambda a: a.b[0],
    ]
    for function in functions:
        assert user_code.expression(function.__code__) is None, function


def test_names_that_are_no_names() -> None:
    """A code that was put together, with a name that would be compiled to something else."""
    made: Any = lambda a: f(a)  # type: ignore[name-defined] # noqa: E731, F821
    spoilt = made.__code__.replace(co_names=("(lambda x: x)",))
    assert user_code.expression(made.__code__) is not None
    assert user_code.expression(spoilt) is None
    assert user_code.expression(made.__code__.replace(co_names=("class",))) is None


def test_values() -> None:
    cell: Any
    later: Any = lambda a: cell(a)  # noqa: E731
    assert user_code.value(later, "cell") is user_code.NOTHING
    cell = later
    assert user_code.value(later, "cell") is later
    function = FunctionType(later.__code__.replace(co_freevars=()), {"random": random, "one": 1})
    assert user_code.value(function, "random.Random") is random.Random
    assert user_code.value(function, "random.Random.seed") is user_code.NOTHING
    assert user_code.value(function, "random.missing") is user_code.NOTHING
    assert user_code.value(function, "one") == 1
    assert user_code.value(function, "print") is user_code.NOTHING
