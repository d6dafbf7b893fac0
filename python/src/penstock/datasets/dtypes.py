# SPDX-License-Identifier: Apache-2.0
"""The engine's names of torch's dtypes."""

import torch

# See _core.pyi.
DTYPES: dict[str, torch.dtype] = {
    "u8": torch.uint8,
    "i8": torch.int8,
    "i16": torch.int16,
    "i32": torch.int32,
    "i64": torch.int64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f32": torch.float32,
    "f64": torch.float64,
    "bool": torch.bool,
    "u16": torch.uint16,
    "u32": torch.uint32,
    "u64": torch.uint64,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def dtype_name(dtype: torch.dtype | str) -> str:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if found not in _NAMES:
        raise ValueError(f"dtype should be one of {', '.join(map(str, _NAMES))}, got {dtype!r}")
    return _NAMES[found]
