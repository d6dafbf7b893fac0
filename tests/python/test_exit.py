# SPDX-License-Identifier: Apache-2.0
"""All ways to leave a loader and to end an interpreter; see tests/campaigns/signals.py."""

from pathlib import Path
from typing import Any

import campaigns
import kit
import pytest

signals = campaigns.load("signals")
scenarios = campaigns.load("scenarios")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.mark.fault("R29")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", [*scenarios.ENDS, "error_inside"])
def test_no_hang_and_nothing_on_stderr(nursery: Any, root: Path, name: str, workers: int) -> None:
    judge = signals._of_error if name == "error_inside" else signals._of_end
    # Once forked, once in an interpreter of its own where the way out is the interpreter's.
    for alone in (False, True) if name in ("held", "in_thread") else (False,):
        arguments = {"root": str(root), "workers": workers}
        outcome = nursery.run(name, arguments, limit=20, alone=alone)
        assert (judge(outcome), outcome.orphans, outcome.stderr if judge(outcome) else "") == (
            None,
            False,
            "",
        )
