# SPDX-License-Identifier: Apache-2.0
"""What all commands share: help, usage, streams, statuses, start-up."""

import os
import resource
import subprocess
import sys
import tomllib
from importlib import import_module

import pytest
from cli_kit import ROOT

COMMANDS = ("inspect", "bench", "doctor", "verify", "convert", "completion")


def test_version(penstock):
    import penstock as package

    done = penstock("--version")
    assert (done.status, done.out, done.err) == (0, f"penstock {package.__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(penstock, command):
    done = penstock(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert "examples:\n  " in done.out
    assert f"penstock {command}" in done.out.partition("examples:")[2]


def test_help_names_all_commands_and_statuses(penstock):
    done = penstock("--help")
    assert (done.status, done.err) == (0, "")
    for word in (*COMMANDS, "exit status:", "130"):
        assert word in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a command is missing"),
        (("nonsense",), "nonsense"),
        (("inspect",), "PATH"),
        (("inspect", "--threads", "0", "."), "not a whole number, 1 to 512"),
        (("inspect", "--nonsense", "."), "--nonsense"),
        (("inspect", "--color", "blue", "."), "blue"),
        (("inspect", "/nowhere/at/all"), "no such file or folder: /nowhere/at/all"),
        (("bench", "/nowhere/at/all"), "no such folder"),
        (("doctor", "/nowhere/at/all"), "no such script or folder"),
        (("doctor", "--seconds", "-1"), "not a positive number"),
        (("doctor", "--memory-budget", "much"), "not a size"),
        (("verify", "--batches", "none", "."), "not a whole number"),
        (("convert", "/nowhere/at/all", "a.pst"), "no such file: /nowhere/at/all"),
        (("convert", "a.npy"), "DST"),
        (("completion", "cmd"), "cmd"),
    ],
)
@pytest.mark.parametrize("json", [False, True])
def test_a_mistake_is_one_sentence(penstock, arguments, said, json):
    if json and arguments[:1] == ("completion",):
        pytest.skip("it has no --json")
    done = penstock(*arguments[:1], *(["--json"] if json and arguments else []), *arguments[1:])
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("penstock: ")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_starts_at_once(penstock):
    """In CPU time, which other work on the machine does not change."""

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    for arguments in (["--version"], ["inspect", "--help"]):
        costs = []
        for _ in range(5):
            before = cpu()
            assert penstock(*arguments).status == 0
            costs.append(cpu() - before)
        assert min(costs) < 0.15


HEAVY = "torch torchvision numpy PIL tqdm"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["completion", "bash"]])
def test_loads_nothing_heavy(penstock, arguments):
    code = f"""
import sys
from penstock.cli import main
main({arguments!r})
sys.exit(' '.join(name for name in {HEAVY!r}.split() if name in sys.modules))
"""
    done = penstock(code=code)
    assert (done.status, done.err) == (1, "\n")  # an empty list of names


def test_inspect_never_loads_torch(penstock, folder):
    code = f"""
import sys
from penstock.cli import main
assert main(["inspect", "--deep", {str(folder)!r}]) == 0
assert "torch" not in sys.modules
"""
    assert penstock(code=code).status == 0


def without(*names: str) -> str:
    gone = "; ".join(f"sys.modules[{name!r}] = None" for name in names)
    return f"import sys; {gone}; from penstock.cli import main; sys.exit(main())"


def test_without_torch(penstock, folder):
    done = penstock("verify", folder, code=without("torch"))
    assert (done.status, done.out) == (2, "")
    assert "needs torch" in done.err
    assert "pip install 'penstock[torch]'" in done.err
    assert penstock("inspect", folder, code=without("torch")).status == 0


def test_without_pillow(penstock, folder):
    done = penstock("inspect", "--json", folder, code=without("torch", "PIL"))
    assert done.status == 0
    assert done.json["trees"][0]["lanes"] == {"native": 7, "pillow": 0, "unknown": 1, "broken": 0}


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away(folder, unbuffered):
    for arguments in (["--help"], ["inspect", str(folder)], ["completion", "zsh"]):
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run(
            [sys.executable, "-m", "penstock", *arguments],
            stdout=write,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            timeout=60,
        )
        os.close(write)
        assert (process.returncode, process.stderr) == (141, b"")


def test_no_colour_without_a_terminal(penstock, folder):
    assert "\x1b" not in penstock("inspect", folder).out
    assert "\x1b[" in penstock("inspect", "--color", "always", folder).out


@pytest.mark.tree
def test_the_entry_point_of_the_wheel():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    module, _, name = project["scripts"]["penstock"].partition(":")
    assert callable(getattr(import_module(module), name))
    assert "tqdm" in project["optional-dependencies"]["cli"]


# --- names of the package that come when they are asked for


def test_lazy_names():
    import penstock

    for name in penstock.__all__:
        assert getattr(penstock, name) is not None
        assert name in dir(penstock)
    assert penstock.DataLoader.__module__ == "penstock.loader"
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        penstock.nonsense  # noqa: B018


def test_modules_that_were_always_there(penstock):
    code = """
import sys
import penstock
assert "torch" not in sys.modules
assert penstock.native.SingleIter
from penstock import *
assert DataLoader is penstock.loader.DataLoader
"""
    done = penstock(code=code)
    assert done.status == 0, done.err
