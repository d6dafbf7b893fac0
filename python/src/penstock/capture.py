# SPDX-License-Identifier: Apache-2.0
"""What a loader's dataset and transforms are: something the engine does bit for bit, or why not.

Everything is read anew at each call, in microseconds, because users and frameworks change datasets,
transforms and settings of the process between epochs and, with num_workers=0, between batches.
A thing is known only if it is exactly the class or function it seems to be; doubt is a refusal.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from types import FunctionType, ModuleType
from typing import Any, NoReturn

import torch
import torch.nn.modules.module as torch_module
from penstock import own, steps
from torch.utils.data._utils import collate


class Refusal(Exception):
    """The native lane is not for this: `stage` is who stands in the way, `reason` why."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


def refuse(stage: str, reason: str) -> NoReturn:
    raise Refusal(stage, reason)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The transforms of a dataset: their values (key), and the objects that map pixels (tail).

    `seen` holds all objects that were read beside a copy of their attributes, to find out at the
    price of some comparisons that nothing has changed."""

    root: Any
    key: tuple[Any, ...]
    tail: tuple[Any, ...]
    seen: tuple[tuple[Any, dict[str, Any]], ...]
    versions: tuple[tuple[torch.Tensor, int], ...]


def describe(value: Any) -> str:
    """A class or function by its own name, anything else by its class."""
    thing = value if isinstance(value, type | FunctionType) else type(value)
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None) or repr(thing)
    return f"{module}.{name}" if module not in (None, "builtins") else str(name)


# --- the process


def _has_global_hooks() -> bool:
    return any(
        getattr(torch_module, name, None)
        for name in (
            "_global_forward_hooks",
            "_global_forward_pre_hooks",
            "_global_backward_hooks",
            "_global_backward_pre_hooks",
        )
    )


def _known_collate_keys() -> set[Any]:
    keys: set[Any] = {torch.Tensor, float, int, str, bytes}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        keys |= {numpy.ndarray, (numpy.bool_, numpy.number, numpy.object_)}
    return keys


_collate_map_seen: dict[Any, Any] = {}


def _check_collate_map() -> None:
    table = collate.default_collate_fn_map
    if table == _collate_map_seen:
        return
    if (
        table.get(torch.Tensor) is not collate.collate_tensor_fn
        or table.get(int) is not collate.collate_int_fn
        or not _known_collate_keys() >= table.keys()
    ):
        refuse("collate", "default_collate_fn_map was changed")
    _collate_map_seen.clear()
    _collate_map_seen.update(table)


def check_process() -> None:
    """The settings of the process that would change what torchvision and torch compute."""
    if torch.get_default_dtype() is not torch.float32:
        refuse("transform", f"the default dtype is {torch.get_default_dtype()}")
    if torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack():
        refuse("transform", "a torch function or dispatch mode (or a default device) is active")
    if _has_global_hooks():
        refuse("transform", "global module hooks are set")
    _check_collate_map()
    vision = sys.modules.get("torchvision")
    if vision is not None and vision.get_image_backend() != "PIL":
        refuse("decode", f"torchvision's image backend is {vision.get_image_backend()!r}")
    helpers = sys.modules.get("torchvision.tv_tensors._torch_function_helpers")
    if helpers is not None and getattr(helpers, "_TORCHFUNCTION_SUBCLASS", False):
        refuse("transform", "tv_tensors.set_return_type('TVTensor') is active")
    _check_pillow()


def _check_pillow() -> None:
    image = sys.modules.get("PIL.Image")
    if image is None:
        refuse("decode", "Pillow is not loaded")
    if ".post" in image.__version__:
        refuse("decode", f"Pillow {image.__version__} is not plain Pillow")
    most = image.MAX_IMAGE_PIXELS
    if most is not None and most < 89478485:
        refuse("decode", f"PIL.Image.MAX_IMAGE_PIXELS was lowered to {most}")


# --- the dataset

# Functions by which the classes that are known do their work; another one in the place of any of
# them is not known.
_FOLDER_FUNCTIONS = ("pil_loader", "default_loader")


def _is_from(function: Any, module: ModuleType) -> bool:
    return isinstance(function, FunctionType) and function.__globals__ is module.__dict__


def _folder_module() -> ModuleType | None:
    return sys.modules.get("torchvision.datasets.folder")


def check_dataset(dataset: Any) -> None:
    if own.is_own(dataset):
        reason = own.refusal(dataset)
        if reason is not None:
            refuse("dataset", reason)
        return
    folder = _folder_module()
    if folder is None or type(dataset) is not folder.ImageFolder:
        refuse("dataset", f"{describe(dataset)} is not torchvision.datasets.ImageFolder itself")
    for name in _FOLDER_FUNCTIONS:
        if not _is_from(getattr(folder, name), folder):
            refuse("dataset", f"torchvision.datasets.folder.{name} was replaced")
    if not _is_from(folder.ImageFolder.__getitem__, folder):
        refuse("dataset", "ImageFolder.__getitem__ was replaced")
    if hasattr(dataset, "__getitems__"):
        refuse("dataset", "the dataset has __getitems__")
    if dataset.loader is not folder.default_loader:
        refuse("decode", f"the loader function is {describe(dataset.loader)}")
    if dataset.target_transform is not None:
        refuse("dataset", f"target_transform is {describe(dataset.target_transform)}")
    if type(dataset.samples) is not list:
        refuse("dataset", f"samples is a {describe(dataset.samples)}, not a list")


# --- the transforms

_MODULE_ATTRIBUTES = frozenset(vars(torch.nn.Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_METHODS = ("__call__", "forward", "transform", "make_params", "check_inputs", "_call_kernel")
_METHODS_HOME = ("torchvision.transforms.", "torch.nn.modules.")
# Per class: a getter of the methods that it has, and what it got.
_methods_seen: dict[type, tuple[Callable[[Any], Any], Any]] = {}
_attributes_seen: set[tuple[Any, ...]] = set()  # (class, names on an instance), found harmless


def _is_at_home(method: Any) -> bool:
    return isinstance(method, FunctionType) and str(
        method.__globals__.get("__name__", "")
    ).startswith(_METHODS_HOME)


def _check_methods(cls: type) -> None:
    """The class does what its source says: no method was put in its place."""
    seen = _methods_seen.get(cls)
    if seen is not None and seen[0](cls) == seen[1]:
        return
    names = [name for name in _METHODS if getattr(cls, name, None) is not None]
    for name in names:
        if not _is_at_home(getattr(cls, name)):
            refuse("transform", f"{cls.__name__}.{name} was replaced")
    getter = attrgetter(*names)
    _methods_seen[cls] = getter, getter(cls)


def _check_instance(thing: Any) -> None:
    """Nothing on the instance hides what its class defines; no hooks."""
    cls = type(thing)
    _check_methods(cls)
    attributes = vars(thing)
    is_module = isinstance(thing, torch.nn.Module)
    names = (cls, *attributes)
    if names not in _attributes_seen:
        for name in attributes:
            if hasattr(cls, name) and not (is_module and name in _MODULE_ATTRIBUTES):
                refuse("transform", f"{cls.__name__}.{name} is set on the instance")
        if len(_attributes_seen) < 1000:
            _attributes_seen.add(names)
    if is_module and any(map(attributes.get, _HOOKS)):
        refuse("transform", f"{cls.__name__} has hooks")


class _Walk:
    def __init__(self) -> None:
        self.kinds = steps.kinds()
        self.key: list[tuple[Any, ...]] = []
        self.tail: list[Any] = []
        self.seen: list[tuple[Any, dict[str, Any]]] = []
        self.versions: list[tuple[torch.Tensor, int]] = []
        self.is_tensor = False

    def visit(self, thing: Any, depth: int = 0) -> None:
        kind = self.kinds.get(type(thing))
        if kind is None:
            if isinstance(thing, tuple(self.kinds)):
                base = next(cls for cls in type(thing).__mro__ if cls in self.kinds)
                refuse("transform", f"{describe(thing)} is a subclass of {describe(base)}")
            refuse("transform", f"{describe(thing)} has no native counterpart")
        _check_instance(thing)
        self._see(thing)
        if kind.group == "container":
            if depth >= 16:
                refuse("transform", "containers are nested more than 16 deep")
            for child in self._children(thing):
                self.visit(child, depth + 1)
            return
        self._step(thing, kind)

    def _see(self, thing: Any) -> None:
        copies = {}
        for name, value in vars(thing).items():
            copies[name] = value.copy() if isinstance(value, list | dict | set) else value
            if isinstance(value, torch.Tensor):
                self.versions.append((value, value._version))
        self.seen.append((thing, copies))

    def _children(self, thing: Any) -> Iterable[Any]:
        if isinstance(thing, torch.nn.Sequential):
            return thing._modules.values()
        if type(thing.transforms) not in (list, tuple):
            refuse("transform", f"Compose holds a {describe(thing.transforms)}, not a list")
        return list(thing.transforms)

    def _step(self, thing: Any, kind: steps.Kind) -> None:
        name = type(thing).__name__
        if self.is_tensor and kind.group == "geometry":
            refuse("transform", f"{name} works on a tensor here, not on a PIL image")
        if self.is_tensor and kind.group == "convert" and kind.name != "ToImage":
            refuse("transform", f"{name} comes after the image is a tensor")
        if not self.is_tensor and kind.group == "pixels":
            refuse("transform", f"{name} comes before the image is a tensor")
        if kind.group == "convert":
            self.is_tensor = True
        if kind.group in ("convert", "pixels"):
            self.tail.append(thing)
        try:
            values = kind.read(thing)
        except steps.Unknown as error:
            refuse("transform", f"{name}: {error}")
        self.key.append((kind.group, type(thing), *values))


def read_transform(transform: Any) -> Reading:
    if transform is None:
        refuse("transform", "there is no transform: the samples are PIL images")
    walk = _Walk()
    walk.visit(transform)
    if not walk.is_tensor:
        refuse("transform", "nothing makes a tensor of the image")
    return Reading(
        transform, tuple(walk.key), tuple(walk.tail), tuple(walk.seen), tuple(walk.versions)
    )


def _is_unchanged(reading: Reading, transform: Any) -> bool:
    if transform is not reading.root:
        return False
    for thing, copies in reading.seen:
        _check_methods(type(thing))
        if vars(thing) != copies:
            return False
    return all(tensor._version == version for tensor, version in reading.versions)


def read_dataset(dataset: Any, last: Reading | None = None) -> Reading:
    """What a dataset does with a sample, now; `last` itself if that is the same. Raises Refusal."""
    try:
        check_process()
        check_dataset(dataset)
        if last is not None and _is_unchanged(last, dataset.transform):
            return last
        return read_transform(dataset.transform)
    except Refusal:
        raise
    except Exception as error:  # an attribute that is missing, or whose own code fails
        refuse("dataset", f"it could not be examined ({type(error).__name__}: {error})")


# --- the loader


def read_loader(loader: Any) -> Reading:
    """What a loader would do if it were iterated now. Raises Refusal."""
    if not loader._auto_collation:
        refuse("order", "batch_size=None turns batching off")
    if loader.collate_fn is not collate.default_collate:
        refuse("collate", f"collate_fn is {describe(loader.collate_fn)}")
    if loader.worker_init_fn is not None:
        refuse("workers", f"worker_init_fn is {describe(loader.worker_init_fn)}")
    if loader.num_workers == 0 and loader.timeout != 0:
        refuse("workers", "a timeout needs workers")
    if loader.num_workers > 4096:
        refuse("workers", "more than 4096 workers")
    if loader.num_workers > 0 and loader.prefetch_factor <= 0:
        refuse("workers", "prefetch_factor is not positive")
    return read_dataset(loader.dataset)
