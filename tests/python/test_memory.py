# SPDX-License-Identifier: Apache-2.0
"""Memory stays flat; see tests/campaigns/memory.py for the long run."""

from pathlib import Path

import campaigns
import kit
import pytest

memory = campaigns.load("memory")


@pytest.mark.fault("R17")
@pytest.mark.parametrize("name", memory.WAYS)
def test_resident_memory_does_not_grow(tmp_path: Path, name: str) -> None:
    root = kit.make_folder(tmp_path)
    seen = memory.run_alone(root, memory.WAYS[name], epochs=24, batch_size=4)[4:]
    assert memory.judge(name, seen)


def test_a_slow_leak_would_be_found() -> None:
    """3 MB of 130 MB in twenty epochs."""
    flat = [(130_000_000 + 1000 * (i % 3), 131_000_000) for i in range(20)]
    leak = [(end + 160_000 * i, most) for i, (end, most) in enumerate(flat)]
    assert memory.judge("flat", flat)
    assert not memory.judge("leak", leak)
