# SPDX-License-Identifier: Apache-2.0
"""The project's files: what git tracks or would track."""

import subprocess
from pathlib import Path


def tracked_files(root: Path, *patterns: str) -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    output = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout.decode()
    paths = (root / name for name in output.split("\0") if name)
    return [path for path in paths if path.is_file()]
