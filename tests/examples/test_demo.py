"""The demo does what it says, and nothing of it outlives it, however it ends."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes by their folder in /proc"),
]

EXAMPLES = Path(__file__).parents[2] / "example_dags"
STARTED = "The emulator is at"


@pytest.fixture
def place(tmp_path) -> Path:
    """A copy of the examples, so that the demo's folder is its own, and its processes can be told from others."""
    shutil.copytree(EXAMPLES, tmp_path / "example_dags", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def demo(place: Path) -> subprocess.Popen[bytes]:
    """Start the demo under a parent of its own, as make does."""
    command = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]
    with (place / "screen.txt").open("wb") as screen:
        return subprocess.Popen(
            [*command, sys.executable, "-m", "example_dags.demo"],
            cwd=place,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        )


def processes_in(place: Path) -> dict[int, str]:
    """Return what runs in *place*: process ids and command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == place:
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue
    return found


def until(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def test_it_reports_both_vendors_and_leaves_no_process(place):
    process = demo(place)

    assert process.wait(timeout=240) == 0, (place / "screen.txt").read_text()

    screen = (place / "screen.txt").read_text()
    assert [line for line in screen.splitlines() if line.startswith(("openai: ", "anthropic: "))]
    assert screen.count(" succeeded\n") >= 2
    assert screen.count(" USD at batch prices") == 2
    off = [float(share) for share in re.findall(r"the estimate was ([\d.]+)% too", screen)]
    assert len(off) == 2
    assert max(off) < 15, screen
    assert until(lambda: not processes_in(place), 5)


@pytest.mark.parametrize(
    ("victim", "signum"),
    [
        pytest.param("python -m example_dags.demo", signal.SIGKILL, id="the-demo-is-killed-outright"),
        pytest.param("-c import subprocess", signal.SIGKILL, id="its-parent-is-killed-outright"),
        pytest.param("-c import subprocess", signal.SIGTERM, id="its-parent-is-asked-to-end"),
        pytest.param("", signal.SIGINT, id="ctrl-c-reaches-all-of-its-group"),
    ],
)
def test_nothing_is_left_when(place, victim, signum):
    process = demo(place)
    assert until(lambda: STARTED in (place / "screen.txt").read_text(), 60)

    if victim:
        wanted = victim.removeprefix("python ")
        os.kill(next(pid for pid, line in processes_in(place).items() if wanted in line), signum)
    else:
        os.killpg(process.pid, signum)

    assert until(lambda: process.poll() is not None, 10)
    assert until(lambda: not processes_in(place), 10)
