# SPDX-License-Identifier: Apache-2.0
"""verify(): a loader beside torch's own on the same seeds, bit for bit."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.data
from penstock import _core, lanes, ordering, policy, reference
from penstock.engines import record_of
from penstock.text import table
from penstock.trial import Seen, States, collect, ended


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that is not equal."""

    batch: int
    slot: int | None  # place in the batch
    index: int | None  # in the dataset
    path: str | None
    stage: str  # "decode", "transform", "label", "error", "order", "generator" or "batch"
    parameters: str  # what was drawn for the sample
    expected: str  # by torch
    found: str

    def __str__(self) -> str:
        rows = [
            (name, str(getattr(self, name)))
            for name in self.__dataclass_fields__
            if getattr(self, name) not in (None, "")
        ]
        return table(rows)


@dataclass(frozen=True, slots=True)
class Verification:
    """What verify() saw. True in a condition if everything was equal."""

    lane: str
    batches: int
    samples: int
    difference: Difference | None

    @property
    def ok(self) -> bool:
        return self.difference is None

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        seen = f"{self.batches} batches, {self.samples} samples on the {self.lane} lane"
        if self.difference is None:
            return f"equal to torch's DataLoader: {seen}"
        return f"not equal to torch's DataLoader: {seen}\n{self.difference}"


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.as_subclass(torch.Tensor).contiguous()
    return plain.view(torch.uint8) if plain.dim() else plain.reshape(1).view(torch.uint8)


def _summary(value: Any) -> str:
    if isinstance(value, BaseException):
        lines = str(value).strip().splitlines()
        # Of an error from a worker the original message is the last line.
        return f"{type(value).__name__}: {lines[-1] if lines else ''}"
    if isinstance(value, torch.Tensor):
        return f"{type(value).__name__} {value.dtype} {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of ({', '.join(map(_summary, value))})"
    return type(value).__name__


def _first_slot(expected: torch.Tensor, found: torch.Tensor) -> int | None:
    """The first sample whose bits differ."""
    for slot, (one, other) in enumerate(zip(expected, found, strict=True)):
        if not torch.equal(_bits(one), _bits(other)):
            return slot
    return None


def _decode_is_equal(path: str) -> bool:
    with open(path, "rb") as file:
        data = file.read()
    try:
        expected: bytes = reference.load(path, data).tobytes()
        return bytes(_core.decode(data)) == expected
    except (_core.Error, OSError, ValueError):
        return True  # such a file goes to Pillow


def _of_sample(batch: int, slot: int, stage: str, ours: Seen, said: tuple[str, str]) -> Difference:
    index = ours.indices[slot] if slot < len(ours.indices) else None
    path = ours.paths[slot] if slot < len(ours.paths) else None
    if stage == "transform" and path is not None and not _decode_is_equal(path):
        stage = "decode"
    parameters = ours.notes[slot] if slot < len(ours.notes) else ""
    return Difference(batch, slot, index, path, stage, parameters, *said)


def _values(expected: torch.Tensor, found: torch.Tensor) -> tuple[str, str]:
    place = (_bits(expected) != _bits(found)).nonzero()[0].tolist()
    element = expected.element_size()
    if place:
        place[-1] //= element
    at = tuple(place) if expected.dim() else ()
    return f"{expected[at].item()!r} at {at}", f"{found[at].item()!r} at {at}"


def _compare_tensors(
    batch: int, part: int, expected: torch.Tensor, found: torch.Tensor, ours: Seen
) -> Difference | None:
    slot = _first_slot(expected, found)
    if slot is None:
        return None
    said = _values(expected[slot], found[slot])
    stage = "transform" if part == 0 else "label"
    return _of_sample(batch, slot, stage, ours, said)


def _compare(batch: int, stock: Seen, ours: Seen) -> Difference | None:
    said = _summary(stock.value), _summary(ours.value)
    if said[0] != said[1]:
        is_error = isinstance(stock.value, Exception) or isinstance(ours.value, Exception)
        return Difference(batch, None, None, None, "error" if is_error else "batch", "", *said)
    if not isinstance(stock.value, list | tuple):
        return None
    for part, (expected, found) in enumerate(zip(stock.value, ours.value, strict=True)):
        # Of crops that nothing stacks there is a list of tensors.
        pairs = zip(expected, found, strict=True) if _is_list(expected) else ((expected, found),)
        for one, other in pairs:
            if isinstance(one, torch.Tensor) and one.dim() > 0:
                difference = _compare_tensors(batch, part, one, other, ours)
                if difference is not None:
                    return difference
            elif repr(one) != repr(other):
                said = repr(one), repr(other)
                return Difference(batch, None, None, None, "batch", "", *said)
    return None


def _is_list(part: Any) -> bool:
    return isinstance(part, list | tuple)


def _samples(seen: Seen) -> int:
    value = seen.value
    for _ in range(2):
        if _is_list(value) and value:
            value = value[0]
    return int(value.shape[0]) if isinstance(value, torch.Tensor) and value.dim() > 0 else 0


def _asked_dtype(loader: Any) -> torch.dtype | None:
    """The dtype that torch's batches are brought to before they are compared."""
    dtype: torch.dtype | None = getattr(loader, "out_dtype", None)
    if dtype is torch.uint8:
        raise ValueError(
            "out_dtype=torch.uint8 gives pixels before the conversion to numbers, which torch's "
            "loader does not have: verify a loader without out_dtype"
        )
    order = ordering.own(loader)
    if order is not None and order.is_shuffled:
        raise ValueError(
            "rng='sample' with shuffle=True has an order of its own, which torch's loader does not "
            "know: verify a loader with rng='torch', or with a sampler"
        )
    return dtype


class _Upright:
    """A transform behind ImageOps.exif_transpose()."""

    def __init__(self, transform: Any) -> None:
        self._transform = transform

    def __call__(self, image: Any) -> Any:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
        return image if self._transform is None else self._transform(image)


def _upright(dataset: Any) -> Any:
    """A dataset with copies of those it is made of, whose images are turned before all else."""
    turned = copy.copy(dataset)
    if type(dataset) is torch.utils.data.Subset:
        turned.dataset = _upright(dataset.dataset)
    elif type(dataset) is torch.utils.data.ConcatDataset:
        turned.datasets = [_upright(part) for part in dataset.datasets]
    elif hasattr(dataset, "transform"):
        turned.transform = _Upright(dataset.transform)
        if getattr(dataset, "transforms", None) is not None:  # torchvision's pair of transforms
            turned.transforms = type(dataset.transforms)(turned.transform, dataset.target_transform)
    return turned


def _stock(loader: Any) -> Any:
    """The loader whose batches, by torch's own code, are to be equal."""
    if not getattr(loader, "exif", False):
        return loader
    stock = copy.copy(loader)
    vars(stock)["dataset"] = _upright(loader.dataset)
    return stock


def _brought_to(seen: Seen, dtype: torch.dtype | None) -> Seen:
    value = seen.value
    if dtype is not None and isinstance(value, list | tuple):
        images = value[0]
        if isinstance(images, torch.Tensor):
            images = images.to(dtype)
        elif _is_list(images) and all(isinstance(image, torch.Tensor) for image in images):
            images = [image.to(dtype) for image in images]
        seen.value = type(value)((images, *value[1:]))
    return seen


def verify(loader: torch.utils.data.DataLoader[Any], batches: int | None = 8) -> Verification:
    """Runs torch's own loader and this one on the same seeds and compares what they give.

    loader is any loader of torch's class. With exif=True torch's has ImageOps.exif_transpose() in
    front of the transforms. batches: how many to compare, which are all held in
    memory; None: a whole epoch. Generators are as before afterwards.
    """
    if batches is not None and batches < 1:
        raise ValueError(f"batches should be positive or None, got {batches}")
    dtype = _asked_dtype(loader)
    before = States(loader)
    try:
        with ended(torch.utils.data.DataLoader._get_iterator(_stock(loader))) as iterator:
            expected = [_brought_to(seen, dtype) for seen in collect(iterator, batches)]
        after = States(loader)
        before.restore()
        # torch's has no other policy. The epochs and the state of the loader are left alone.
        native = lanes.iterator_for(loader, policy.Policy(), record_of(loader).apart())
        if native is None:
            return Verification("python", 0, 0, None)
        with ended(native):
            return _verify(expected, native, batches, loader, after)
    finally:
        before.restore()


def _verify(
    expected: list[Seen], native: Any, batches: int | None, loader: Any, after: States
) -> Verification:
    n_samples = n_batches = 0
    ours = collect(native, batches, loader.dataset)
    for number, stock in enumerate(expected):
        seen = next(ours, None)
        if seen is None:
            difference = Difference(
                number, None, None, None, "order", "", _summary(stock.value), "the end"
            )
            return Verification("native", n_batches, n_samples, difference)
        found = _compare(number, stock, seen)
        if found is not None:
            return Verification("native", n_batches, n_samples, found)
        n_batches += 1
        n_samples += _samples(stock)
    extra = next(ours, None)
    if extra is not None:
        said = ("the end", _summary(extra.value))
        difference = Difference(n_batches, None, None, None, "order", "", *said)
        return Verification("native", n_batches, n_samples, difference)
    if after.differ(States(loader)):
        said = ("torch's state", "another state")
        difference = Difference(n_batches, None, None, None, "generator", "", *said)
        return Verification("native", n_batches, n_samples, difference)
    return Verification("native", n_batches, n_samples, None)
