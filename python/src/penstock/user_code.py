# SPDX-License-Identifier: Apache-2.0
"""A user's own functions, known by their code: what their instructions say, and what their names
stand for now."""

import ast
import dis
import inspect
import keyword
from collections.abc import Iterator
from itertools import combinations
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

NOTHING: Any = object()  # what no name stands for

# What of two codes is equal where they do the same with the same names, but for their constants.
SAME = (
    "co_code",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_exceptiontable",
)
_MOST_MODULES = 4
# Flags of what the code does; others say where it stands and what its module imports.
FLAGS = 0x3FF & ~inspect.CO_NESTED


def value(function: FunctionType, name: str) -> Any:
    """What a name of its code stands for now, or NOTHING; dots only through modules."""
    first, *others = name.split(".")
    if first in function.__code__.co_freevars:
        cells: tuple[CellType, ...] = function.__closure__ or ()
        cell = cells[function.__code__.co_freevars.index(first)]
        try:
            found = cell.cell_contents
        except ValueError:  # not yet
            return NOTHING
    else:
        found = function.__globals__.get(first, NOTHING)
    for other in others:
        if type(found) is not ModuleType:
            return NOTHING
        found = vars(found).get(other, NOTHING)
    return found


def is_same(one: CodeType, other: CodeType) -> bool:
    """Whether two do the same, with the same names."""
    if any(getattr(one, name) != getattr(other, name) for name in SAME):
        return False
    if (one.co_flags ^ other.co_flags) & FLAGS or len(one.co_consts) != len(other.co_consts):
        return False
    return all(map(_is_same_constant, one.co_consts, other.co_consts))


def _is_same_constant(one: Any, other: Any) -> bool:
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return is_same(one, other)
    return repr(one) == repr(other)  # which tells 1 from 1.0 and True


def expression(code: CodeType) -> tuple[str, ast.expr] | None:
    """A function's argument and what it returns, where it has one of one and does no more than
    calling things, with lists made from others among the arguments. What is read out of the
    instructions is compiled and compared with them, so that nothing of it is a guess."""
    if code.co_argcount != 1 or code.co_posonlyargcount or code.co_kwonlyargcount:
        return None
    if not all(map(_is_name, (*code.co_varnames, *code.co_names, *code.co_freevars))):
        return None
    try:
        found = _Reader(code).run()
        text = ast.unparse(found)
    except (_Unreadable, AttributeError, IndexError, RecursionError, TypeError, ValueError):
        return None
    argument = code.co_varnames[0]
    made = _made(argument, code, text, _modules(found))
    return (argument, found) if any(is_same(code, other) for other in made) else None


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _modules(found: ast.expr) -> list[str]:
    """Names whose attributes are looked up."""
    looks = (node.value for node in ast.walk(found) if isinstance(node, ast.Attribute))
    return sorted({node.id for node in looks if isinstance(node, ast.Name)})


def _made(argument: str, code: CodeType, text: str, modules: list[str]) -> Iterator[CodeType]:
    """The function that returns this, as a lambda and as a def, which may say what it does. What
    is called of a module has other instructions where the module is imported in the same file."""
    around = f"def around({', '.join(code.co_freevars)}):\n"
    said = code.co_consts[0] if code.co_consts else None
    doc = f"        {said!r}\n" if isinstance(said, str) else ""
    forms = (
        f"    return lambda {argument}: {text}\n",
        f"    def inner({argument}):\n{doc}        return {text}\n    return inner\n",
    )
    for form in forms:
        for n in range(min(len(modules), _MOST_MODULES) + 1):
            for imported in combinations(modules, n):
                imports = "".join(f"import {name}\n" for name in imported)
                made = compile(imports + around + form, "<known>", "exec")
                for _ in range(2):
                    made = next(one for one in made.co_consts if isinstance(one, CodeType))
                yield made


class _Unreadable(Exception):
    """An instruction that has no place in such a function."""


_NAMES = ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
_IGNORED = (
    *("RESUME", "COPY_FREE_VARS", "PUSH_NULL", "PRECALL", "GET_ITER", "FOR_ITER", "NOT_TAKEN"),
    *("JUMP_BACKWARD", "END_FOR", "POP_ITER", "RETURN_VALUE", "CACHE", "MAKE_CELL"),
)


class _Reader:
    """The instructions of a function in their order, on a stack of expressions. Sloppy, as what
    comes of it is compared."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.stack: list[Any] = []
        self.keywords: tuple[str, ...] = ()
        self.target = ""

    def run(self) -> ast.expr:
        for step in dis.get_instructions(self.code):
            if step.opname in _IGNORED:
                continue
            if step.opname in _NAMES:
                self.stack.append(ast.Name(step.argval))
                continue
            if step.opname == "KW_NAMES":  # of which dis knows no value
                self.keywords = self.code.co_consts[step.arg or 0]
                continue
            act = getattr(self, step.opname.lower(), None)
            if act is None:
                raise _Unreadable
            act(step.argval)
        (found,) = self.stack
        if not isinstance(found, ast.expr):
            raise _Unreadable
        return found

    def _take(self, n: int) -> list[Any]:
        taken = self.stack[len(self.stack) - n :]
        del self.stack[len(self.stack) - n :]
        return taken

    def load_attr(self, name: str) -> None:
        self.stack.append(ast.Attribute(self.stack.pop(), name))

    load_method = load_attr

    def load_const(self, constant: Any) -> None:
        self.stack.append(constant if isinstance(constant, CodeType) else ast.Constant(constant))

    load_small_int = load_const

    def load_closure(self, name: str) -> None:
        self.stack.append(ast.Name(name))

    def make_function(self, flags: Any) -> None:
        made = self.stack.pop()
        if isinstance(flags, int) and flags & 8:
            self.stack.pop()
        self.stack.append(made)

    def set_function_attribute(self, _: Any) -> None:
        made = self.stack.pop()
        self.stack[-1] = made

    def call_kw(self, n: int) -> None:
        self.keywords = self.stack.pop().value
        self.call(n)

    def call(self, n: int) -> None:
        arguments = self._take(n)
        called = self.stack.pop()
        if n == 0 and self.stack and isinstance(self.stack[-1], CodeType):
            # A list made from others is a function of its own before Python 3.12.
            inner = _Reader(self.stack.pop())
            made = inner.run()
            if not isinstance(made, ast.ListComp):
                raise _Unreadable
            made.generators[0].iter = called
            self.stack.append(made)
            return
        plain = arguments[: n - len(self.keywords)]
        named = zip(self.keywords, arguments[len(plain) :], strict=True)
        self.keywords = ()
        self.stack.append(ast.Call(called, plain, [ast.keyword(*pair) for pair in named]))

    def build_list(self, n: int) -> None:
        self.stack.append(ast.List(self._take(n)))

    def build_tuple(self, n: int) -> None:
        self.stack.append(ast.Tuple(self._take(n)))

    def list_extend(self, _: int) -> None:
        more = self.stack.pop()
        self.stack[-1] = ast.List([ast.Constant(one) for one in more.value])

    def load_fast_and_clear(self, name: str) -> None:
        self.stack.append(ast.Name(name))

    def swap(self, n: int) -> None:
        self.stack[-1], self.stack[-n] = self.stack[-n], self.stack[-1]

    def store_fast(self, name: str) -> None:
        if not self.target:  # of the loop
            self.target = name
        else:  # what it had been before
            self.stack.pop()

    def pop_top(self, _: Any) -> None:
        """Behind the loop's end, whose iterator list_append has taken already."""

    def list_append(self, _: int) -> None:
        element, over = self._take(2)[::-1]
        loop = ast.comprehension(ast.Name(self.target), over, [], 0)
        self.stack[-1] = ast.ListComp(element, [loop])
