# SPDX-License-Identifier: Apache-2.0
"""Writers of array files that are killed at random moments; see tests/campaigns/kills.py."""

from collections.abc import Callable
from pathlib import Path

import campaigns
import pytest

kills = campaigns.load("kills")

pytestmark = [pytest.mark.tree, pytest.mark.fault("R10")]


@pytest.mark.parametrize("run", [kills.run_append, kills.run_convert])
def test_killed(run: Callable[..., object], tmp_path: Path, tried: Callable[[int], None]) -> None:
    result = run(30, 3, tmp_path, print)
    assert result.problems == []
    assert result.counts["old"] + result.counts["new"] >= 30
    tried(result.counts["old"] + result.counts["new"])


def test_a_part_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.pst"
    with kills.ArrayWriter(path) as writer:
        writer.write(kills.rows(0, 40))
    assert kills.rows_in(path) == 40
    with kills.ArrayWriter(path, mode="append") as writer:
        writer.write(kills.rows(0, 40))
    with pytest.raises(kills.oracle.Damaged, match="column"):
        kills.rows_in(path)
    data = bytearray(path.read_bytes())
    data[9000] ^= 1
    path.write_bytes(data)
    with pytest.raises(kills.oracle.Damaged):
        kills.rows_in(path)
