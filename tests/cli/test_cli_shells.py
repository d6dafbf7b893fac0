# SPDX-License-Identifier: Apache-2.0
"""Completion scripts and the manual page are what the parser says."""

import shutil
import subprocess
import sys

import pytest
from cli_kit import ROOT
from penstock.cli.completion_command import read_commands


@pytest.fixture
def complete(penstock):
    """What bash would offer for a line, the last word being completed."""
    source = penstock("completion", "bash").out

    def offered(*words: str) -> set[str]:
        quoted = " ".join(f"'{word}'" for word in ("penstock", *words))
        code = f"{source}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words)}\n_penstock\n"
        done = subprocess.run(
            ["bash", "-c", code + 'printf "%s\\n" "${COMPREPLY[@]}"'],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return set(done.stdout.split())

    return offered


def test_bash_offers_commands_and_options(complete, tmp_path):
    commands = {"inspect", "bench", "doctor", "verify", "completion"}
    assert commands <= complete("")
    assert complete("ins") == {"inspect"}
    assert complete("--v") == {"--version"}
    assert complete("inspect", "--de") == {"--deep"}
    assert complete("bench", "--pipeline", "") == {"train", "eval"}
    assert complete("bench", "--color", "al") == {"always"}
    assert complete("verify", "--batch-size", "") == set()
    assert complete("completion", "") == {"bash", "zsh", "fish"}
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    both = {str(tmp_path / "folder"), str(tmp_path / "file")}
    assert complete("inspect", "--deep", f"{tmp_path}/f") == both
    assert complete("bench", f"{tmp_path}/f") == both
    assert complete("verify", f"{tmp_path}/f") == {str(tmp_path / "folder")}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_hold_all_and_are_sound(penstock, shell):
    done = penstock("completion", shell)
    assert (done.status, done.err) == (0, "")
    top, commands = read_commands()
    for command in (top, *commands):
        assert command.name in done.out
        for option in command.options:
            for name in option.names:
                bare = name.lstrip("-")
                ways = (name, f"-l {bare}", f"-s {bare}")
                assert any(way in done.out for way in ways)
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.out, text=True, check=True)


@pytest.mark.tree
def test_the_manual_is_current(tmp_path):
    page = tmp_path / "penstock.1"
    subprocess.run([sys.executable, ROOT / "tools" / "make_manual.py", page], check=True)
    assert page.read_text() == (ROOT / "docs" / "penstock.1").read_text(), (
        "run tools/make_manual.py"
    )


@pytest.mark.tree
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_has_no_mistakes():
    page = ROOT / "docs" / "penstock.1"
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tascii", "-P-cbou", page],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    for word in ("inspect", "--memory-budget", "EXIT STATUS"):
        assert word in done.stdout


@pytest.mark.tree
def test_the_documentation_names_all_options():
    text = (ROOT / "docs" / "cli.md").read_text()
    _, commands = read_commands()
    for command in commands:
        assert f"penstock {command.name}" in text
        for option in command.options:
            name = option.names[-1]
            assert name == "--help" or f"`{name}" in text, f"{command.name} {name}"
