"""Documentation that cannot lie: examples are run, generated pages compared."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools" / "lib"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readme_example_prints_what_it_says(tools, tmp_path):
    source, output = re.findall(r"```mlir\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[:2]
    (tmp_path / "layer.mlir").write_text(source)
    result = subprocess.run([tools / "prune-opt", tmp_path / "layer.mlir", "--prune=pattern=2:4"], capture_output=True,
                            text=True, check=True)
    printed = [line.strip() for line in result.stdout.splitlines()]
    for line in output.splitlines():
        assert line == "..." or line in printed


def test_generated_pages_are_up_to_date():
    import generate_docs
    prefix = subprocess.run(["llvm-config-22", "--prefix"], capture_output=True, text=True, check=True).stdout.strip()
    for name, text in generate_docs.generate(f"{prefix}/bin/mlir-tblgen", f"{prefix}/include").items():
        assert (ROOT / "docs" / name).read_text() == text, f"{name} is old: cmake --build build --target prune-doc"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose):
        assert (page.parent / target).exists(), target


def test_options_named_on_the_pages_exist(tools):
    """Each `--prune...` flag on a hand-written page is one of prune-opt."""
    known = subprocess.run([tools / "prune-opt", "--help"], capture_output=True, text=True, check=True).stdout
    for page in PAGES:
        for flag in set(re.findall(r"(?<![\w-])--prune[a-z-]*", page.read_text())):
            assert flag.rstrip("-") in known, f"{page.name}: {flag}"
