"""Work in a child is the same work: its result, its errors, and nothing of the child itself, reach the parent."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from airflow_provider_llmbatch.engine import apart
from airflow_provider_llmbatch.engine.apart import Crew, helpers


@pytest.fixture
def handled():
    """Handle SIGTERM as Airflow does: by doing something that costs."""
    calls = []
    before = signal.signal(signal.SIGTERM, lambda *_: calls.append("killed"))
    yield calls
    signal.signal(signal.SIGTERM, before)


def where(number):
    return number, os.getpid()


def test_each_piece_comes_back_under_its_own_name(tmp_path):
    with Crew(where, tmp_path, size=2) as crew:
        made = [crew.begin(number) for number in range(7)]
        found = [result() for result in made]

    assert [number for number, _ in found] == list(range(7))
    assert len({process for _, process in found}) == 2
    assert os.getpid() not in {process for _, process in found}
    assert list(tmp_path.iterdir()) == []


def test_what_fails_there_is_done_here_where_its_error_is_seen(tmp_path):
    def fail(number):
        raise ValueError(f"{number} in {os.getpid()}")

    with Crew(fail, tmp_path, size=1) as crew:
        result = crew.begin(5)
        with pytest.raises(ValueError, match=f"5 in {os.getpid()}"):
            result()


@pytest.mark.parametrize("moment", ["at work", "before the next"])
def test_the_work_of_a_child_that_is_killed_is_done_here(tmp_path, moment):
    here = os.getpid()

    def die(number):
        if os.getpid() != here and (number == 0 or moment == "at work"):
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with Crew(die, tmp_path, size=1) as crew:
        first = crew.begin(0)
        if moment == "before the next":
            assert first() == 0
        second = crew.begin(1)
        assert (first(), second()) == (0, 1)


def test_nothing_more_than_the_children_there_may_be_is_needed(tmp_path, monkeypatch):
    def refuse():
        raise OSError("no process left")

    monkeypatch.setattr(os, "fork", refuse)

    with Crew(where, tmp_path, size=2) as crew:
        assert crew.begin(1)() == (1, os.getpid())


def test_a_child_does_not_take_the_signals_of_its_parent(tmp_path, handled):
    """Airflow kills a task's whole process group; the handler cancels batches, and once is enough."""
    here = os.getpid()

    def meet(number):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGTERM)
        return number

    with Crew(meet, tmp_path, size=1) as crew:
        assert crew.begin(1)() == 1

    assert handled == []
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_a_child_holds_no_file_of_its_parent(tmp_path):
    """A socket that a child holds open would keep whoever waits for its end waiting."""
    reads, writes = os.pipe()

    def held(_):
        return os.path.exists(f"/proc/self/fd/{writes}") or os.readlink("/proc/self/fd/1")

    with Crew(held, tmp_path, size=1) as crew:
        assert crew.begin(0)() == os.devnull
    os.close(reads)
    os.close(writes)


def test_leaving_ends_a_child_whatever_it_does(tmp_path):
    started = tmp_path / "started"

    def work_on(_):
        started.write_text(str(os.getpid()))
        threading.Event().wait()

    with Crew(work_on, tmp_path, size=1) as crew:
        crew.begin(0)
        while not started.exists() or not started.read_text():
            os.sched_yield()

    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


@pytest.mark.parametrize(
    ("platform", "threads", "cores", "option", "expected"),
    [
        pytest.param("linux", 1, 8, None, apart.MOST, id="many-cores"),
        pytest.param("linux", 1, 2, None, 2, id="two-cores"),
        pytest.param("linux", 1, 1, None, 0, id="one-core"),
        pytest.param("linux", 2, 8, None, 0, id="another-thread"),
        pytest.param("darwin", 1, 8, None, 0, id="no-safe-fork"),
        pytest.param("linux", 1, 8, "1", 1, id="one-is-allowed"),
        pytest.param("linux", 1, 8, "0", 0, id="none-is-allowed"),
    ],
)
def test_children_work_only_where_it_is_safe_and_of_use(monkeypatch, platform, threads, cores, option, expected):
    if option is not None:
        monkeypatch.setenv("AIRFLOW__LLMBATCH__READING_PROCESSES", option)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))

    assert helpers() == expected
