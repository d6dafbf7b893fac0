# SPDX-License-Identifier: Apache-2.0
"""Photos that are cut everywhere in their heads, and with flipped bits: what the native decoder
vouches for has Pillow's pixels.

    PYTHONPATH=build/release/site .venv/bin/python tests/campaigns/mutations.py

--cuts N photos are cut after each of their first 2,048 bytes and at 20 random places. --flips
N bits are flipped in all, --per-file of them in one copy of a photo. What the decoder does not
vouch for goes to Pillow in a loader, so it cannot differ. Processes of their own do the work: a
photo in which one crashes, or which takes longer than --seconds, is named.
"""

import os
import random
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import twins
from penstock import _core
from twins import decode_kit

HEAD = 2048
TAIL_CUTS = 20


@dataclass
class Result:
    files: int = 0
    vouched: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        self.files += other.files
        self.vouched += other.vouched
        self.differences += other.differences


def compare(result: Result, data: bytes, what: str) -> None:
    result.files += 1
    try:
        pixels = decode_kit.native(data)
    except (_core.DecodeError, _core.LimitError):
        return
    result.vouched += 1
    try:
        expected = decode_kit.pillow(data, "jpeg")
    except Exception as error:
        result.differences.append(f"{what}: vouched for, Pillow says {error!r}")
        return
    if not numpy.array_equal(pixels, expected):
        result.differences.append(f"{what}: other pixels than Pillow's")


def cut(path: Path, seed: int) -> Result:
    result, data = Result(), path.read_bytes()
    rng = random.Random(f"{seed} {path.name}")
    tail = [rng.randrange(len(data)) for _ in range(TAIL_CUTS)]
    for at in (*range(min(HEAD, len(data))), *tail):
        compare(result, data[:at], f"{path} cut after {at} bytes")
    return result


def flip(path: Path, seed: int, copies: int, per_file: int) -> Result:
    result, data = Result(), path.read_bytes()
    for copy in range(copies):
        key = f"{seed} {path.name} {copy}"
        rng = random.Random(key)
        out = bytearray(data)
        for _ in range(per_file):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        compare(result, bytes(out), f"{path} with {per_file} bits flipped ({key!r})")
    return result


def gather(futures: dict[Path, "Future[Result]"], seconds: float) -> Result:
    whole, start, said = Result(), time.monotonic(), 0.0
    for path, future in futures.items():
        try:
            whole.add(future.result(timeout=seconds))
        except Exception as error:  # the process crashed, or it hangs
            whole.differences.append(f"{path}: {error!r}")
            return whole
        now = time.monotonic() - start
        if now - said > 30:
            said = now
            print(f"{now:5.0f} s: {whole.files} files, {whole.vouched} vouched for", flush=True)
    return whole


def main() -> int:
    parser = twins.arguments(__doc__)
    parser.add_argument("--cuts", type=int, default=200, help="photos")
    parser.add_argument("--flips", type=int, default=1_000_000, help="bits")
    parser.add_argument("--per-file", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=600, help="for all of a photo's mutations")
    options = twins.begin(parser)
    photos = twins.photo_files(options.data)
    copies = -(-options.flips // (options.per_file * len(photos)))
    results = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, futures in {
            "cut": {path: pool.submit(cut, path, options.seed) for path in photos[: options.cuts]},
            "flipped": {
                path: pool.submit(flip, path, options.seed, copies, options.per_file)
                for path in photos
                if options.flips
            },
        }.items():
            results[name] = gather(futures, options.seconds)
    for name, result in results.items():
        for line in result.differences[:20]:
            print(f"DIFFERENT {line}")
        print(
            f"{name}: {result.files} files, {result.vouched} vouched for, "
            f"{len(result.differences)} differences"
        )
    print(f"{copies * options.per_file * len(photos) if options.flips else 0} bits flipped")
    return 1 if any(result.differences for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
