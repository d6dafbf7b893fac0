# SPDX-License-Identifier: Apache-2.0
import pytest
import run_tests


@pytest.mark.parametrize(
    ("cases", "status", "expected"),
    [
        ("<testcase/><testcase/>", 0, (2, 0, 0)),
        ("<testcase/><testcase><failure/></testcase>", 1, (1, 1, 0)),
        ("<testcase/><testcase><error/></testcase>", 1, (1, 1, 0)),
        ("<testcase/><testcase><skipped/></testcase>", 0, (1, 0, 1)),
        ("", 0, (0, 1, 0)),  # nothing ran
        ("<testcase><skipped/></testcase>", 0, (0, 1, 1)),  # nothing but skips
        ("<testcase/>", -11, (1, 1, 0)),  # all passed, then the runner died
    ],
)
def test_reports_are_counted(tmp_path, cases, status, expected):
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    count = run_tests.count_report(report, status)
    assert (count.passed, count.failed, count.skipped) == expected


def test_a_missing_or_broken_report_is_a_failure(tmp_path):
    assert run_tests.count_report(tmp_path / "none.xml", 0).failed == 1
    (tmp_path / "cut.xml").write_text("<testsuites><testcase")
    assert run_tests.count_report(tmp_path / "cut.xml", 0).failed == 1
