"""``purge``: what is too old goes, once somebody means it, and the rest stays."""

from __future__ import annotations

import io
import time

import pytest

from airflow_provider_llmbatch.core.results import Result
from airflow_provider_llmbatch.core.reuse import UNKNOWN, stored_line
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.storage.answers import Store, segment_name
from airflow_provider_llmbatch.storage.index import Kept

DAY = 24 * 60 * 60
AGES = (1, 10, 40)


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path) -> str:
    """The URI of a store with three segments, of 1, 10 and 40 days, and answers without an index."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        from tests.s3 import ROOT
    uri = f"{ROOT}/answers" if request.param == "s3" else f"file://{tmp_path}/answers"
    found, answer = Store(uri), Answer(Result(status="succeeded", output="SECRET"), 1, "batch_1", "a-1-0")
    for age in AGES:
        at = time.time() - age * DAY
        kept = (Kept(bytes([n] * 16), stored_line(bytes([n] * 16), answer), UNKNOWN) for n in range(age))
        name = segment_name(f"{age:010x}", at, 1)
        found.write(name, kept, created_at=at, vendor="openai", model="gpt-6-luna")
    found.folder.replace(f"{segment_name('f' * 10, time.time() - 30 * DAY, 1)}.jsonl", b"half of an answ")
    return uri


def left(uri):
    """Return how many answers each segment has that is left, and how many files there are."""
    segments = Store(uri).segments()
    return [segment.fetch().head.answers for segment in segments], len(Store(uri).folder.names(""))


@pytest.mark.parametrize(("days", "kept", "files"), [(20, [1, 10], 4), (5, [1], 2), (0, [], 0), (100, [1, 10, 40], 7)])
def test_what_is_older_goes_with_what_was_never_completed(run, store, days, kept, files):
    told = run("purge", store, "--older-than", days, "--yes")

    assert (told.code, told.err) == (0, "")
    assert left(store) == (kept, files)
    assert told.out.count(" answers of openai:gpt-6-luna") == len(AGES) - len(kept)
    assert ("did not come to its end" in told.out) == (days < 30)
    assert "SECRET" not in told.out


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_goes_without_a_yes(run, store, monkeypatch, answer):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))

    told = run("purge", store, "--older-than", 5)

    assert told.code == 1
    assert told.out.endswith("Nothing was deleted.\n")
    assert left(store) == ([1, 10, 40], 7)


@pytest.mark.parametrize("words", [[], ["--older-than", "-1", "--yes"]])
def test_an_age_must_be_said(run, store, words):
    assert run("purge", store, *words).code == 2
    assert left(store) == ([1, 10, 40], 7)


def test_a_store_without_anything_says_so(run, tmp_path):
    told = run("purge", f"file://{tmp_path}/nowhere", "--older-than", 0)

    assert (told.code, told.err) == (0, "")
    assert "holds nothing of before" in told.out
