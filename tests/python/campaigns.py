# SPDX-License-Identifier: Apache-2.0
"""Finds the campaigns, which are programs of their own beside these tests."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "campaigns"


def load(name: str) -> ModuleType:
    if not FOLDER.is_dir():
        pytest.skip("the campaigns are not beside these tests", allow_module_level=True)
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return importlib.import_module(name)
