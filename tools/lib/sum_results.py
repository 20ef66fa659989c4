"""Sums the results of lit, GoogleTest and pytest: `sum_results.py FOLDER LIT_STATUS GTEST_STATUS PYTEST_STATUS`.

Prints one line for each suite and the total as the last line. Status 1 if a test failed, if a suite ran no test, or if
a runner ended badly without a failed test (then one failure is counted for it).
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PASSED, FAILED, SKIPPED = range(3)


def count_lit(folder: Path) -> list[int]:
    """lit's JSON report: expected failures count as passed, tests without their features as skipped."""
    counts = [0, 0, 0]
    kinds = {"PASS": PASSED, "XFAIL": PASSED, "FLAKYPASS": PASSED, "UNSUPPORTED": SKIPPED, "SKIPPED": SKIPPED,
             "EXCLUDED": SKIPPED}
    for test in json.loads((folder / "lit.json").read_text())["tests"]:
        counts[kinds.get(test["code"], FAILED)] += 1
    return counts


def count_gtest(folder: Path) -> list[int]:
    """The JSON report of every GoogleTest program."""
    counts = [0, 0, 0]
    for report in sorted((folder / "gtest").glob("*.json")):
        for suite in json.loads(report.read_text())["testsuites"]:
            for test in suite["testsuite"]:
                if test.get("failures"):
                    counts[FAILED] += 1
                else:
                    counts[PASSED if test.get("result") == "COMPLETED" else SKIPPED] += 1
    return counts


def count_pytest(folder: Path) -> list[int]:
    """pytest's JUnit report."""
    counts = [0, 0, 0]
    for suite in ElementTree.parse(folder / "pytest.xml").getroot().iter("testsuite"):
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        counts[FAILED] += bad
        counts[SKIPPED] += skipped
        counts[PASSED] += int(suite.get("tests", 0)) - bad - skipped
    return counts


def main(folder: Path, statuses: list[int]) -> int:
    total = [0, 0, 0]
    for name, count, status in zip(("lit", "GoogleTest", "pytest"), (count_lit, count_gtest, count_pytest), statuses):
        try:
            counts = count(folder)
        except (OSError, ValueError, KeyError, ElementTree.ParseError):
            counts = [0, 0, 0]
        note = ""
        if counts[PASSED] + counts[FAILED] == 0:
            note = " (ran no test)"
            counts[FAILED] += 1
        elif status != 0 and counts[FAILED] == 0:
            note = f" (the runner ended with status {status})"
            counts[FAILED] += 1
        print(f"{name}: {counts[PASSED]} passed, {counts[FAILED]} failed, {counts[SKIPPED]} skipped{note}")
        total = [a + b for a, b in zip(total, counts)]
    print(f"{total[PASSED]} passed, {total[FAILED]} failed, {total[SKIPPED]} skipped")
    return 1 if total[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [int(s) for s in sys.argv[2:5]]))
