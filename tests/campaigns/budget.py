# SPDX-License-Identifier: Apache-2.0
"""A memory_budget is held on large photos: what the process has at most, over what it had before.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/budget.py

Makes --photos JPEG files of 12 megapixels; with --progressive N each Nth is progressive, and all
of its coefficients are in memory at once. They are loaded for two epochs in a process of its own,
with the train pipeline and 2 workers. Before that the process has loaded small images, so that
torch, Pillow and their heaps are there. The peak of the resident memory from then on may be over it
by 1.1 times the budget, all batches that the consumer has in its hands included.
"""

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import twins
from twins import kit

WIDTH, HEIGHT = 4000, 3000
MOST = 1.1


def make_photos(root: Path, n: int, every: int = 0) -> Path:
    """Like photographs: one picture, cut in other ways."""
    width, height = WIDTH, HEIGHT
    picture = kit.picture("RGB", width + 64, height + 64, 1)
    (root / "photos").mkdir(parents=True)
    for i in range(n):
        at = 64 * i // n
        image = picture.crop((at, 64 - at, at + width, 64 - at + height))
        progressive = every > 0 and i % every == 0
        image.save(root / "photos" / f"{i:03}.jpg", quality=85, progressive=progressive)
    return root


def _status(field: str) -> int:
    """In bytes, of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system does not say {field}")


def _epochs(root: str, budget: int, epochs: int, batch_size: int) -> dict[str, int]:
    dataset = twins.datasets.ImageFolder(root, twins.train_v1())
    kit.seed_all(5)
    loader = twins.OURS(
        dataset, batch_size, shuffle=True, num_workers=2, threads=2, memory_budget=budget
    )
    if not twins.is_native(loader):
        raise RuntimeError(twins.penstock.explain(loader).reason)
    for _ in range(epochs):
        for batch in loader:
            del batch
    return loader.stats().counters


def measure(small: str, large: str, budget: int, batch_size: int) -> dict[str, Any]:
    _epochs(small, budget, 2, batch_size)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    stats = _epochs(large, budget, 2, batch_size)
    return {
        "before": before,
        "peak": _status("VmHWM"),
        "held": stats["held_peak_bytes"],
        "samples": stats["samples"],
        "doubts": stats["doubts"],
    }


def run_alone(small: Path, large: Path, budget: int, batch_size: int) -> dict[str, Any]:
    request = json.dumps([str(small), str(large), budget, batch_size])
    done = subprocess.run(
        [sys.executable, __file__, "--work", request], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def judge(seen: dict[str, Any], budget: int) -> bool:
    """Prints what was seen."""
    over = seen["peak"] - seen["before"]
    good = over <= MOST * budget and seen["doubts"] == 0 and seen["samples"] > 0
    before, most, held = (seen[name] / 1e6 for name in ("before", "peak", "held"))
    print(
        f"{seen['samples']} samples, {seen['doubts']} decided by Pillow; {before:.1f} MB before, "
        f"{most:.1f} MB at most: {over / 1e6:.1f} MB more, {over / budget:.2f} of the budget of "
        f"{budget / 1e6:.1f} MB; the engine's own count {held:.1f} MB"
        f"{'' if good else ': OVER THE BUDGET'}",
        flush=True,
    )
    return good


def main() -> int:
    if sys.argv[1:2] == ["--work"]:
        twins.torch.set_num_threads(1)
        print(json.dumps(measure(*json.loads(sys.argv[2]))))
        return 0
    parser = twins.arguments(__doc__)
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--progressive", type=int, default=0)
    parser.add_argument("--budget", type=int, default=64_000_000)
    parser.add_argument("--batch-size", type=int, default=16)
    options = twins.begin(parser)
    with tempfile.TemporaryDirectory() as scratch:
        small = kit.make_folder(Path(scratch) / "small")
        large = make_photos(Path(scratch) / "large", options.photos, options.progressive)
        seen = run_alone(small, large, options.budget, options.batch_size)
    return 0 if judge(seen, options.budget) else 1


if __name__ == "__main__":
    sys.exit(main())
