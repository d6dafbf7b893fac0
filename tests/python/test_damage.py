# SPDX-License-Identifier: Apache-2.0
"""Some damaged files of each kind; see tests/campaigns/damage.py for thousands."""

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import campaigns
import pytest

damage = campaigns.load("damage")


@pytest.mark.fault("R2", "R13")
def test_pixels_and_exceptions_are_torchs(tmp_path: Path, tried: Callable[[int], None]) -> None:
    result = damage.run(60, 12, tmp_path)
    assert result.bad == []
    assert result.counts["equal batch"] + result.counts["equal error"] == 240
    assert result.counts["native"] + result.counts["pillow"] == 240
    for what in ("equal batch", "equal error", "native", "pillow"):
        assert result.counts[what] > 20
    tried(240)


KINDS = dict.fromkeys([*damage.OF_JPEG, *damage.OF_PNG])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_does_damage(kind: Any, tmp_path: Path) -> None:
    photos = damage.photos_or_pictures(tmp_path, tmp_path / "pictures")
    changed = 0
    for i in range(20):
        rng = random.Random(i)
        whole = (damage._jpeg if kind in damage.OF_JPEG else damage._png)(rng, photos)
        changed += kind(rng, whole) != whole
    assert changed >= 15


def _watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, seconds: int) -> Any:
    program = tmp_path / "program.py"
    program.write_text(script)
    monkeypatch.setattr(damage, "__file__", str(program))
    (tmp_path / "now").write_text("penstock x.jpg")
    result = damage.Result()
    damage._watch(tmp_path / "files", seconds, result)
    return result


def test_a_hang_names_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = _watched(monkeypatch, tmp_path, "import time; time.sleep(60)", 1)
    assert result.hangs == ["1 s: penstock x.jpg"]


def test_a_crash_names_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    result = _watched(monkeypatch, tmp_path, script, 60)
    assert result.crashes[0].startswith("exit -11 at penstock x.jpg")
