# SPDX-License-Identifier: Apache-2.0
"""A contact sheet: the images of batches as they look, whatever numbers they have become."""

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from penstock import capture, prepare
from penstock.refusal import Refusal
from penstock.trial import Seen

MOST_SIDE = 192


@dataclass(frozen=True, slots=True)
class Picture:
    png: bytes
    size: tuple[int, int]  # height and width of the sample
    batch: int
    index: int | None  # in the dataset
    path: str
    label: str
    parameters: str  # what was drawn

    @property
    def uri(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def _png(pixels: torch.Tensor) -> bytes:
    """Of (3 or 1, height, width) uint8, made smaller where it is large."""
    from PIL import Image

    channels, height, width = pixels.shape
    data = pixels.permute(1, 2, 0).contiguous().numpy().tobytes()
    image = Image.frombytes("RGB" if channels == 3 else "L", (width, height), data)
    image.thumbnail((MOST_SIDE, MOST_SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def images_of(batch: Any) -> torch.Tensor | None:
    """The first thing in a batch that is images; the first crop of samples that have several."""
    parts: Iterable[Any] = (batch,)
    if isinstance(batch, Mapping):
        parts = batch.values()
    elif isinstance(batch, list | tuple):
        parts = batch
    for part in parts:
        if isinstance(part, list | tuple) and part:
            part = part[0]
        elif isinstance(part, torch.Tensor) and part.dim() == 5 and part.shape[1] > 0:
            part = part[:, 0]
        if isinstance(part, torch.Tensor) and part.dim() == 4 and part.shape[1] in (1, 3):
            if part.numel() > 0 and (part.is_floating_point() or part.dtype == torch.uint8):
                return part
    return None


def kept(seen: Seen, most: int) -> Seen:
    """The first images of a batch and what is known of them, without the batch's memory."""
    images = images_of(seen.value)
    labels = seen.value[1] if isinstance(seen.value, list | tuple) and len(seen.value) > 1 else None
    if not isinstance(labels, torch.Tensor) or labels.dim() != 1:
        labels = None
    with torch._C.DisableTorchFunction(), torch.no_grad():
        value = [
            None if part is None else part.detach()[:most].cpu().clone()
            for part in (images, labels)
        ]
    return Seen(value, seen.indices, seen.paths, seen.notes, seen.start_ns, seen.end_ns)


def _by_values(images: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The level whose value is nearest to each number."""
    out = torch.empty(images.shape, dtype=torch.uint8)
    for channel in range(images.shape[1]):
        ordered, level = values[channel].float().sort()
        middles = (ordered[1:] + ordered[:-1]) / 2
        numbers = images[:, channel].float().contiguous()
        out[:, channel] = level[torch.bucketize(numbers, middles)].to(torch.uint8)
    return out


def _stretched(images: torch.Tensor) -> torch.Tensor:
    numbers = images.double().nan_to_num()
    least, most = numbers.min(), numbers.max()
    return ((numbers - least) * (255 / (most - least).clamp_min(1e-12))).round().to(torch.uint8)


def _values_of(loader: Any, channels: int) -> torch.Tensor | None:
    """What the levels became in the native lane; None where that is not known."""
    try:
        values = prepare.values_of(capture.read_dataset(loader.dataset), channels)
    except (Refusal, RuntimeError, TypeError, ValueError):
        return None
    return values if bool(values.float().isfinite().all()) else None


def _as_seen(loader: Any, images: torch.Tensor) -> tuple[torch.Tensor, str]:
    """Images of a batch as uint8, and how they were brought to it."""
    if images.dtype == torch.uint8:
        return images, "The pixels are shown as they are."
    values = _values_of(loader, images.shape[1])
    if values is not None:
        return _by_values(images, values), (
            "The numbers are shown as the levels that they were before the conversion and "
            "normalisation."
        )
    return _stretched(images), "The numbers are stretched between the least and the largest."


def _classes(dataset: Any) -> list[Any]:
    """The names of a dataset's classes, also of what lies in a Subset."""
    for _ in range(8):
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, list | tuple):
            return list(classes)
        dataset = getattr(dataset, "dataset", None)
    return []


def _label(labels: torch.Tensor | None, slot: int, classes: list[Any]) -> str:
    if labels is None or slot >= len(labels):
        return ""
    label = labels[slot].item()
    if isinstance(label, int) and 0 <= label < len(classes):
        return str(classes[label])
    return f"label {label}"


def sheet(loader: Any, batches: list[tuple[int, Seen]]) -> tuple[list[Picture], str]:
    """The images that were kept of batches, by their numbers, and how they are shown."""
    pictures: list[Picture] = []
    said = "The batches hold no images of one or three channels."
    classes = _classes(getattr(loader, "dataset", None))
    with torch._C.DisableTorchFunction(), torch.no_grad():
        for number, seen in batches:
            images, labels = seen.value
            if images is None:
                continue
            pixels, said = _as_seen(loader, images)
            for slot, one in enumerate(pixels):
                pictures.append(
                    Picture(
                        png=_png(one),
                        size=(one.shape[1], one.shape[2]),
                        batch=number,
                        index=seen.indices[slot] if slot < len(seen.indices) else None,
                        path=seen.paths[slot] if slot < len(seen.paths) else "",
                        label=_label(labels, slot, classes),
                        parameters=seen.notes[slot] if slot < len(seen.notes) else "",
                    )
                )
    return pictures, said
