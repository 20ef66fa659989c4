"""The two commands of the tree: what they say when a step fails, and how they count."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools" / "lib"))


def bash(script, **env):
    return subprocess.run(["bash", "-c", f"PRUNE_COMMAND=tools/check; . {ROOT}/tools/lib/setup.sh; {script}"],
                          capture_output=True, text=True, env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", **env}, timeout=60)


@pytest.mark.parametrize("log, sentence", [
    ("E: Failed to fetch http://x  Temporary failure resolving 'x'", "there is no network"),
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
    ("c++: fatal error: Killed signal terminated program cc1plus", "ran out of memory"),
    ("E: Unable to locate package libmlir-22-dev", "lack a package"),
    ("something else", "the compiler reported an error"),
])
def test_a_failed_step_is_one_sentence_with_its_log(tmp_path, log, sentence):
    (tmp_path / "text").write_text(log)
    result = bash(f'PRUNE_LOGS={tmp_path}; fails() {{ cat {tmp_path}/text; return 3; }}; '
                  'step "build" ninja.log "the compiler reported an error" fails; echo not reached')
    assert result.returncode == 1
    assert "not reached" not in result.stdout
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("tools/check: build failed: ") and sentence in result.stderr
    assert result.stderr.endswith(f"The log is {tmp_path}/ninja.log\n")


def test_missing_packages_need_root():
    result = bash('id() { echo 1000; }; PRUNE_PACKAGES="no-such-package-a"; setup_packages; echo not reached')
    assert result.returncode == 1
    assert "only root can install packages, and these are missing: no-such-package-a" in result.stderr


def test_full_disk_is_found_before_the_work():
    result = bash("check_disk 999999999; echo not reached")
    assert result.returncode == 1 and "the disk is full" in result.stderr and "not reached" not in result.stdout


def write_results(folder, lit=("PASS",), gtest=("COMPLETED",), failures=0, tests=2):
    (folder / "gtest").mkdir()
    (folder / "lit.json").write_text(json.dumps({"tests": [{"name": str(i), "code": c} for i, c in enumerate(lit)]}))
    (folder / "gtest" / "a.json").write_text(json.dumps(
        {"testsuites": [{"testsuite": [{"name": "t", "result": r} for r in gtest]}]}))
    (folder / "pytest.xml").write_text(f'<testsuites><testsuite tests="{tests}" failures="{failures}" errors="0" '
                                       'skipped="1"/></testsuites>')


def summed(folder, *statuses):
    result = subprocess.run([sys.executable, ROOT / "tools/lib/sum_results.py", folder, *map(str, statuses)],
                            capture_output=True, text=True)
    return result.returncode, result.stdout.splitlines()[-1]


def test_results_are_summed(tmp_path):
    write_results(tmp_path, lit=("PASS", "XFAIL", "UNSUPPORTED"), gtest=("COMPLETED", "SKIPPED"))
    assert summed(tmp_path, 0, 0, 0) == (0, "4 passed, 0 failed, 3 skipped")


def test_failures_fail(tmp_path):
    write_results(tmp_path, lit=("PASS", "FAIL", "UNRESOLVED", "XPASS"), failures=1)
    assert summed(tmp_path, 1, 0, 1) == (1, "2 passed, 4 failed, 1 skipped")


def test_a_suite_without_tests_fails(tmp_path):
    write_results(tmp_path, gtest=())
    assert summed(tmp_path, 0, 0, 0) == (1, "2 passed, 1 failed, 1 skipped")


def test_a_runner_that_died_fails(tmp_path):
    write_results(tmp_path)
    assert summed(tmp_path, 0, 8, 0) == (1, "3 passed, 1 failed, 1 skipped")
    (tmp_path / "lit.json").unlink()
    assert summed(tmp_path, 2, 0, 0) == (1, "2 passed, 1 failed, 1 skipped")
