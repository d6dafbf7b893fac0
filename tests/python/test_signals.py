# SPDX-License-Identifier: Apache-2.0
"""Processes that are interrupted at random moments; see tests/campaigns/signals.py."""

from pathlib import Path
from typing import Any

import campaigns
import kit
import pytest

signals = campaigns.load("signals")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.mark.fault("R29")
@pytest.mark.parametrize("seed", range(3))
def test_ctrl_c_ends_the_process(nursery: Any, root: Path, seed: int) -> None:
    result = signals.interrupt(nursery, root, 3, seed)
    assert result.bad == []
    assert result.runs == 3


@pytest.mark.fault("R29")
@pytest.mark.parametrize("seed", range(2))
def test_sigterm_ends_the_process(nursery: Any, root: Path, seed: int) -> None:
    result = signals.terminate(nursery, root, 4, seed)
    assert result.bad == []
    assert result.runs == 4


def test_a_process_that_goes_on_is_found(nursery: Any, root: Path) -> None:
    outcome = nursery.run("wait", {}, limit=0.2)
    assert outcome.status is None
