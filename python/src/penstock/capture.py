# SPDX-License-Identifier: Apache-2.0
"""What a loader's dataset and transforms are: something the engine does bit for bit, or why not.

Everything is read anew at each call, in microseconds, because users and frameworks change datasets,
transforms and settings of the process between epochs and, with num_workers=0, between batches.
A thing is known only if it is exactly the class or function it seems to be; doubt is a refusal.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter, is_
from types import CodeType, FunctionType
from typing import Any, Literal

import torch
import torch.nn.modules.module as torch_module
from penstock import (
    augmix,
    blurring,
    collation,
    ops,
    python_random,
    sources,
    stacking,
    step_arguments,
    steps,
    tensor_steps,
    user_code,
    worker_init,
)
from penstock.refusal import Refusal as Refusal
from penstock.refusal import describe as describe
from penstock.refusal import refuse as refuse
from penstock.sources import Source
from torch.utils.data._utils import collate


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The transforms of a dataset's parts, one object after the other: the values that they have in
    common (key), and the objects that map pixels (tail).

    `seen` holds all objects that were read beside a copy of their attributes, to find out at the
    price of some comparisons that nothing has changed."""

    roots: tuple[Any, ...]
    key: tuple[Any, ...]
    tail: tuple[Any, ...]
    seen: tuple[tuple[Any, dict[str, Any]], ...]
    versions: tuple[tuple[torch.Tensor, int], ...]
    channels: int = 3  # of the images: 1 for grey ones
    draws_python: bool = False  # from Python's random
    functions: tuple[stacking.Reading, ...] = ()  # the user's own that were read


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


_SMALLEST_NORMAL = sys.float_info.min


def check_process() -> None:
    """The settings of the process that would keep every loader from the native lane."""
    _check_settings()
    _check_pillow()


def _check_settings() -> None:
    """Those that would change what torchvision and torch compute."""
    if _SMALLEST_NORMAL * 0.5 == 0.0:
        # Of the thread that asks: a table of values made before, or by another, may differ.
        refuse("transform", "this thread flushes denormals (torch.set_flush_denormal)")
    if torch.get_default_dtype() is not torch.float32:
        refuse("transform", f"the default dtype is {torch.get_default_dtype()}")
    if torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack():
        refuse("transform", "a torch function or dispatch mode (or a default device) is active")
    if _has_global_hooks():
        refuse("transform", "global module hooks are set")
    collation.check()
    vision = sys.modules.get("torchvision")
    if vision is not None and vision.get_image_backend() != "PIL":
        refuse("decode", f"torchvision's image backend is {vision.get_image_backend()!r}")
    helpers = sys.modules.get("torchvision.tv_tensors._torch_function_helpers")
    if helpers is not None and getattr(helpers, "_TORCHFUNCTION_SUBCLASS", False):
        refuse("transform", "tv_tensors.set_return_type('TVTensor') is active")


def _check_pillow() -> None:
    image = sys.modules.get("PIL.Image")
    if image is None:
        refuse("decode", "Pillow is not loaded")
    if ".post" in image.__version__:
        refuse("decode", f"Pillow {image.__version__} is not plain Pillow")
    most = image.MAX_IMAGE_PIXELS
    if most is not None and most < 89478485:
        refuse("decode", f"PIL.Image.MAX_IMAGE_PIXELS was lowered to {most}")


# --- the transforms

_MODULE_ATTRIBUTES = frozenset(vars(torch.nn.Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_METHODS = (
    "__call__",
    "forward",
    "transform",
    "make_params",
    "get_params",
    "check_inputs",
    "_call_kernel",
    "_augmentation_space",
    "_get_random_item",
    "_apply_image_or_video_transform",
    "_mixup_label",
    "_check_image_or_video",
    "_needs_transform_list",
)
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


def check_instance(thing: Any) -> None:
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


class _Calls:
    """A class of the kind that torchvision's references call their recipes: an object that holds a
    transform, and calls it."""

    def __call__(self, image: Any) -> Any:
        return self.transforms(image)

    transforms: Callable[[Any], Any]


_OF_CODE = attrgetter(
    "co_code", "co_exceptiontable", "co_argcount", "co_kwonlyargcount", "co_freevars", "co_cellvars"
)
_get_call = attrgetter("__call__")


def _code(code: CodeType) -> tuple[Any, ...]:
    return (code.co_flags & user_code.FLAGS, *_OF_CODE(code))


_CALLS = _code(_Calls.__call__.__code__)


def _called_by(thing: Any) -> Any:
    """What an object of a user's class calls with the image, where it does nothing else, whatever
    the attribute's name is; or None."""
    cls = type(thing)
    call = _get_call(cls)
    if not isinstance(call, FunctionType) or isinstance(thing, torch.nn.Module):
        return None
    names = call.__code__.co_names
    if _code(call.__code__) != _CALLS or len(names) != 1:
        return None
    name = names[0]
    is_plain = type(cls) is type and is_(cls.__getattribute__, object.__getattribute__)
    if not is_plain or hasattr(cls, name) or list(getattr(thing, "__dict__", ())) != [name]:
        return None
    _methods_seen[cls] = _get_call, call
    return vars(thing)[name]


class _Walk:
    def __init__(self) -> None:
        self.kinds = steps.kinds()
        self.key: list[tuple[Any, ...]] = []
        self.tail: list[Any] = []
        self.seen: list[tuple[Any, dict[str, Any]]] = []
        self.versions: list[tuple[torch.Tensor, int]] = []
        self.values: tensor_steps.Values | None = None  # of the image, once it is a tensor
        self.functions: list[stacking.Reading] = []
        # Behind FiveCrop and TenCrop: of a tuple of images, of each of them by itself, of one
        # tensor.
        self.form: Literal["one", "tuple", "each", "stacked"] = "one"
        self.is_wrapped = False  # the tensor is certainly an Image of v2's

    @property
    def is_tensor(self) -> bool:
        return self.values is not None

    def visit(self, thing: Any, depth: int = 0) -> None:
        if steps.is_exif_transpose(thing):
            self._step(thing, steps.UPRIGHT)
            return
        if self.form in ("tuple", "stacked"):
            function = stacking.function_of(thing)
            if function is not None:
                self._call(thing, function)
                return
        kind = self.kinds.get(type(thing))
        if kind is None:
            called = _called_by(thing)
            if called is not None:
                self._see(thing)
                self._enter(depth)
                self.visit(called, depth + 1)
                return
            if isinstance(thing, tuple(self.kinds)):
                base = next(cls for cls in type(thing).__mro__ if cls in self.kinds)
                refuse("transform", f"{describe(thing)} is a subclass of {describe(base)}")
            refuse("transform", f"{describe(thing)} has no native counterpart")
        check_instance(thing)
        self._see(thing)
        if kind.group == "nothing" or (kind.group == "picture" and not self.is_tensor):
            self.is_wrapped = self.is_wrapped and kind.name != "ToPureTensor"
            return
        if kind.group not in ("container", "random"):
            self._step(thing, kind)
            return
        self._enter(depth)
        at = len(self.key)
        if kind.group == "random":
            self._step(thing, kind)
        ends = [len(self.key)]
        for child in self._children(thing):
            self.visit(child, depth + 1)
            ends.append(len(self.key))
        if kind.group == "random":
            self._close(at, [end - start for start, end in pairwise(ends)])

    def _call(self, thing: Any, function: FunctionType) -> None:
        """A function of the user's own, that gets the crops."""
        if thing is not function:
            check_instance(thing)
            self._see(thing)
        reading = stacking.read(function)
        n, self.form = len(self.tail), "each"
        for one in reading.each:
            self.visit(one)
        if reading.is_stacked and not self.is_tensor:
            refuse("transform", f"{describe(function)} stacks PIL images")
        self.form = "stacked" if reading.is_stacked else "tuple"
        self.is_wrapped = self.is_wrapped and not reading.is_stacked
        # Of what it calls the parameters count; what it does is its own.
        self.tail[n:] = [thing]
        self.functions.append(reading)
        self.key.append(("stack", type(thing), reading.is_stacked))

    def _check_behind(self, thing: Any, name: str, group: str) -> None:
        """A step behind FiveCrop or TenCrop."""
        is_fit = group in ("convert", "pixels")
        if self.form == "stacked":
            is_fit = group == "pixels"
        elif self.form == "tuple":  # v1's take no tuple
            is_fit = is_fit and tensor_steps.is_v2(thing)
        if not is_fit:
            refuse("transform", f"{name} comes behind crops")
        if self.form == "tuple" and self.is_tensor and not self.is_wrapped:
            refuse("transform", f"{name} may change the first alone of several pure tensors")

    def _enter(self, depth: int) -> None:
        if depth >= 16:
            refuse("transform", "containers are nested more than 16 deep")

    def _close(self, at: int, parts: list[int]) -> None:
        """The step at this place of the key holds all that came after it, in parts of so many."""
        group, cls, op = self.key[at]
        inside = self.key[at + 1 :]
        for entry in inside:
            if entry[0] not in steps.OPS:
                refuse("transform", f"{entry[1].__name__} is in {cls.__name__}: it may be left out")
        self.key[at] = group, cls, ops.holding(op, parts)

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
        if type(thing.transforms) is torch.nn.ModuleList:
            check_instance(thing.transforms)
            self._see(thing.transforms)
            return list(thing.transforms._modules.values())
        if type(thing.transforms) not in (list, tuple):
            refuse(
                "transform",
                f"{type(thing).__name__} holds a {describe(thing.transforms)}, not a list",
            )
        return list(thing.transforms)

    def _step(self, thing: Any, kind: steps.Kind) -> None:
        name = kind.name if kind is steps.UPRIGHT else type(thing).__name__
        group = (self.is_tensor and kind.on_tensors) or kind.group
        if self.form != "one":
            self._check_behind(thing, name, group)
        # What a container holds is asked by itself, and Pillow's function can only be first.
        on_tensors = ("convert", "pixels", "flip", "erase", "noise", "crops", "random", "upright")
        is_known = group in on_tensors or tensor_steps.is_known(thing, kind)
        if self.is_tensor and not is_known:
            refuse("transform", f"{name} works on a tensor here, not on a PIL image")
        if self.is_tensor and group == "convert" and kind.name != "ToImage":
            refuse("transform", f"{name} comes after the image is a tensor")
        if not self.is_tensor and group in ("pixels", "erase", "noise"):
            refuse("transform", f"{name} comes before the image is a tensor")
        try:
            values = (
                kind.read(thing)
                if self.values is None or group in on_tensors
                else tensor_steps.read(thing, kind, self.values)
            )
        except step_arguments.Unknown as error:
            refuse("transform", f"{name}: {error}")
        if group == "crops":
            self.form = "tuple"
            self.tail.append(thing)
        if group == "convert":
            self.is_wrapped = kind.name == "ToImage"
        elif self.is_tensor:  # v1's functions give pure tensors
            self.is_wrapped = self.is_wrapped and tensor_steps.is_v2(thing)
        if group in ("convert", "pixels", "erase", "noise"):
            self.tail.append(thing)
            self.values = tensor_steps.values_after(kind, values, self.values)
        if self.key and group == "upright":
            refuse("transform", f"{kind.name} turns images, and is not the first step")
        self.key.append((group, type(thing), *values))


def read_transform(transform: Any) -> Reading:
    if transform is None:
        refuse("transform", "there is no transform: the samples are PIL images")
    walk = _Walk()
    walk.visit(transform)
    if not walk.is_tensor:
        refuse("transform", "nothing makes a tensor of the image")
    if not transform:
        refuse("transform", f"{describe(transform)} is false, which some datasets take for none")
    return Reading(
        (transform,),
        tuple(walk.key),
        tuple(walk.tail),
        tuple(walk.seen),
        tuple(walk.versions),
        draws_python=any(e[0] == "random" and ops.draws_python(e[2]) for e in walk.key),
        functions=tuple(walk.functions),
    )


def _read_transforms(transforms: tuple[Any, ...]) -> Reading:
    """Those of all parts of a dataset, which have to be the same in all values."""
    first, *others = map(read_transform, transforms)
    if any(other.key != first.key for other in others):
        refuse("transform", "the parts of the dataset have different transforms")
    if not others:
        return first
    readings = (first, *others)
    return Reading(
        transforms,
        first.key,
        first.tail,
        tuple(entry for reading in readings for entry in reading.seen),
        tuple(entry for reading in readings for entry in reading.versions),
        draws_python=first.draws_python,
        functions=tuple(function for reading in readings for function in reading.functions),
    )


def _channels(source: Source) -> int:
    channels = {leaf.channels for leaf in source.leaves}
    if len(channels) > 1:
        refuse("dataset", "some of its images are grey and some are not")
    return channels.pop() if channels else 3


def _check_precision(reading: Reading) -> None:
    for group, thing, *rest in reading.key:
        is_named = thing.__name__ in ("GaussianBlur", "AugMix")
        if is_named or (group in steps.OPS and tensor_steps.is_of_tensor(rest[0])):
            blurring.check_settings(thing.__name__)


def check_main_process(reading: Reading) -> None:
    """What depends on torch's number of threads, where there are no workers, which have one each.
    Raises Refusal."""
    given = [entry[2] for entry in reading.key if entry[0] in steps.OPS]
    augmix.check_threads(given)
    tensor_steps.check_threads(given)


def _is_unchanged(reading: Reading, source: Source) -> bool:
    transforms = source.transforms
    if (
        reading.channels != _channels(source)
        or len(transforms) != len(reading.roots)
        or not all(map(is_, transforms, reading.roots))
    ):
        return False
    if reading.draws_python and python_random.replaced() is not None:
        return False
    for thing, copies in reading.seen:
        _check_methods(type(thing))
        if vars(thing) != copies:
            return False
    if not all(function.is_unchanged() for function in reading.functions):
        return False
    return all(tensor._version == version for tensor, version in reading.versions)


def examine(dataset: Any, last: Reading | None = None) -> tuple[Reading, Source]:
    """What a dataset does with a sample, and where it has its samples, now. The reading is `last`
    itself if that is the same. Raises Refusal."""
    try:
        _check_settings()
        source = sources.read(dataset)
        _check_pillow()  # after the dataset: one that is not known may have no use for Pillow
        if last is not None and _is_unchanged(last, source):
            _check_precision(last)
            return last, source
        reading = _read_transforms(source.transforms)
        _check_precision(reading)
        return replace(reading, channels=_channels(source)), source
    except Refusal:
        raise
    except Exception as error:  # an attribute that is missing, or whose own code fails
        refuse("dataset", f"it could not be examined ({type(error).__name__}: {error})")


def read_dataset(dataset: Any, last: Reading | None = None) -> Reading:
    return examine(dataset, last)[0]


# --- the loader


def check_loader(loader: Any, *, knows_collate: bool = False) -> None:
    """What of a loader itself the engine does not do. knows_collate: its collate_fn is the
    dataset's own, or mixes batches. Raises Refusal."""
    if not loader._auto_collation:
        refuse("order", "batch_size=None turns batching off")
    if not knows_collate and loader.collate_fn is not collate.default_collate:
        refuse("collate", f"collate_fn is {describe(loader.collate_fn)}")
    if loader.num_workers > 0:  # without workers torch never calls it
        worker_init.read(loader.worker_init_fn)
    if loader.num_workers == 0 and loader.timeout != 0:
        refuse("workers", "a timeout needs workers")
    if loader.num_workers > 4096:
        refuse("workers", "more than 4096 workers")
    if loader.num_workers > 0 and loader.prefetch_factor <= 0:
        refuse("workers", "prefetch_factor is not positive")


def read_loader(loader: Any, *, knows_collate: bool = False) -> Reading:
    """What a loader would do if it were iterated now. Raises Refusal."""
    check_loader(loader, knows_collate=knows_collate)
    reading = read_dataset(loader.dataset)
    if loader.num_workers == 0:
        check_main_process(reading)
    return reading
