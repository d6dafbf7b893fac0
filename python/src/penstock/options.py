# SPDX-License-Identifier: Apache-2.0
"""The options that the drop-in has beside torch's: their meaning and their defaults."""

import re
import sys
from dataclasses import dataclass
from typing import Any, Literal

import torch
from penstock import _core

Profile = Literal["pillow-9", "pillow-12.2", "pillow-13"]

ERAS: dict[str, int] = {"pillow-9": 1, "pillow-12.2": 2, "pillow-13": 3}  # enum pst_era
_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
MAX_THREADS = 512
DEFAULT_BUDGET = 1 << 30  # the engine's, where none is given
OUT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.uint8)
# None: as torch's loader has it. The numbers are enum pst_layout.
LAYOUTS: dict[torch.memory_format | None, int] = {
    None: 0,
    torch.contiguous_format: 0,
    torch.channels_last: 1,
}


def parse_bytes(value: int | str | None) -> int:
    """Bytes; 0 means the engine's default."""
    if value is None:
        return 0
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?B?)\s*", value.upper())
        if match is None or match[2] not in _UNITS:
            raise ValueError(
                f"memory_budget should be bytes or text such as '512MB', not {value!r}"
            )
        value = int(float(match[1]) * _UNITS[match[2]])
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"memory_budget should be an int or a str, not {type(value).__name__}")
    if not 0 < value <= sys.maxsize:
        raise ValueError(f"memory_budget should be positive, got {value}")
    return value


def check(
    threads: Any,
    rng: Any,
    memory_budget: Any,
    profile: Any,
    out_dtype: Any = None,
    memory_format: Any = None,
    exif: Any = False,
) -> None:
    """Refuses what no loader could use, where the mistake was made."""
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int):
            raise TypeError(f"threads should be an int or None, not {type(threads).__name__}")
        if not 1 <= threads <= MAX_THREADS:
            raise ValueError(f"threads should be 1 to {MAX_THREADS}, got {threads}")
    if rng not in ("torch", "sample"):
        raise ValueError(f"rng should be 'torch' or 'sample', got {rng!r}")
    if profile is not None and profile not in ERAS:
        raise ValueError(f"profile should be None or one of {list(ERAS)}, got {profile!r}")
    parse_bytes(memory_budget)
    if out_dtype is not None and out_dtype not in OUT_DTYPES:
        raise ValueError(f"out_dtype should be None or one of {OUT_DTYPES}, got {out_dtype!r}")
    if memory_format is not None and memory_format not in LAYOUTS:
        raise ValueError(
            "memory_format should be torch.contiguous_format or torch.channels_last, got "
            f"{memory_format!r}"
        )
    if not isinstance(exif, bool):
        raise TypeError(f"exif should be True or False, not {type(exif).__name__}")


@dataclass(frozen=True, slots=True)
class Output:
    """How batches are to differ from torch's: the defaults are torch's own."""

    dtype: torch.dtype | None = None
    layout: int = 0
    exif: bool = False

    @property
    def is_stocks(self) -> bool:
        return self == AS_STOCK


AS_STOCK = Output()


@dataclass(frozen=True, slots=True)
class Options:
    threads: int
    rng: Literal["torch", "sample"]
    memory_budget: int
    profile: str
    output: Output


def era_of_pillow(version: str) -> str:
    """The profile whose pixels this version of Pillow has."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    if len(numbers) < 2:
        raise ValueError(f"the version of Pillow is not understood: {version!r}")
    if numbers[0] >= 13:
        return "pillow-13"
    return "pillow-12.2" if tuple(numbers) >= (12, 2) else "pillow-9"


def output_of(loader: Any) -> Output:
    dtype, memory_format = loader.out_dtype, loader.memory_format
    check(None, "torch", None, None, dtype, memory_format, loader.exif)
    return Output(dtype, LAYOUTS[memory_format], loader.exif)


def _threads_of(loader: Any, threads: int | None) -> int:
    if threads is None:
        cores = _core.cpu_count()
        threads = min(loader.num_workers, cores) if loader.num_workers > 0 else min(cores, 4)
    return min(threads, MAX_THREADS)


def of_rows(loader: Any, *, own: bool) -> tuple[int, int]:
    """Threads and memory budget of a loader over rows."""
    threads = loader.threads if own else None
    budget = loader.memory_budget if own else None
    check(threads, "torch", budget, None)
    return _threads_of(loader, threads), parse_bytes(budget)


def of(loader: Any, *, own: bool) -> Options:
    """The options of a loader; those of a loader that is not ours (own) are the defaults."""
    threads = loader.threads if own else None
    rng: Literal["torch", "sample"] = loader.rng if own else "torch"
    budget = loader.memory_budget if own else None
    profile = loader.profile if own else None
    output = output_of(loader) if own else Output()
    check(threads, rng, budget, profile)
    if profile is None:
        import PIL

        profile = era_of_pillow(PIL.__version__)
    return Options(_threads_of(loader, threads), rng, parse_bytes(budget), profile, output)
