"""What the segments of a store have is found, what they have not is not, and nothing else is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage import answers, lookup
from airflow_provider_llmbatch.storage.answers import Store
from airflow_provider_llmbatch.storage.lookup import Lookup
from tests.storage.stored import digest, put

DIGESTS = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 40).map(lambda n: n.to_bytes(16, "big")),  # close together: no sha256 is like that
    st.integers(0, 40).map(lambda n: b"\x07" * 8 + n.to_bytes(8, "big")),
)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(f"file://{tmp_path}/store")


def texts(found) -> list[str]:
    return [json.loads(line)["llm_output"] for line in found.lines.splitlines()]


def reads_of(monkeypatch, store) -> list[tuple[int, int]]:
    """Return the ranges that will be read of *store*."""
    ranges: list[tuple[int, int]] = []
    read = type(store.folder).read_ranges
    seen = lambda folder, name, some: ranges.extend(some) or read(folder, name, some)  # noqa: E731
    monkeypatch.setattr(type(store.folder), "read_ranges", seen)
    return ranges


@settings(max_examples=100, deadline=None)
@given(
    segments=st.lists(st.lists(DIGESTS, max_size=60, unique=True), max_size=5),
    data=st.data(),
    several=st.booleans(),
    held=st.sampled_from([0, 30, 1000]),
    scanned=st.sampled_from([0, 1, 1000]),
    window=st.sampled_from([1, 2, 128]),
    gap=st.sampled_from([0, 700, 1 << 16]),
    most=st.sampled_from([1, 2000, 1 << 25]),
    long=st.sampled_from([1, 2000, 1 << 25]),
)
def test_of_any_segments_every_digest_is_found_in_the_newest_that_has_it_and_no_other_is(
    tmp_path_factory, segments, data, several, held, scanned, window, gap, most, long
):
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    expected: dict[bytes, str] = {}
    for number, digests in enumerate(segments):
        if digests:
            put(store, number, digests, "answer ")
            expected |= dict.fromkeys(digests, f"answer {number}")
    kept = st.sampled_from(sorted(expected)) if expected else st.nothing()
    runs = st.sampled_from(segments).map(tuple) if segments else st.nothing()
    asked = data.draw(st.lists(st.one_of(st.tuples(DIGESTS), st.tuples(kept), runs), max_size=40))
    wanted = [digest for some in asked for digest in some]
    chunks = [wanted[: len(wanted) // 2], wanted[len(wanted) // 2 :]] if several else [wanted]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SCANNED": scanned, "WINDOW": window, "GAP": gap, "MOST": most, "SCAN": 3}.items():
            patch.setattr(answers, name, value)
        for name, value in {"HELD": held, "LONG": long}.items():
            patch.setattr(lookup, name, value)

        kept_ones = Lookup(store.segments())
        found = [list(kept_ones.find(chunk)) for chunk in chunks]

    for chunk, answers_found in zip(chunks, found, strict=True):
        by_position = {each.first + n: text for each in answers_found for n, text in enumerate(texts(each))}
        assert [by_position.get(position) for position in range(len(chunk))] == [expected.get(d) for d in chunk]
        assert [each.first for each in answers_found] == sorted(each.first for each in answers_found)
        assert all(each.total == len(texts(each)) for each in answers_found)
    new = [json.loads(line)["digest"] for some in found for each in some for line in each.new]
    assert sorted(new) == sorted({digest.hex() for digest in wanted if digest in expected})


def test_few_answers_of_a_large_segment_are_read_by_their_neighbourhoods_alone(store, monkeypatch):
    count, near = 20_000, 50
    put(store, 0, map(digest, range(count)))
    ranges = reads_of(monkeypatch, store)

    found = list(Lookup(store.segments()).find([digest(n) for n in (*range(near), -1, count - 1, count // 2)]))

    assert [(each.first, each.total) for each in found] == [(0, near), (near + 1, 1), (near + 2, 1)]
    assert len(ranges) == 3
    assert sum(end - start for start, end in ranges) == sum(len(each.lines) for each in found)


def test_answers_that_follow_each_other_are_read_at_once(store, monkeypatch):
    put(store, 0, map(digest, range(1000)))
    ranges = reads_of(monkeypatch, store)

    (found,) = Lookup(store.segments()).find([digest(n) for n in range(1000)])

    assert (found.total, len(found.new), len(ranges)) == (1000, 1000, 1)


@pytest.mark.parametrize("held", [0, 1000])
def test_a_segment_that_is_purged_is_left_out_from_then_on(store, monkeypatch, held):
    monkeypatch.setattr(lookup, "HELD", held)
    monkeypatch.setattr(answers, "MOST", 1)  # one answer after the other
    old, new = put(store, 0, map(digest, range(4)), "old "), put(store, 1, map(digest, range(4)), "new ")
    kept = Lookup(store.segments())

    found = kept.find([digest(n) for n in (0, 2, 1)])
    first = next(found)
    for name in (f"{new}.index", f"{new}.jsonl"):
        store.folder.remove(name)

    assert texts(first) == ["new 1"]
    assert [texts(each) for each in found] == [["old 0"], ["old 0"]]
    for name in (f"{old}.index", f"{old}.jsonl"):
        store.folder.remove(name)
    assert list(kept.find([digest(3)])) == []
    assert list(Lookup(store.segments()).find([digest(3)])) == []


def damage(store, name):
    """Three ways in which an answer can be another than the index says."""
    path = store.folder.path / f"{name}.jsonl"
    whole = path.read_bytes()
    yield whole[:-5]
    yield whole[10:] + whole[:10]
    first, second = whole.splitlines(keepends=True)
    yield second + first


def test_an_answer_that_is_not_the_one_that_was_asked_for_is_an_error_and_never_a_row(store):
    name = put(store, 0, [digest(1), digest(2)])
    for contents in damage(store, name):
        (store.folder.path / f"{name}.jsonl").write_bytes(contents)
        with pytest.raises(ManifestError, match=r"Nothing was sent.*paid, anew"):
            list(Lookup(store.segments()).find([digest(1), digest(2)]))
