"""What the segments of a store have is found, what they have not is not, and nothing else is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage import index, lookup, segment
from airflow_provider_llmbatch.storage.answers import Store
from airflow_provider_llmbatch.storage.lookup import Lookup
from airflow_provider_llmbatch.storage.segment import LostError
from tests.storage.stored import COST, digest, put

DIGESTS = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 40).map(lambda n: n.to_bytes(16, "big")),  # close together: no sha256 is like that
    st.integers(0, 40).map(lambda n: b"\x07" * 8 + n.to_bytes(8, "big")),
)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(f"file://{tmp_path}/store")


def find(kept: Lookup, digests) -> list:
    return list(kept.read(kept.locate(digests), digests))


def texts(found) -> list[str]:
    return [json.loads(line)["llm_output"] for line in bytes(found.lines).splitlines()]


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
        for name, value in {"SCANNED": scanned, "WINDOW": window, "LONG": long, "SCAN": 3}.items():
            patch.setattr(index, name, value)
        for name, value in {"GAP": gap, "MOST": most}.items():
            patch.setattr(segment, name, value)
        patch.setattr(lookup, "HELD", held)

        kept_ones = Lookup(store.segments())
        found = [find(kept_ones, chunk) for chunk in chunks]

    for chunk, answers_found in zip(chunks, found, strict=True):
        by_position = {each.first + n: text for each in answers_found for n, text in enumerate(texts(each))}
        assert [by_position.get(position) for position in range(len(chunk))] == [expected.get(d) for d in chunk]
        assert [each.first for each in answers_found] == sorted(each.first for each in answers_found)
        assert all(each.total == len(texts(each)) for each in answers_found)
    costs = [cost for some in found for each in some for cost in each.costs]
    assert costs == [COST] * len({digest for digest in wanted if digest in expected})


def test_few_answers_of_a_large_segment_are_read_by_their_neighbourhoods_alone(store, monkeypatch):
    count, near = 20_000, 50
    put(store, 0, map(digest, range(count)))
    ranges = reads_of(monkeypatch, store)

    found = find(Lookup(store.segments()), [digest(n) for n in (*range(near), -1, count - 1, count // 2)])

    assert [(each.first, each.total) for each in found] == [(0, near), (near + 1, 1), (near + 2, 1)]
    assert len(ranges) == 3
    assert sum(end - start for start, end in ranges) == sum(len(each.lines) for each in found)


def test_answers_that_follow_each_other_are_read_at_once(store, monkeypatch):
    put(store, 0, map(digest, range(1000)))
    ranges = reads_of(monkeypatch, store)

    (found,) = find(Lookup(store.segments()), [digest(n) for n in range(1000)])

    assert (found.total, len(found.costs), len(ranges)) == (1000, 1000, 1)


@pytest.mark.parametrize("held", [0, 1000])
@pytest.mark.parametrize("gone", ["index", "jsonl"])
def test_a_segment_that_is_purged_while_it_is_looked_up_is_named(store, monkeypatch, held, gone):
    monkeypatch.setattr(lookup, "HELD", held)
    put(store, 0, [digest(1)])
    newer = put(store, 1, [digest(2)])
    kept, wanted = Lookup(store.segments()), [digest(1), digest(2)]
    located = kept.locate(wanted)
    store.folder.remove(f"{newer}.{gone}")

    with pytest.raises(LostError) as lost:
        list(kept.read(located if gone == "jsonl" else kept.locate(wanted), wanted))

    assert lost.value.segment.name == newer
    if gone == "index":
        assert [each.first for each in find(Lookup(store.segments()), wanted)] == [0]


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
            find(Lookup(store.segments()), [digest(1), digest(2)])
