# SPDX-License-Identifier: Apache-2.0
"""Data loading for training, in C: the batches of torch's DataLoader, from threads.

from penstock import DataLoader
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

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

# Tensors and errors do without torch; everything else is made of it.
if TYPE_CHECKING or find_spec("torch") is not None:
    from penstock.lanes import explain
    from penstock.loader import DataLoader
    from penstock.report import Explanation, Stage, Stats
    from penstock.verification import Difference, Verification, verify
else:

    def __getattr__(name):
        if name in __all__:
            raise ImportError(f"penstock.{name} needs PyTorch, which is not installed")
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")


__all__ = [
    "DataLoader",
    "DecodeError",
    "Difference",
    "Error",
    "Explanation",
    "ForkError",
    "Generator",
    "LimitError",
    "Stage",
    "Stats",
    "Tensor",
    "Verification",
    "__version__",
    "explain",
    "from_dlpack",
    "tensor",
    "verify",
]
