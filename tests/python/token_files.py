# SPDX-License-Identifier: Apache-2.0
"""Token files written by their layouts, and what their windows are, said plainly."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

MEGATRON_CODES = {"uint8": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "uint16": 8}
Documents = Sequence[Any]  # arrays of tokens


def write_raw(path: Path, documents: Documents, dtype: str) -> Path:
    path.write_bytes(joined(documents, dtype).tobytes())
    return path


def joined(documents: Documents, dtype: str) -> Any:
    return numpy.concatenate([numpy.empty(0, dtype), *documents])


def write_megatron(
    path: Path, documents: Documents, dtype: str, *, cuts: int = 1, modes: bool = False
) -> Path:
    """NAME.bin and NAME.idx; each document in so many sequences."""
    sequences, bounds = [], [0]
    for document in documents:
        sequences += numpy.array_split(document, cuts)
        bounds.append(len(sequences))
    lengths = [len(sequence) for sequence in sequences]
    size = numpy.dtype(dtype).itemsize
    pointers = [sum(lengths[:i]) * size for i in range(len(lengths))]
    index = b"MMIDIDX\0\0" + struct.pack(
        "<QBQQ", 1, MEGATRON_CODES[dtype], len(lengths), len(bounds)
    )
    index += struct.pack(f"<{len(lengths)}i", *lengths)
    index += struct.pack(f"<{len(pointers)}q", *pointers)
    index += struct.pack(f"<{len(bounds)}q", *bounds)
    if modes:
        index += bytes(len(lengths))
    path.with_suffix(".idx").write_bytes(index)
    return write_raw(path.with_suffix(".bin"), documents, dtype)


def write_datatrove(path: Path, documents: Documents, dtype: str) -> Path:
    """NAME.ds, NAME.ds.index and NAME.ds.metadata."""
    ends = numpy.cumsum([len(document) for document in documents], dtype="<u8")
    Path(f"{path}.index").write_bytes(ends.tobytes())
    Path(f"{path}.metadata").write_text(f"gpt2|{numpy.dtype(dtype).itemsize}\n{sum(ends)}\n0 T")
    return write_raw(path, documents, dtype)


def write_npy(path: Path, documents: Documents, dtype: str) -> Path:
    numpy.save(path, joined(documents, dtype))
    return path


WRITERS = {".npy": write_npy, ".bin": write_raw, ".idx": write_megatron, ".ds": write_datatrove}


def windows(
    documents: Documents,
    window: int,
    stride: int,
    *,
    targets: bool = True,
    pad: int | None = None,
) -> list[tuple[list[int], list[int]]]:
    """(x, y) of each window of each document: at every start it is asked what there is."""
    found = []
    for document in documents:
        tokens = [int(token) for token in document]
        is_covered = False
        for start in range(0, len(tokens), stride):
            piece = tokens[start : start + window + targets]
            if len(piece) < window + targets and (
                pad is None or is_covered or len(piece) <= targets
            ):
                continue
            x, y = piece[:window], piece[1:]
            x += [pad or 0] * (window - len(x))
            y += [-100] * (window - len(y))
            found.append((x, y))
            is_covered = start + len(piece) == len(tokens)
    return found
