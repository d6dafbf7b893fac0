# SPDX-License-Identifier: Apache-2.0
"""Data loading for training, in C: the batches of torch's DataLoader, from threads.

from penstock import DataLoader
"""

from penstock import datasets
from penstock._core import DecodeError, Error, ForkError, LimitError, __version__
from penstock.lanes import explain
from penstock.loader import DataLoader
from penstock.report import Explanation, Stage, Stats
from penstock.verification import Difference, Verification, verify

__all__ = [
    "DataLoader",
    "DecodeError",
    "Difference",
    "Error",
    "Explanation",
    "ForkError",
    "LimitError",
    "Stage",
    "Stats",
    "Verification",
    "__version__",
    "datasets",
    "explain",
    "verify",
]
