# SPDX-License-Identifier: Apache-2.0
"""What the campaigns share: the data, the pipelines, and the life of a loader beside its twin's.

A life is everything a user can see of a loader, as plain data: two equal lists are parity.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

import decode_kit  # noqa: E402, F401
import kit  # noqa: E402
import penstock  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torchvision import datasets, transforms  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

STOCK = torch.utils.data.DataLoader
OURS = penstock.DataLoader
DATA = ROOT.parent / "shared" / "data"

Life = list[tuple[Any, ...]]


def train_v1() -> Any:
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(kit.MEAN, kit.STD),
        ]
    )


def eval_v1() -> Any:
    return transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(kit.MEAN, kit.STD),
        ]
    )


def _finish_v2() -> list[Any]:
    return [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(kit.MEAN, kit.STD),
    ]


def train_v2() -> Any:
    return v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), *_finish_v2()])


def eval_v2() -> Any:
    return v2.Compose([v2.Resize(256), v2.CenterCrop(224), *_finish_v2()])


PIPELINES: dict[str, Callable[[], Any]] = {
    "train_v1": train_v1,
    "eval_v1": eval_v1,
    "train_v2": train_v2,
    "eval_v2": eval_v2,
}


# --- folders


def data(name: str, where: Path | None = None) -> Path:
    folder = (where or DATA) / name
    if not folder.is_dir():
        raise SystemExit(
            f"the test data {name} are not at {folder}; --data DIR names another place"
        )
    return folder


def photo_files(where: Path | None = None) -> list[Path]:
    return sorted(data("photos", where).glob("*/*"))


def link(files: Iterable[Path], root: Path) -> Path:
    """An image folder of links, the files as evenly over three classes as they come."""
    for number, file in enumerate(files):
        folder = root / f"class_{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        ending = "" if file.suffix.lower() in datasets.folder.IMG_EXTENSIONS else ".png"
        (folder / (file.name + ending)).symlink_to(file.resolve())
    return root


@dataclass
class Zoo:
    """Files that Pillow opens."""

    whole: list[Path]
    broken: list[Path]  # it opens them and then fails
    other: list[Path]  # whole, but neither JPEG nor PNG


def sort_zoo(files: Iterable[Path]) -> Zoo:
    zoo = Zoo([], [], [])
    for file in files:
        try:
            image = Image.open(file)
        except Exception:
            continue
        is_ours = image.format in ("JPEG", "MPO", "PNG")
        if image.format == "TIFF":  # its library writes to stderr, and it is Pillow's alone
            continue
        try:
            image.convert("RGB")
        except Exception:
            if is_ours:
                zoo.broken.append(file)
            continue
        (zoo.whole if is_ours else zoo.other).append(file)
    return zoo


# --- lives


def _walk(iterator: Any, keep: Callable[[Any], None]) -> Iterator[tuple[Any, ...]]:
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            yield ("end", kit.states())
            return
        except Exception as error:
            yield ("error", kit.error_of(error), kit.states())
        else:
            keep(batch)
            yield ("batch", kit.visible(batch), kit.states())


def live(loader: Any, epochs: int = 1, keep: Callable[[Any], None] = lambda batch: None) -> Life:
    """Runs a loader that was made just now. Errors end no epoch: what comes after counts, too."""
    seen: Life = [("made", kit.states(), len(loader))]
    for _ in range(epochs):
        iterator = iter(loader)
        seen.append(("iter", kit.states(), len(iterator)))
        seen.extend(_walk(iterator, keep))
        seen.extend(_walk(iterator, keep))  # after its end it ends again
        del iterator
        seen.append(("left", kit.states()))
    return seen


def difference(stock: Life, ours: Life) -> str | None:
    """The first place where two lives part, in words."""
    for step, (expected, found) in enumerate(zip(stock, ours, strict=False)):
        if expected != found:
            return f"step {step}: torch {expected}, penstock {found}"
    if len(stock) != len(ours):
        return f"torch's life has {len(stock)} steps, penstock's {len(ours)}"
    return None


def n_batches(life: Life) -> int:
    return sum(step[0] == "batch" for step in life)


def n_errors(life: Life) -> int:
    return sum(step[0] == "error" for step in life)


def n_images(life: Life) -> int:
    """The labels' first dimension, over all batches."""
    return sum(step[1][1][1][2][0] for step in life if step[0] == "batch")


def doubts(loader: Any) -> int:
    return int(loader.stats().as_dict()["doubts"])


def is_native(loader: Any) -> bool:
    return bool(penstock.explain(loader).lane == "native")


def versions() -> str:
    import platform

    import numpy
    import PIL
    import torchvision

    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, Pillow {PIL.__version__}, NumPy {numpy.__version__}, "
        f"penstock {penstock.__version__} ({penstock._core.kernels()}, "
        f"{penstock._core.build_info()})"
    )


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The options that all campaigns have."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="the folder of photos and zoo")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses, and says what runs. One thread of torch's is enough, and safe to fork beside."""
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(versions(), flush=True)
    return options
