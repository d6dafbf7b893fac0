# SPDX-License-Identifier: Apache-2.0
"""The tool as a user starts it, and folders for it to look at."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the module that test files share

from cli_kit import ROOT, picture

DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def penstock() -> Run:
    """Runs the tool; `code`: runs this in the place of its entry point."""

    def run(*arguments: Any, code: str | None = None, **more: Any) -> Ended:
        start = ["-m", "penstock"] if code is None else ["-c", code]
        environment = {**os.environ, **more.pop("env", {})}
        environment.pop("NO_COLOR", None)
        done = subprocess.run(
            [sys.executable, *start, *map(os.fsencode, map(str, arguments))],
            capture_output=True,
            env=environment,
            timeout=100,
            **more,
        )
        out, err = (os.fsdecode(text) for text in (done.stdout, done.stderr))
        return Ended(done.returncode, out, err)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of sound images: six JPEG, a PNG, a GIF that ImageFolder does not see."""
    root = tmp_path / "images"
    for label, name in enumerate(("ant", "bee")):
        (root / name).mkdir(parents=True)
        for i in range(3):
            picture(60 + 10 * i, 40 + 30 * label, 3 * label + i).save(root / name / f"{i}.jpg")
    picture(33, 44, 7).convert("P").save(root / "bee" / "p.png")
    picture(20, 20, 8).save(root / "bee" / "g.dds")
    (root / "bee" / "notes.txt").write_text("none")
    return root


@pytest.fixture
def zoo() -> Path:
    if not (DATA / "zoo").is_dir():
        pytest.skip("the test data zoo are not beside the source tree")
    return DATA / "zoo"
