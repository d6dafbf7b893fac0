# SPDX-License-Identifier: Apache-2.0
"""Calls of the engine that fail in turn through whole epochs, at each policy; see
tests/campaigns/fault_epochs.py for all kinds of calls, errors and ways."""

import errno
from collections.abc import Callable
from pathlib import Path

import campaigns
import pytest
from penstock import _core

lives = campaigns.load("fault_lives")
epochs = campaigns.load("fault_epochs")

pytestmark = pytest.mark.skipif(
    not hasattr(_core, "_fault_arm"), reason="a build without -Dchecks=true"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = lives.make_folder(tmp_path_factory.mktemp("faults") / "images")
    return root


def check(root: Path, way: str, call: str, number: int, every: int) -> int:
    result = epochs.run(root, lives.WAYS[way], call, errnos=[number], every=every)
    assert result.wrong == []
    assert result.runs > 10
    assert result.errors > 0
    return int(result.runs)


@pytest.mark.fault("R7", "R20")
@pytest.mark.parametrize(
    ("way", "call", "number", "every"),
    [
        ("eval, no workers", "read", errno.ESTALE, 2),
        ("train, no workers", "open", errno.EMFILE, 3),
        ("train, 2 workers", "open", errno.EIO, 3),
        ("train by sample, 2 workers", "stat", errno.ENOENT, 2),
        ("a folder without an index", "dir", errno.EACCES, 3),
        ("a folder with an index", "stat", errno.EIO, 2),
    ],
)
def test_files(
    root: Path, way: str, call: str, number: int, every: int, tried: Callable[[int], None]
) -> None:
    tried(check(root, way, call, number, every))


@pytest.mark.fault("R17")
@pytest.mark.parametrize(
    ("way", "every"), [("eval, no workers", 2), ("a folder without an index", 7)]
)
def test_memory(root: Path, way: str, every: int, tried: Callable[[int], None]) -> None:
    tried(check(root, way, "alloc", errno.ENOMEM, every))


def test_other_pixels_would_be_found(root: Path) -> None:
    runner = lives.Runner(root, lives.WAYS["train by sample, 2 workers"])
    fault = lives.Fault("open", 1, False, errno.EIO, True)
    life = runner.live("skip", fault)
    runner.check(life, "skip", fault)
    kind, indices, digests, *rest = life.steps[0]
    life.steps[0] = (kind, indices, ("other", *digests[1:]), *rest)
    with pytest.raises(lives.Wrong, match="another"):
        runner.check(life, "skip", fault)


def test_a_sample_left_out_without_a_cause_would_be_found(root: Path) -> None:
    runner = lives.Runner(root, lives.WAYS["train, no workers"])
    fault = lives.Fault("read", 1, True, errno.EIO, False)
    life = runner.live("skip", fault)
    runner.check(life, "skip", fault)
    assert len({*life.unopened}) == lives.N
    life.unopened.clear()
    with pytest.raises(lives.Wrong, match="without a cause"):
        runner.check(life, "skip", fault)


def test_what_leaks_would_be_found(root: Path, tmp_path: Path) -> None:
    runner = lives.Runner(root, lives.WAYS["eval, no workers"])
    fault = lives.Fault("read", 1, False, errno.EIO, True)
    life = runner.live("raise", fault)
    runner.check(life, "raise", fault)
    runner.patience = 0.0
    with (tmp_path / "leak").open("w"), pytest.raises(lives.Wrong, match="fds"):
        runner.check(life, "raise", fault)
