# SPDX-License-Identifier: Apache-2.0
"""Compares the stubs of the extension with the module that was built (mypy's stubtest)."""

import importlib
import subprocess
import sys
from pathlib import Path

MODULE = "penstock._core"
ALLOWLIST = Path(__file__).with_name("stubtest_allowlist.txt")


def main() -> int:
    module = importlib.import_module(MODULE)
    names = [name for name in vars(module) if not name.startswith("_")]
    command = [sys.executable, "-m", "mypy.stubtest", MODULE]
    command += ["--allowlist", str(ALLOWLIST), "--ignore-unused-allowlist"]
    status = subprocess.run(command).returncode
    print(f"items: {len(names)} names")
    return status if names else 1


if __name__ == "__main__":
    sys.exit(main())
