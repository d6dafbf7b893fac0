# SPDX-License-Identifier: Apache-2.0
"""The worker_init_fn of frameworks, which seed: run once for each virtual worker, in a room with
generators of its own, so that nothing of the caller's process is drawn from, seeded or put back.

A function is known by its place in its framework's module, by its file, and by the names that its
code refers to. What it computes with them is its own affair: it is run, not imitated. But it gets
no name that could reach out of the room: another one, in a version that nobody has looked at, is a
refusal.
"""

import builtins
import functools
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CellType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

import torch
from penstock._torch import WorkerInfo, numpy_seed, wrap_error
from penstock.refusal import describe, refuse
from torch._utils import ExceptionWrapper


@dataclass(frozen=True)
class _Known:
    """A function whose code refers to none but these names, and may call these of its module."""

    names: str
    helpers: dict[str, "_Known"] = field(default_factory=dict)
    keywords: dict[str, type | tuple[type, ...]] = field(default_factory=dict)
    defaults: tuple[Any, ...] | None = None
    calls_another: bool = False  # the variable worker_init_fn of its closure

    def allows(self, names: set[str]) -> bool:
        return names <= {*self.names.split(), *self.helpers}


_LIGHTNING = _Known(
    "rank_zero_only rank torch initial_seed manual_seed log debug random seed _NUMPY_AVAILABLE "
    "numpy np SeedSequence generate_state",
    helpers={"_generate_seed_sequence": _Known("range append")},
    keywords={"rank": (int, type(None))},
    defaults=(None,),
)
_TRANSFORMERS = _Known(
    "torch initial_seed",
    helpers={
        "set_seed": _Known(
            "random seed np torch manual_seed manual_seed_all use_deterministic_algorithms cuda "
            "mlu musa npu hpu xpu is_torch_available is_torch_mlu_available "
            "is_torch_musa_available is_torch_npu_available is_torch_hpu_available "
            "is_torch_xpu_available",
            defaults=(False,),
        )
    },
    keywords={"num_workers": int, "rank": int},
)
_TIMM = _Known(
    "torch utils data get_worker_info id seed isinstance Callable random manual_seed np",
    keywords={"worker_seeding": str},
    defaults=("all",),
)
_ULTRALYTICS = _Known("torch initial_seed np random seed")
_RAY = _Known("torch initial_seed np random seed", calls_another=True)

_KNOWN: dict[tuple[str, str], _Known] = {
    ("lightning.fabric.utilities.seed", "pl_worker_init_function"): _LIGHTNING,
    ("lightning_fabric.utilities.seed", "pl_worker_init_function"): _LIGHTNING,
    ("transformers.trainer_utils", "seed_worker"): _TRANSFORMERS,
    ("timm.data.loader", "_worker_init"): _TIMM,
    ("ultralytics.data.build", "seed_worker"): _ULTRALYTICS,
    (
        "ray.train.torch.train_loop_utils",
        "_TorchAccelerator.prepare_data_loader.<locals>.with_sampler.<locals>."
        "seeded_worker_init_fn.<locals>.wrapper",
    ): _RAY,
}


# --- which function it is


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _is_defined(function: FunctionType, module: ModuleType) -> bool:
    """Whether the module has this function under its name, or the code that makes it."""
    outer, *inner = function.__qualname__.split(".<locals>.")
    thing: Any = module
    for name in outer.split("."):
        thing = vars(thing).get(name)
        if thing is None:
            return False
    if not inner:
        return thing is function
    return isinstance(thing, FunctionType) and function.__code__ in _codes(thing.__code__)


def _is_same_file(a: str | None, b: str | None) -> bool:
    return a is not None and b is not None and os.path.realpath(a) == os.path.realpath(b)


def _check_globals(function: FunctionType, name: str) -> None:
    """The names for what the room has stand-ins for stand for just that."""
    expected = {"torch": torch, "random": random, "np": sys.modules.get("numpy")}
    for variable in {*function.__code__.co_names} & expected.keys() & function.__globals__.keys():
        if function.__globals__[variable] is not expected[variable]:
            refuse("workers", f"in the module of {name}, {variable} is not what it seems")


def _check_function(function: Any, known: _Known, module: ModuleType, name: str) -> None:
    if (
        type(function) is not FunctionType
        or function.__globals__ is not module.__dict__
        or not _is_same_file(function.__code__.co_filename, getattr(module, "__file__", None))
        or not _is_defined(function, module)
    ):
        refuse("workers", f"worker_init_fn is {name}, but not the one of its module")
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    if not known.allows(names):
        others = ", ".join(sorted(names - {*known.names.split(), *known.helpers}))
        refuse("workers", f"worker_init_fn is {name} of an unknown version, which uses {others}")
    free = ("worker_init_fn",) if known.calls_another else ()
    if function.__defaults__ != known.defaults or function.__code__.co_freevars != free:
        refuse("workers", f"worker_init_fn is {name} of an unknown version")
    _check_globals(function, name)
    for helper, what in known.helpers.items():
        if helper in names:
            _check_function(vars(module).get(helper), what, module, name)


def _keywords_of(function: functools.partial[Any], known: _Known, name: str) -> dict[str, Any]:
    if function.args:
        refuse("workers", f"worker_init_fn is {name} with arguments")
    for keyword, value in function.keywords.items():
        kind = known.keywords.get(keyword)
        if kind is None or not isinstance(value, kind):
            refuse("workers", f"worker_init_fn is {name} with {keyword}={describe(value)}")
    return dict(function.keywords)


@dataclass(frozen=True, slots=True)
class InitFn:
    """A function that is known, and may run in the room."""

    name: str
    function: FunctionType
    known: _Known
    keywords: dict[str, Any]
    inner: "InitFn | None" = None


def read(function: Any) -> InitFn | None:
    """The loader's worker_init_fn; None: there is none. Raises Refusal."""
    if function is None:
        return None
    plain: Any = function.func if type(function) is functools.partial else function
    name = describe(plain)
    module_name = getattr(plain, "__module__", None)
    known = _KNOWN.get((str(module_name), getattr(plain, "__qualname__", "")))
    module = sys.modules.get(str(module_name))
    if known is None or module is None:
        refuse("workers", f"worker_init_fn is {describe(plain)}")
    _check_function(plain, known, module, name)
    keywords = _keywords_of(function, known, name) if plain is not function else {}
    inner = None
    if known.calls_another:
        (cell,) = plain.__closure__
        inner = read(cell.cell_contents)
    return InitFn(name, plain, known, keywords, inner)


# --- the room


@dataclass(frozen=True, slots=True)
class Outcome:
    """A worker after its worker_init_fn: torch's generator, Python's, and what it raised."""

    generator: torch.Generator
    python: random.Random
    error: ExceptionWrapper | None


class Room:
    """What a function meets in a worker of torch that was just started: torch, random and numpy, as
    far as seeding goes, with the generators of that worker."""

    def __init__(self, base_seed: int, worker: int, num_workers: int, dataset: Any) -> None:
        seed = base_seed + worker
        self.generator = torch.Generator(device="cpu")
        self.generator.manual_seed(seed)
        self.random = random.Random(seed)
        self.info = WorkerInfo(id=worker, num_workers=num_workers, seed=seed, dataset=dataset)
        # A worker's accelerators are not the caller's.
        accelerator = SimpleNamespace(manual_seed_all=lambda seed: None)
        self.torch = SimpleNamespace(
            initial_seed=self.generator.initial_seed,
            manual_seed=lambda seed: self.generator.manual_seed(int(seed)),
            utils=SimpleNamespace(data=SimpleNamespace(get_worker_info=lambda: self.info)),
            **dict.fromkeys(("cuda", "mlu", "musa", "npu", "hpu", "xpu"), accelerator),
        )
        self.numpy: Any = None
        if "numpy" in sys.modules:
            numpy = sys.modules["numpy"]
            self.numpy_state = numpy.random.RandomState(numpy_seed(base_seed, worker))
            self.numpy = SimpleNamespace(
                random=SimpleNamespace(
                    seed=self.numpy_state.seed, SeedSequence=numpy.random.SeedSequence
                )
            )

    def _import(self, name: str, *arguments: Any) -> Any:
        if name == "numpy" and self.numpy is not None:
            return self.numpy
        raise ImportError(f"{name} is not in the room of a worker_init_fn")

    def _globals(self, function: FunctionType, known: _Known) -> dict[str, Any]:
        names = {**function.__globals__}
        stand_ins = {"torch": self.torch, "random": self.random, "np": self.numpy}
        names.update((name, thing) for name, thing in stand_ins.items() if name in names)
        for helper, what in known.helpers.items():
            if helper in names:
                names[helper] = self.inside(names[helper], what, None)
        names["__builtins__"] = {**vars(builtins), "__import__": self._import}
        return names

    def inside(
        self, function: FunctionType, known: _Known, inner: Callable[..., Any] | None
    ) -> FunctionType:
        """The function's code, with the room's things for the names that it uses."""
        closure = (CellType(inner),) if known.calls_another else None
        copy = FunctionType(
            function.__code__,
            self._globals(function, known),
            function.__name__,
            function.__defaults__,
            closure,
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        return copy

    def bound(self, init: InitFn) -> Callable[..., Any]:
        inner = None if init.inner is None else self.bound(init.inner)
        return functools.partial(self.inside(init.function, init.known, inner), **init.keywords)


def run(init: InitFn, base_seed: int, worker: int, num_workers: int, dataset: Any) -> Outcome:
    """What a worker of torch has after it has called the function."""
    room = Room(base_seed, worker, num_workers, dataset)
    try:
        room.bound(init)(worker)
    except Exception as error:
        wrapped = wrap_error(error, f"in DataLoader worker process {worker}")
        return Outcome(room.generator, room.random, wrapped)
    return Outcome(room.generator, room.random, None)
