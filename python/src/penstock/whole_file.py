# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def written(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name when all is written. Until then, and for good where that
    fails, what had the name before keeps it."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            yield file
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
