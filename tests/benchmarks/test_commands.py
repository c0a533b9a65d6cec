"""The two commands, at a size that a test can wait for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=REPO, capture_output=True, text=True, timeout=900, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_a_hundred_thousand_records_go_through_one_task(vendor, capsys):
    done = run("tests.benchmarks.scale", "--count", "100000", "--vendor", vendor)

    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert "Every bound holds." in done.stdout


@pytest.mark.slow
def test_every_way_of_ours_does_its_work(tmp_path):
    """The others' libraries are not installed here; a way that fails is told, and the exit code is 1."""
    done = run("tests.benchmarks", "--count", "1000", "--runs", "1", "--only", "ours", "--home", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\| \*\*ours", done.stdout, re.MULTILINE)) == 8
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["land openai"]["ours"][0]["cpu"] > 0
