# SPDX-License-Identifier: Apache-2.0
"""How long a folder of a million files takes to open: penstock's ImageFolder without and with its
index, beside torchvision's. The files are links to one small image, in 1,000 classes.

    PYTHONPATH=build/release/site .venv/bin/python bench/folder_index.py FOLDER [FILES] [CLASSES]

FOLDER is made if it is not there, and stays; a file system without a limit on links (tmpfs, XFS)
is best.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

MEASURE = """
import os, resource, sys, time
root, cache, what = sys.argv[1:]
import torch
from torchvision import datasets, transforms
import penstock, PIL.Image
from penstock import _core
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
transform = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(32),
                                transforms.ToTensor()])
before, start = resident(), time.perf_counter()
if what == "torchvision":
    dataset = datasets.ImageFolder(root, transform)
else:
    dataset = penstock.datasets.ImageFolder(root, transform,
                                            cache=cache if what != "scan" else False)
opened, held = time.perf_counter(), resident() - before
make = torch.utils.data.DataLoader if what == "torchvision" else penstock.DataLoader
start_loader = time.perf_counter()
loader = make(dataset, batch_size=64, shuffle=True, num_workers=2)
made = time.perf_counter() - start_loader
batch = next(iter(loader))
first = time.perf_counter()
index = getattr(dataset, "index", None)
print(f"{what:12} {(opened - start) * 1e3:9.1f} ms open  {(first - start) * 1e3:9.1f} ms to the "
      f"first batch  {made * 1e3:5.1f} ms for the loader  "
      f"{held / len(dataset):7.1f} bytes a sample  {len(dataset)} samples"
      + (f"  index {index.state}, {index.listed} of {index.folders} listed" if index else ""))
os._exit(0)
"""


def make_tree(root: Path, n_files: int, n_classes: int) -> None:
    root.mkdir(parents=True)
    image = root.parent / (root.name + ".jpg")
    Image.new("RGB", (48, 40), (90, 120, 150)).save(image)
    for number in range(n_classes):
        folder = root / f"n{number:08}"
        folder.mkdir()
        for i in range(n_files // n_classes):
            os.link(image, f"{folder}/n{number:08}_{i:06}.JPEG")


def measure(root: Path, cache: Path, what: str) -> None:
    subprocess.run([sys.executable, "-c", MEASURE, str(root), str(cache), what], check=True)


def main(arguments: list[str]) -> int:
    root = Path(arguments[0])
    n_files = int(arguments[1]) if len(arguments) > 1 else 1_000_000
    n_classes = int(arguments[2]) if len(arguments) > 2 else 1_000
    if not root.is_dir():
        make_tree(root, n_files, n_classes)
        time.sleep(3)  # a folder that changed a moment ago is listed again, and not measured
    cache = root.parent / (root.name + ".idx")
    cache.unlink(missing_ok=True)
    for what in ("torchvision", "scan", "new", "kept", "kept"):
        measure(root, cache, what)
    (root / f"n{0:08}" / "another.jpg").touch()
    measure(root, cache, "changed")
    (root / f"n{0:08}" / "another.jpg").unlink()
    print(f"index file: {cache.stat().st_size / n_files:.1f} bytes a sample")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
