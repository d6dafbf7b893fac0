# SPDX-License-Identifier: Apache-2.0
"""Writes docs/native.md: which transforms, formats and datasets run natively, by what was proven.

python tools/make_native.py [PAGE]    from tests/campaigns/tallies/*.json, which
                                      tests/campaigns/properties.py --tally writes

What a tally does not hold is not native. Needs torchvision, whose names it lists.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "native.md"
TALLIES = ROOT / "tests" / "campaigns" / "tallies"

HEAD = """\
# What runs natively

Written by `tools/make_native.py` from what `tests/campaigns/properties.py` compared with PyTorch's
own loader, bit for bit: random images through random pipelines. A number is how many images went
through the transform (the format, the dataset, the output) in the engine and were equal. What has
no number runs on PyTorch's own loader, with equal results.

"""


def read(folder: Path) -> list[dict[str, Any]]:
    tallies = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not tallies:
        raise SystemExit(f"there are no tallies in {folder}")
    for tally in tallies:
        if tally["differences"]:
            raise SystemExit(f"a tally has differences: {tally['differences']}")
    return tallies


def names() -> list[str]:
    """torchvision's transforms of images, in the order of its own lists."""
    from torchvision import transforms
    from torchvision.transforms import v2

    found = dict.fromkeys(transforms.transforms.__all__)
    found |= dict.fromkeys(transforms.autoaugment.__all__)
    found |= dict.fromkeys(name for name in vars(v2) if not name.startswith("_"))

    def is_transform(name: str) -> bool:
        things = [getattr(family, name, None) for family in (transforms, v2)]
        is_class = any(isinstance(thing, type) and callable(thing) for thing in things)
        return is_class and name not in ("AutoAugmentPolicy", "InterpolationMode", "Transform")

    return sorted(name for name in found if is_transform(name))


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def _number(count: int) -> str:
    return f"{count:,}" if count else ""


_COUNTS = {
    "cases": "images",
    "by_pillow": "by Pillow",
    "errors": "exceptions",
    "differences": "differences",
}


def _runs(tallies: list[dict[str, Any]]) -> Iterator[str]:
    yield _row(("Pillow", "torch, torchvision", "kernels", "seed", *_COUNTS.values()))
    yield "|---|---|---|--:|--:|--:|--:|--:|\n"
    for tally in tallies:
        versions = f"{tally['torch']}, {tally['torchvision']}"
        kernels = f"{tally['kernels']} ({tally['machine']})"
        counts = [f"{tally[name]:,}" for name in _COUNTS]
        yield _row((tally["pillow"], versions, kernels, tally["seed"], *counts))


# What of a transform it is, where it is not all of it.
_ONLY = {"Lambda": "Lambda(ImageOps.exif_transpose)"}


def _transforms(by_thing: Counter[str]) -> Iterator[str]:
    yield "\n## Transforms\n\n"
    yield _row(("`torchvision.transforms`", "v1", "v2"))
    yield "|---|--:|--:|\n"
    torchs: list[str] = []
    for name in names():
        counts = [by_thing[f"transform {family}.{name}"] for family in ("v1", "v2")]
        if any(counts):
            yield _row((f"`{_ONLY.get(name, name)}`", *map(_number, counts)))
        else:
            torchs.append(f"`{name}`")
    yield f"\nOn PyTorch's own loader: {', '.join(torchs)}.\n"


def _tensors(by_thing: Counter[str]) -> Iterator[str]:
    yield "\n## On tensors\n\nOf these, how many images were a tensor already:\n\n"
    yield _row(("`torchvision.transforms`", "v1", "v2"))
    yield "|---|--:|--:|\n"
    for name in sorted({thing.partition(".")[2] for thing in by_thing if thing[:7] == "tensor "}):
        counts = [by_thing[f"tensor {family}.{name}"] for family in ("v1", "v2")]
        yield _row((f"`{name}`", *map(_number, counts)))


def _others(by_thing: Counter[str], kind: str, title: str) -> Iterator[str]:
    yield f"\n## {title}\n\n"
    yield _row((title.lower(), "images"))
    yield "|---|--:|\n"
    for thing, count in sorted(by_thing.items()):
        if thing.startswith(f"{kind} "):
            yield _row((f"`{thing.partition(' ')[2]}`", _number(count)))


def write(tallies: list[dict[str, Any]]) -> str:
    by_thing: Counter[str] = Counter()
    for tally in tallies:
        by_thing.update(tally["by_thing"])
    parts = [
        *_runs(tallies),
        *_transforms(by_thing),
        *_tensors(by_thing),
        *_others(by_thing, "format", "Formats"),
        "\nFiles of the modes and options that Pillow writes, some of them decided by Pillow; so "
        "is\nevery other file, sample by sample, while the rest of the folder stays native.\n",
        *_others(by_thing, "dataset", "Datasets"),
        "\nTorchvision's other datasets of files and of images in memory have tests of their own:\n"
        "the [guide](guide.md#what-runs-native) lists them.\n",
        *_others(by_thing, "output", "Outputs"),
    ]
    return HEAD + "".join(parts)


def main() -> None:
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(write(read(TALLIES)), encoding="utf-8")


if __name__ == "__main__":
    main()
