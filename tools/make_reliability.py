# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reliability.md: each class of faults, what is promised, and the tests of a run.

python tools/make_reliability.py [PAGE]    after `make test`, from the reports of build/check

The classes are in tests/faults.toml. A test names the ones that it proves: pytest.mark.fault("R1")
in Python, FAULT("R1", case) in C. A marked test that did not pass in the run is an error, so every
number on the page was seen.
"""

import ast
import datetime
import os
import platform
import re
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
PYTHON_REPORT = ROOT / "build" / "check" / "pytest.xml"
C_REPORT = ROOT / "build" / "check" / "meson-logs" / "testlog.junit.xml"

HEAD = """\
# Reliability

Which faults Penstock is held to stand, and the tests that say so. The tables are written by
`tools/make_reliability.py` from the reports of a run of `make test`. A count is how often that run
tried the fault: files, cuts, failed calls, signals, or the cases of a test. Longer runs are in
[campaigns](campaigns.md).

"""

PROVEN = """\
## Proven by tests

| class | fault | promise | test | tried |
|---|---|---|---|--:|
"""

OPEN = """\

## Not proven, or not there

| class | fault | promise | what is missing |
|---|---|---|---|
"""


@dataclass(frozen=True, order=True)
class Test:
    file: str  # below tests/
    name: str


@dataclass(frozen=True)
class Fault:
    id: str
    fault: str
    promise: str
    open: str


def read_faults(path: Path) -> list[Fault]:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Fault(key, row["fault"], row["promise"], row.get("open", "")) for key, row in table.items()
    ]


def _classes(node: ast.expr) -> list[str]:
    """Of a call of pytest.mark.fault()."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "pytest.mark.fault":
        return []
    if not node.args or not all(isinstance(one, ast.Constant) for one in node.args):
        raise ValueError(f"line {node.lineno}: the classes of a fault should be plain texts")
    return [str(one.value) for one in node.args if isinstance(one, ast.Constant)]


def marks_of_python(text: str) -> Iterator[tuple[str, str]]:
    """(class, name of the test)"""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                for one in _classes(decorator):
                    yield one, node.name


def marks_of_c(text: str) -> Iterator[tuple[str, str]]:
    for classes, name in re.findall(r'\bFAULT\(\s*"([^"]*)"\s*,\s*(\w+)\s*\)', text):
        for one in classes.split():
            yield one, name


def read_marks(tests: Path) -> dict[str, set[Test]]:
    """The marked tests of each class, as the sources have them."""
    marks: dict[str, set[Test]] = {}
    for folder in ("python", "cli"):
        for path in sorted((tests / folder).glob("test_*.py")):
            for one, name in marks_of_python(path.read_text(encoding="utf-8")):
                marks.setdefault(one, set()).add(Test(f"{folder}/{path.name}", name))
    for path in sorted((tests / "c").glob("*/*.c")):
        for one, name in marks_of_c(path.read_text(encoding="utf-8")):
            marks.setdefault(one, set()).add(Test(f"c/{path.parent.name}/{path.name}", name))
    return marks


def _passed(case: ElementTree.Element) -> bool:
    return all(case.find(kind) is None for kind in ("failure", "error", "skipped"))


def count_python(report: Path) -> dict[Test, int]:
    """How often each test tried something: what it said, or once for each of its cases."""
    counts: dict[Test, int] = {}
    broken = set()
    for case in ElementTree.parse(report).iter("testcase"):
        parts = case.get("classname", "").split(".")
        test = Test("/".join(parts[-2:]) + ".py", case.get("name", "").split("[")[0])
        said = [int(p.get("value", "0")) for p in case.iter("property") if p.get("name") == "tried"]
        if not _passed(case):
            broken.add(test)
        counts[test] = counts.get(test, 0) + (sum(said) or 1)
    return {test: n for test, n in counts.items() if test not in broken}


def count_c(report: Path) -> dict[tuple[str, str], int]:
    """By program and case."""
    counts = {}
    for program in ElementTree.parse(report).iter("testcase"):
        if not _passed(program):
            continue
        name = program.get("name", "").rsplit(":", 1)[-1]
        text = program.findtext("system-err") or ""
        for case, n in re.findall(r"^fault [R\d ]+: (\w+) tried (\d+)$", text, re.MULTILINE):
            counts[name, case] = int(n)
    return counts


def count_all(python: Path, c: Path, marks: dict[str, set[Test]]) -> dict[Test, int]:
    """Of all marked tests. ValueError names those that did not pass."""
    of_python, of_c = count_python(python), count_c(c)
    counts = {}
    missing = []
    for test in sorted(set().union(*marks.values())):
        if test.file.endswith(".py"):
            n = of_python.get(test)
        else:
            n = of_c.get((Path(test.file).stem, test.name))
        if n is None:
            missing.append(f"{test.file}: {test.name}")
        else:
            counts[test] = n
    if missing:
        raise ValueError("did not pass in this run:\n  " + "\n  ".join(missing))
    return counts


def check_marks(faults: list[Fault], marks: dict[str, set[Test]]) -> None:
    known = {fault.id for fault in faults}
    if unknown := marks.keys() - known:
        raise ValueError(f"classes that tests/faults.toml does not have: {sorted(unknown)}")
    for fault in faults:
        if fault.id not in marks and not fault.open:
            raise ValueError(f"{fault.id} has neither a test nor a sentence on what is missing")


def write(
    faults: list[Fault], marks: dict[str, set[Test]], counts: dict[Test, int], run: str
) -> str:
    lines = [HEAD, run, PROVEN]
    for fault in faults:
        for place, test in enumerate(sorted(marks.get(fault.id, ()))):
            words = (fault.id, fault.fault, fault.promise) if place == 0 else ("", "", "")
            shown = f"[{test.name}](../tests/{test.file})"
            lines.append(f"| {' | '.join(words)} | {shown} | {counts[test]:,} |\n")
    lines.append(OPEN)
    for fault in faults:
        if fault.open:
            lines.append(f"| {fault.id} | {fault.fault} | {fault.promise} | {fault.open} |\n")
    return "".join(lines)


def describe_run() -> str:
    import PIL
    import torch
    import torchvision

    day = datetime.date.fromtimestamp(PYTHON_REPORT.stat().st_mtime)
    return (
        f"The run: {day}, {len(os.sched_getaffinity(0))} cores of {platform.machine()}, "
        f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, "
        f"torchvision {torchvision.__version__.split('+')[0]}, Pillow {PIL.__version__}.\n\n"
    )


def main(arguments: list[str]) -> int:
    page = Path(arguments[0]) if arguments else PAGE
    faults, marks = read_faults(ROOT / "tests" / "faults.toml"), read_marks(ROOT / "tests")
    try:
        check_marks(faults, marks)
        counts = count_all(PYTHON_REPORT, C_REPORT, marks)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        print(f"make_reliability: {error}", file=sys.stderr)
        return 1
    page.write_text(write(faults, marks, counts, describe_run()), encoding="utf-8")
    print(f"{page}: {len(marks)} of {len(faults)} classes, {len(counts)} tests")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
