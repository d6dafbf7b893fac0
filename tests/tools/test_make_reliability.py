# SPDX-License-Identifier: Apache-2.0
"""The page on reliability: what is on it, and what keeps it from being written."""

import re
from pathlib import Path

import make_reliability as tool
import pytest

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def faults():
    return tool.read_faults(TESTS / "faults.toml")


@pytest.fixture(scope="module")
def marks():
    return tool.read_marks(TESTS)


def test_the_classes_are_whole(faults, marks):
    assert [fault.id for fault in faults] == [f"R{n}" for n in range(1, 39)]
    tool.check_marks(faults, marks)
    assert len(marks) >= 15


def test_the_page_is_current(faults, marks):
    """But for the counts and the line on the run, which are of one run."""
    page = tool.PAGE.read_text(encoding="utf-8")
    counts = dict.fromkeys(set().union(*marks.values()), 1)
    run = next(line for line in page.splitlines() if line.startswith("The run: "))
    expected = tool.write(faults, marks, counts, run + "\n\n")
    shown = re.sub(r"\| [\d,]+ \|$", "| 1 |", page, flags=re.MULTILINE)
    assert shown == expected, "tools/make_reliability.py writes it after `make test`"
    tried = [int(n.replace(",", "")) for n in re.findall(r"\| ([\d,]+) \|$", page, re.MULTILINE)]
    assert len(tried) == sum(len(tests) for tests in marks.values())
    assert min(tried) >= 1


def test_marks_in_python():
    text = """
import pytest
@pytest.mark.fault("R1", "R13")
@pytest.mark.parametrize("x", [1])
def test_one(x): pass
@pytest.mark.slow
def test_two(): pass
"""
    assert list(tool.marks_of_python(text)) == [("R1", "test_one"), ("R13", "test_one")]
    with pytest.raises(ValueError, match="plain texts"):
        list(tool.marks_of_python("@pytest.mark.fault(R1)\ndef test_one(): pass\n"))


def test_marks_in_c():
    text = 'CHECK_MAIN(CASE(plain), FAULT("R7", one),\n    FAULT("R6 R17",\n          two))'
    assert list(tool.marks_of_c(text)) == [("R7", "one"), ("R6", "two"), ("R17", "two")]


PYTHON = """<testsuites><testsuite>
<testcase classname="tests.python.test_a" name="test_cases[1]"/>
<testcase classname="tests.python.test_a" name="test_cases[2]"/>
<testcase classname="tests.python.test_a" name="test_says">
  <properties><property name="tried" value="2048"/></properties></testcase>
<testcase classname="tests.python.test_a" name="test_skipped[1]"/>
<testcase classname="tests.python.test_a" name="test_skipped[2]"><skipped/></testcase>
<testcase classname="tests.python.test_a" name="test_fails"><failure/></testcase>
</testsuite></testsuites>"""

C = """<testsuites><testsuite>
<testcase name="fault - penstock:program"><system-err>plain
one
fault R7 R17: one tried 768
</system-err></testcase>
<testcase name="fault - penstock:broken"><failure/><system-err>one
fault R7: one tried 3
</system-err></testcase></testsuite></testsuites>"""


@pytest.fixture
def reports(tmp_path):
    (tmp_path / "python.xml").write_text(PYTHON)
    (tmp_path / "c.xml").write_text(C)
    return tmp_path / "python.xml", tmp_path / "c.xml"


def test_counts(reports):
    found = {
        tool.Test("python/test_a.py", "test_cases"): 2,
        tool.Test("python/test_a.py", "test_says"): 2048,
        tool.Test("c/fault/program.c", "one"): 768,
    }
    assert tool.count_all(*reports, {"R1": set(found)}) == found


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("python/test_a.py", "test_skipped"),
        ("python/test_a.py", "test_fails"),
        ("python/test_a.py", "test_that_did_not_run"),
        ("c/fault/broken.c", "one"),
        ("c/fault/program.c", "plain"),
    ],
)
def test_what_did_not_pass_is_not_counted(reports, file, name):
    with pytest.raises(ValueError, match=f"{file}: {name}"):
        tool.count_all(*reports, {"R1": {tool.Test(file, name)}})


def test_classes_without_a_test_need_a_sentence():
    fault = tool.Fault("R1", "f", "p", "")
    with pytest.raises(ValueError, match="R1 has neither"):
        tool.check_marks([fault], {})
    with pytest.raises(ValueError, match="R2"):
        tool.check_marks([fault], {"R1": set(), "R2": set()})
