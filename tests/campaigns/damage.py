# SPDX-License-Identifier: Apache-2.0
"""Damaged photos and damaged PNGs: pixels or exception as torch's own loader has them.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/damage.py --count 2000

--count JPEG files and as many PNG files, each through the eval and the train pipeline, one file to
a batch so that each exception is seen and what comes after it, too. The work is done in processes
of their own, which a watchdog ends: a crash or a hang names the file.
"""

import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import twins
from PIL import Image
from twins import kit

CHUNK = 100  # files in one process
SECONDS = 300  # that a process may take
PIPELINES = ("eval_v1", "train_v2")


# --- kinds of damage


def _flip_bits(rng: random.Random, data: bytes, low: int, high: int) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 20])):
        out[rng.randrange(low, max(high, low + 1))] ^= 1 << rng.randrange(8)
    return bytes(out)


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data))]


def cut_tail(rng: random.Random, data: bytes) -> bytes:
    return data[: -min(rng.randint(1, 64), len(data) - 1)]


def flip_header(rng: random.Random, data: bytes) -> bytes:
    return _flip_bits(rng, data, 0, min(700, len(data)))


def flip_data(rng: random.Random, data: bytes) -> bytes:
    return _flip_bits(rng, data, min(700, len(data) - 1), len(data))


def zero_sectors(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = 512 * rng.randrange(len(data) // 512 + 1)
        out[at : at + 512] = bytes(len(out[at : at + 512]))
    return bytes(out)


def insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    n = rng.choice([1, 2, 3, 8, 64, 600])
    more = bytes(n) if rng.random() < 0.2 else rng.randbytes(n)
    return data[:at] + more + data[at:]


def remove(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice([1, 2, 3, 8, 64, 600]) :]


def append(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice([b"\0", b"\xff\xd9", rng.randbytes(rng.randint(1, 300)), data[:99]])


def _markers(data: bytes) -> list[int]:
    """Places after an 0xff that might begin a marker."""
    return [at + 1 for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] != 0]


def change_marker(rng: random.Random, data: bytes) -> bytes:
    """Another code, or another length, in the place of a marker's."""
    places = _markers(data)
    at = rng.choice(places) if places else rng.randrange(len(data))
    out = bytearray(data)
    if rng.random() < 0.6:
        out[at] = rng.choice([rng.randrange(256), rng.randrange(0xC0, 0x100)])
    else:
        at = min(at + rng.choice([1, 2]), len(out) - 1)
        out[at] = rng.randrange(256)
    return bytes(out)


def insert_marker(rng: random.Random, data: bytes) -> bytes:
    """A marker inside of the picture's data: a restart, an end, a comment or anything else."""
    at = rng.randrange(min(700, len(data) - 1), len(data))
    code = rng.choice([rng.randrange(0xD0, 0xDA), rng.randrange(1, 256)])
    return data[:at] + bytes([0xFF, code]) + data[at:]


def _chunks(data: bytes) -> list[tuple[int, int]]:
    """Where a PNG's chunks are, the whole of each."""
    found, at = [], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        found.append((at, end))
        at = end
    return found


def change_chunk(rng: random.Random, data: bytes) -> bytes:
    """A chunk's length, name, first bytes or checksum."""
    start, end = rng.choice(_chunks(data))
    out = bytearray(data)
    at = rng.choice([start, start + 4, start + 8, end - 4]) + rng.randrange(4)
    out[min(at, len(out) - 1)] = rng.randrange(256)
    return bytes(out)


def move_chunk(rng: random.Random, data: bytes) -> bytes:
    """A chunk that is missing, comes twice or comes early."""
    start, end = rng.choice(_chunks(data))
    body = data[start:end]
    kind = rng.random()
    if kind < 0.4:
        return data[:start] + data[end:]
    if kind < 0.7:
        return data[:end] + body + data[end:]
    to, _ = rng.choice(_chunks(data))
    return data[:to] + body + data[to:]


Damage = Callable[[random.Random, bytes], bytes]

COMMON: list[Damage] = [
    cut,
    cut_tail,
    flip_header,
    flip_data,
    zero_sectors,
    insert,
    remove,
    append,
]
OF_JPEG: list[Damage] = [*COMMON, change_marker, insert_marker]
OF_PNG: list[Damage] = [*COMMON, change_chunk, move_chunk]


# --- files


def _jpeg(rng: random.Random, photos: list[Path]) -> bytes:
    """A photo as it is, or saved again in another way."""
    file = rng.choice(photos)
    if rng.random() < 0.7:
        return file.read_bytes()
    image = Image.open(file).convert(rng.choice(["RGB", "RGB", "L", "CMYK"]))
    image.thumbnail((300, 300))
    options: dict[str, Any] = {"quality": rng.randint(20, 95)}
    if rng.random() < 0.6:
        options["progressive"] = True
    if rng.random() < 0.3:
        options["restart_marker_rows"] = 1
    if image.mode == "RGB":
        options["subsampling"] = rng.choice(["4:4:4", "4:2:2", "4:2:0"])
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def _png(rng: random.Random, photos: list[Path]) -> bytes:
    image = Image.open(rng.choice(photos)).convert("RGB")
    image.thumbnail((rng.randint(16, 260), rng.randint(16, 260)))
    mode = rng.choice(["RGB", "RGB", "L", "P", "RGBA", "1", "LA", "I;16"])
    if mode == "P":
        image = image.quantize(rng.choice([4, 16, 200]))
    elif mode == "I;16":
        image = kit.picture(mode, image.width, image.height, rng.getrandbits(32))
    else:
        image = image.convert(mode)
    options: dict[str, Any] = {"compress_level": rng.choice([0, 1, 6, 9])}
    if rng.random() < 0.2:
        options["icc_profile"] = rng.randbytes(100)
    if rng.random() < 0.2 and mode in ("L", "P"):
        options["transparency"] = 1
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def photos_or_pictures(where: Path | None, scratch: Path) -> list[Path]:
    """The photos, or, where they are missing, JPEGs made here."""
    if ((where or twins.DATA) / "photos").is_dir():
        return twins.photo_files(where)
    scratch.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(20):
        files.append(scratch / f"{number}.jpg")
        kit.picture("RGB", 150 + 17 * number, 320 - 9 * number, number).save(
            files[-1], quality=60 + number
        )
    return files


def write_chunk(root: Path, seed: int, number: int, n: int, photos: list[Path]) -> None:
    """n JPEGs and n PNGs; the name of a file tells its kind of damage."""
    for ending, make, kinds in (("jpg", _jpeg, OF_JPEG), ("png", _png, OF_PNG)):
        folder = root / ending
        folder.mkdir(parents=True)
        for i in range(n):
            rng = random.Random(f"{seed}-{number}-{ending}-{i}")
            kind = kinds[i % len(kinds)]
            data = kind(rng, make(rng, photos))
            (folder / f"{number:03}-{i:03}-{kind.__name__}.{ending}").write_bytes(data)


# --- one process


def _run(root: Path, pipeline: str, cls: type, say: Callable[[str], None]) -> Any:
    dataset = twins.datasets.ImageFolder(str(root), twins.PIPELINES[pipeline]())
    kit.seed_all(3)
    loader = cls(dataset)
    iterator = iter(loader)
    seen = []
    for path, _ in dataset.samples:
        say(path)
        try:
            batch = next(iterator)
        except Exception as error:
            seen.append(("error", kit.error_of(error), kit.states()))
        else:
            seen.append(("batch", kit.visible(batch), kit.states()))
    return loader, seen


def work(root: Path) -> None:
    """Both loaders over a folder. What is running goes to the file `now`, the result to stdout."""
    now = root.parent / "now"

    def say(words: str) -> None:
        now.write_text(words)

    counts: Counter[str] = Counter()
    differences = []
    for pipeline in PIPELINES:
        _, stock = _run(root, pipeline, twins.STOCK, lambda path: say(f"torch {path}"))
        loader, ours = _run(
            root, pipeline, twins.OURS, lambda path, p=pipeline: say(f"penstock {p} {path}")
        )
        if not twins.is_native(loader):
            differences.append(f"{pipeline}: {twins.penstock.explain(loader).reason}")
        doubts = twins.doubts(loader)
        counts["native"] += len(ours) - doubts
        counts["pillow"] += doubts
        for (path, _), expected, found in zip(loader.dataset.samples, stock, ours, strict=True):
            kind = Path(path).stem.split("-")[-1]
            if expected == found:
                counts[f"equal {expected[0]}"] += 1
                counts[f"{Path(path).suffix[1:]} {kind} {expected[0]}"] += 1
            else:
                differences.append(f"{pipeline} {path}: torch {expected}, penstock {found}")
    print(json.dumps({"counts": counts, "differences": differences}))


# --- the watchdog


@dataclass
class Result:
    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)

    @property
    def bad(self) -> list[str]:
        return self.differences + self.crashes + self.hangs

    def kinds(self) -> str:
        rows = sorted(key for key in self.counts if key.startswith(("jpg ", "png ")))
        return "\n".join(f"  {key}: {self.counts[key]}" for key in rows)

    def __str__(self) -> str:
        count = self.counts
        return (
            f"{count['jpg']} JPEG and {count['png']} PNG files, each through {len(PIPELINES)} "
            f"pipelines: {count['equal batch']} equal pixels, {count['equal error']} equal "
            f"exceptions, {count['native']} decided natively, {count['pillow']} by Pillow, "
            f"{len(self.differences)} differences, {len(self.crashes)} crashes, "
            f"{len(self.hangs)} hangs"
        )


def _watch(root: Path, seconds: int, result: Result) -> None:
    command = [sys.executable, __file__, "--work", str(root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        result.hangs.append(f"{seconds} s: {(root.parent / 'now').read_text()}")
        return
    if done.returncode != 0:
        where = (root.parent / "now").read_text()
        result.crashes.append(f"exit {done.returncode} at {where}: {done.stderr[-2000:]}")
        return
    found = json.loads(done.stdout.splitlines()[-1])
    result.counts.update(found["counts"])
    result.differences += found["differences"]


def _keep(root: Path, keep: Path, bad: list[str]) -> None:
    """Files that went wrong."""
    keep.mkdir(parents=True, exist_ok=True)
    for file in root.glob("*/*"):
        if any(str(file) in line for line in bad):
            shutil.copy(file, keep)


def run(
    count: int,
    seed: int,
    scratch: Path,
    *,
    where: Path | None = None,
    keep: Path | None = None,
    say: Callable[[str], None] = print,
) -> Result:
    result = Result()
    photos = photos_or_pictures(where, scratch / "pictures")
    for number, start in enumerate(range(0, count, CHUNK)):
        n = min(CHUNK, count - start)
        root = scratch / f"chunk{number}" / "files"
        write_chunk(root, seed, number, n, photos)
        before = len(result.bad)
        _watch(root, SECONDS, result)
        result.counts.update({"jpg": n, "png": n})
        for line in result.bad[before:]:
            say(line)
        if keep is not None:
            _keep(root, keep, result.bad[before:])
        shutil.rmtree(root.parent)
        say(f"{start + n} of {count}: {result}")
    return result


def main() -> int:
    if sys.argv[1:2] == ["--work"]:
        warnings.simplefilter("ignore")
        twins.torch.set_num_threads(1)
        work(Path(sys.argv[2]))
        return 0
    parser = twins.arguments(__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--keep", type=Path, help="where files that went wrong are put")
    options = twins.begin(parser)
    warnings.simplefilter("ignore")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        result = run(
            options.count,
            options.seed,
            Path(scratch),
            where=options.data,
            keep=options.keep,
            say=lambda text: print(text, flush=True),
        )
    print(result.kinds())
    print(f"{time.monotonic() - start:.0f} s")
    print(result)
    complete = result.counts["equal batch"] > 0 and result.counts["equal error"] > 0
    return 1 if result.bad or not complete else 0


if __name__ == "__main__":
    sys.exit(main())
