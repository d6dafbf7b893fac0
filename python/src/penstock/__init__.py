# SPDX-License-Identifier: Apache-2.0
"""Data loading for training, in C: the batches of torch's DataLoader, from threads.

from penstock import DataLoader
"""

from typing import TYPE_CHECKING, Any

from penstock._core import DecodeError, Error, ForkError, LimitError, __version__

if TYPE_CHECKING:
    from penstock.lanes import explain
    from penstock.loader import DataLoader
    from penstock.report import Explanation, Stage, Stats
    from penstock.verification import Difference, Verification, verify
else:
    # torch takes a second to import. What needs it comes when it is asked for, so that the
    # command line tool starts at once and runs without torch.
    _HOMES = {
        "DataLoader": "loader",
        "Difference": "verification",
        "Explanation": "report",
        "Stage": "report",
        "Stats": "report",
        "Verification": "verification",
        "explain": "lanes",
        "verify": "verification",
    }
    _MODULES = frozenset(
        "_torch capture engines lanes loader native options prepare reference report rng steps"
        " verification".split()
    )

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name in _HOMES:
            value = getattr(import_module(f"penstock.{_HOMES[name]}"), name)
        elif name in _MODULES:
            value = import_module(f"penstock.{name}")
        else:
            raise AttributeError(f"module 'penstock' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES, *_MODULES})


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
    "explain",
    "verify",
]
