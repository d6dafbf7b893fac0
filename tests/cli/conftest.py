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


SEVERAL = """
import json, os, sys
from penstock.cli import main

where = sys.argv[1]
kept = os.dup(1), os.dup(2)
for number, line in enumerate(json.loads(sys.argv[2])):
    for fd, name in enumerate(("out", "err"), 1):
        file = os.open(f"{where}/{number}.{name}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, fd)
        os.close(file)
    status = main(line)
    sys.stdout.flush()
    sys.stderr.flush()
    for fd, before in enumerate(kept, 1):
        os.dup2(before, fd)
    with open(f"{where}/{number}.status", "w") as file:
        file.write(str(status))
"""


@pytest.fixture
def several(penstock: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Ended]]:
    """Runs the tool with each of some lines, in one process: importing torch takes seconds."""

    def run(*lines: tuple[Any, ...], **more: Any) -> list[Ended]:
        where = tmp_path_factory.mktemp("several")
        words = [list(map(str, line)) for line in lines]
        done = penstock(where, json.dumps(words), code=SEVERAL, **more)
        assert (done.status, done.out, done.err) == (0, "", "")
        return [
            Ended(
                int((where / f"{number}.status").read_text()),
                (where / f"{number}.out").read_text(),
                (where / f"{number}.err").read_text(),
            )
            for number in range(len(lines))
        ]

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
