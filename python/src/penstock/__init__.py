# SPDX-License-Identifier: Apache-2.0
"""Data loading for training, in C: the batches of torch's DataLoader, from threads.

from penstock import DataLoader
"""

from typing import TYPE_CHECKING, Any

from penstock._core import (
    DecodeError,
    Error,
    ForkError,
    Generator,
    LimitError,
    Tensor,
    __version__,
    from_dlpack,
    tensor,
)

if TYPE_CHECKING:
    from penstock import datasets
    from penstock.array_writer import ArrayColumn, ArrayWriter, Ragged
    from penstock.explanation import Explanation, Stage
    from penstock.lanes import explain
    from penstock.loader import DataLoader
    from penstock.mapped import MappedTensor
    from penstock.memory_map import append, mem_map
    from penstock.meter import Progress, ProgressLine
    from penstock.mixing import collate_with
    from penstock.policy import ErrorReport, Refused, TooManyErrors
    from penstock.reporting import report
    from penstock.stats import Stats
    from penstock.verification import Difference, Verification, verify
else:
    # torch takes a second to import. What needs it comes when it is asked for, so that the command
    # line tool starts at once, and that tensors do without torch.
    _HOMES = {
        "ArrayColumn": "array_writer",
        "ArrayWriter": "array_writer",
        "DataLoader": "loader",
        "Difference": "verification",
        "ErrorReport": "policy",
        "Explanation": "explanation",
        "MappedTensor": "mapped",
        "Progress": "meter",
        "ProgressLine": "meter",
        "Ragged": "array_writer",
        "Refused": "policy",
        "Stage": "explanation",
        "Stats": "stats",
        "TooManyErrors": "policy",
        "Verification": "verification",
        "append": "memory_map",
        "collate_with": "mixing",
        "explain": "lanes",
        "mem_map": "memory_map",
        "report": "reporting",
        "verify": "verification",
    }

    _WITHOUT_TORCH = {"array_writer"}

    def __getattr__(name: str) -> Any:
        from importlib import import_module
        from importlib.util import find_spec

        if name in _HOMES:
            if _HOMES[name] not in _WITHOUT_TORCH and find_spec("torch") is None:
                raise ImportError(f"penstock.{name} needs PyTorch, which is not installed")
            value = getattr(import_module(f"penstock.{_HOMES[name]}"), name)
        elif not name.startswith("__") and find_spec(f"penstock.{name}") is not None:
            return import_module(f"penstock.{name}")  # as when all of them came at once
        else:
            raise AttributeError(f"module 'penstock' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})


__all__ = [
    "ArrayColumn",
    "ArrayWriter",
    "DataLoader",
    "DecodeError",
    "Difference",
    "Error",
    "ErrorReport",
    "Explanation",
    "ForkError",
    "Generator",
    "LimitError",
    "MappedTensor",
    "Progress",
    "ProgressLine",
    "Ragged",
    "Refused",
    "Stage",
    "Stats",
    "Tensor",
    "TooManyErrors",
    "Verification",
    "__version__",
    "append",
    "collate_with",
    "datasets",
    "explain",
    "from_dlpack",
    "mem_map",
    "report",
    "tensor",
    "verify",
]
