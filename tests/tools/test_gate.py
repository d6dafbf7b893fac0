# SPDX-License-Identifier: Apache-2.0
"""The runner of the gates: a gate that fails, or that saw nothing, is counted as failed."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_gate(body: str, tmp_path: Path) -> list[str]:
    script = f"""
        source tools/gate
        logs={tmp_path}
        gate_planted() {{ {body}; }}
        run_gate planted
        echo "$passed passed, $failed failed"
    """
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("body", ["items 3 files", "echo noise; items 1 file"])
def test_a_gate_that_saw_something_passes(tmp_path, body):
    lines = run_gate(body, tmp_path)
    assert lines[0].startswith("ok ")
    assert lines[-1] == "1 passed, 0 failed"


@pytest.mark.parametrize(
    "body",
    [
        "items 0 files",
        "true",
        "echo 'items: many'",
        "items 3 files; return 1",
        "items 3 files; false",
        "exit 1",
        "false | items 3 files",
        "no-such-command && items 3 files",
        "unknown_gate",
    ],
)
def test_a_gate_that_failed_or_saw_nothing_fails(tmp_path, body):
    lines = run_gate(body, tmp_path)
    assert lines[0].startswith("FAILED ")
    assert lines[-1] == "0 passed, 1 failed"


def test_the_log_of_a_failed_gate_is_shown(tmp_path):
    assert any("the reason" in line for line in run_gate("echo the reason; false", tmp_path))
