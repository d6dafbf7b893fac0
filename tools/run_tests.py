# SPDX-License-Identifier: Apache-2.0
"""Runs the C tests and the Python tests of build/check and adds them up.

Ends with `N passed, N failed`. A leg that ran nothing, or whose runner did not end as its report
says, is a failure of its own. Arguments are handed to pytest.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "check"


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def count_report(report: Path, status: int) -> Count:
    """Adds up a JUnit report; status is the exit status of the runner that wrote it."""
    count = Count()
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        print(f"no report of the tests: {error}", file=sys.stderr)
        return Count(failed=1)
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed += 1
        elif case.find("skipped") is not None:
            count.skipped += 1
        else:
            count.passed += 1
    if count.passed + count.failed == 0:
        print(f"{report.name}: no test ran", file=sys.stderr)
        count.failed = 1
    elif status != 0 and count.failed == 0:
        print(f"{report.name}: no test failed, yet its runner ended with {status}", file=sys.stderr)
        count.failed = 1
    return count


def run(command: list[str], report: Path) -> Count:
    report.unlink(missing_ok=True)
    sys.stdout.flush()
    environment = dict(os.environ, PYTHONPATH=str(BUILD / "site"))
    status = subprocess.run(command, cwd=ROOT, env=environment).returncode
    return count_report(report, status)


def main(arguments: list[str]) -> int:
    c_report = BUILD / "meson-logs" / "testlog.junit.xml"
    python_report = BUILD / "pytest.xml"
    meson = [sys.executable, "-m", "mesonbuild.mesonmain", "test", "-C", str(BUILD), "--no-rebuild"]
    legs = {
        "C": run([*meson, "--print-errorlogs"], c_report),
        "Python": run(
            [sys.executable, "-m", "pytest", f"--junitxml={python_report}", *arguments],
            python_report,
        ),
    }
    print()
    for name, leg in legs.items():
        print(f"{name} tests: {leg.passed} passed, {leg.failed} failed, {leg.skipped} skipped")
    passed = sum(leg.passed for leg in legs.values())
    failed = sum(leg.failed for leg in legs.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
