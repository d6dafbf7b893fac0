# SPDX-License-Identifier: Apache-2.0
"""os.fork() in a running epoch harms neither side; see tests/campaigns/signals.py."""

from pathlib import Path
from typing import Any

import campaigns
import kit
import pytest

signals = campaigns.load("signals")


@pytest.mark.fault("R28")
def test_both_sides_go_on(nursery: Any, tmp_path: Path) -> None:
    result = signals.fork(nursery, kit.make_folder(tmp_path), len(signals.CHILDREN), 5)
    assert result.bad == []
    assert result.runs == len(signals.CHILDREN)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_parent_with_a_wrong_batch_is_found(nursery: Any, tmp_path: Path, workers: int) -> None:
    root = str(kit.make_folder(tmp_path))
    arguments = {"root": root, "workers": workers, "at": 1, "child": "exit", "expected": ["none"]}
    outcome = nursery.run("fork", arguments, limit=30)
    assert outcome.status == 52
