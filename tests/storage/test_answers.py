"""What was put into a store is found, what was not is not, and nothing but what is asked for is read."""

from __future__ import annotations

import json
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.results import Result, Usage
from airflow_provider_llmbatch.core.reuse import (
    LEAST,
    OURS,
    Stored,
    as_ours,
    beside,
    cut,
    index_of,
    is_a_row,
    made_a_row,
    stored_line,
    thinks,
)
from airflow_provider_llmbatch.core.rows import COLUMNS, Answer, Row
from airflow_provider_llmbatch.engine.reuse.keep import write_segment
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage import answers
from airflow_provider_llmbatch.storage.answers import Head, LostError, Store, fetched, segment_name

DAY = 24 * 60 * 60
AT = 1_795_000_000
DIGESTS = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 40).map(lambda n: n.to_bytes(16, "big")),  # close together: no blake2b is like that
    st.integers(0, 40).map(lambda n: b"\x07" * 8 + n.to_bytes(8, "big")),
)


def digest(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=16).digest()


def line(digest: bytes, text: str = "", **facts) -> bytes:
    result = Result(status="succeeded", output=text, finish_reason="stop", model="m-1", **facts)
    return stored_line(digest, Answer(result, 1, "batch_1", "0a1b2c3d4e-1-7"), Usage(input=3, output=2), "0.0012")


def put(store: Store, number: int, digests, text: str = "", **head) -> str:
    """Write a segment, *number* days young, and return its name."""
    name = segment_name("0a1b2c3d4e", AT + number * DAY, 1)
    entries = ((digest, line(digest, f"{text}{number}")) for digest in digests)
    write_segment(store, name, entries, created_at=float(AT), vendor="openai", model="m", **head)
    return name


def in_order(places):
    return dict(sorted(places.items(), key=lambda item: item[1]))


def look_up(store: Store, digests) -> dict[bytes, str]:
    """Return the texts of the answers to *digests*, the newest of each."""
    found: dict[bytes, str] = {}
    for segment in fetched(store.segments()):
        places = in_order(segment.find(set(digests) - found.keys()))
        lines = segment.read(places)
        found |= {digest: json.loads(line)["llm_output"] for digest, line in zip(places, lines, strict=True)}
    return found


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(f"file://{tmp_path}/store")


@settings(max_examples=60, deadline=None)
@given(
    segments=st.lists(st.sets(DIGESTS, max_size=60), max_size=5),
    others=st.sets(DIGESTS, max_size=40),
    held=st.sampled_from([0, 30, 1000]),
    scanned=st.sampled_from([0, 1, 1000]),
    window=st.sampled_from([1, 2, 128]),
    gap=st.sampled_from([0, 700, 1 << 16]),
    most=st.sampled_from([1, 2000, 1 << 25]),
)
def test_of_any_segments_every_digest_is_found_in_the_newest_that_has_it_and_no_other_is(
    tmp_path_factory, segments, others, held, scanned, window, gap, most
):
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    expected: dict[bytes, str] = {}
    for number, digests in enumerate(segments):
        if digests:
            put(store, number, digests, "answer ")
            expected |= dict.fromkeys(digests, f"answer {number}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "HELD": held,
            "SCANNED": scanned,
            "WINDOW": window,
            "GAP": gap,
            "MOST": most,
            "SCAN": 3,
        }.items():
            patch.setattr(answers, name, value)

        found = look_up(store, {*expected, *others})

    assert found == expected


def test_few_answers_of_a_large_segment_are_read_by_their_neighbourhoods_alone(store, monkeypatch):
    count, near = 20_000, 50
    put(store, 0, map(digest, range(count)))
    (segment,) = fetched(store.segments())
    wanted = {digest(n) for n in (*range(near), count // 2, count - 1)}
    ranges = []
    read = store.folder.read_ranges
    monkeypatch.setattr(segment._folder, "read_ranges", lambda name, some: ranges.extend(some) or read(name, some))

    places = in_order(segment.find(wanted))
    lines = segment.read(places)

    assert places.keys() == wanted
    assert len(ranges) == 3
    assert sum(end - start for start, end in ranges) == sum(map(len, lines))


def test_answers_lie_in_the_order_in_which_they_were_put(store):
    put(store, 0, map(digest, range(100)))
    (segment,) = fetched(store.segments())

    places = segment.find({digest(n) for n in range(100)})

    assert sorted(places, key=places.__getitem__) == [digest(n) for n in range(100)]


def test_a_segment_without_an_index_is_not_there(store):
    name = put(store, 0, [digest(1)])
    store.folder.remove(f"{name}.index")

    assert store.segments() == []
    assert store.left_over(AT + 1) == [f"{name}.jsonl"]
    assert store.left_over(AT) == []


def test_segments_come_newest_first_and_not_from_before_the_time_that_counts(store):
    names = [put(store, number, [digest(number)]) for number in (2, 0, 1)]

    assert [segment.name for segment in store.segments()] == sorted(names, reverse=True)
    assert [segment.name for segment in store.segments(AT + DAY)] == [names[0], names[2]]
    assert [segment.created_at for segment in store.segments(AT + 2 * DAY)] == [AT + 2 * DAY]


def test_other_files_beside_the_segments_are_left_alone(store):
    put(store, 0, [digest(1)])
    for name in ("notes.index", "notes.jsonl", ".hidden.index"):
        store.folder.replace(name, b"mine")

    assert len(store.segments()) == 1
    assert store.left_over(AT * 2) == []


def test_what_is_deleted_is_lost_and_not_unreadable(store):
    put(store, 0, [digest(1)])
    (segment,) = fetched(store.segments())
    (late,) = store.segments()
    places = segment.find({digest(1)})

    segment.delete()

    assert store.segments() == []
    assert fetched([late]) == []
    with pytest.raises(LostError):
        segment.read(in_order(places))


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
        (segment,) = fetched(store.segments())
        places = segment.find({digest(1), digest(2)})
        with pytest.raises(ManifestError, match=r"Nothing was sent.*paid, anew"):
            segment.read(in_order(places))


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: b"{}\n" + data, lambda data: data.replace(b'"schema":1', b'"schema":2')],
    ids=["cut short", "another head", "a later schema"],
)
def test_an_index_that_cannot_be_read_is_an_error_that_names_it(store, change):
    name = put(store, 0, [digest(1)])
    path = store.folder.path / f"{name}.index"
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(ManifestError, match=f"{name}.index"):
        fetched(store.segments())


def test_the_head_says_what_is_in_a_segment(store):
    put(store, 0, map(digest, range(7)))
    (segment,) = store.segments()

    assert segment.read_head() == Head(created_at=AT, answers=7, vendor="openai", model="m")


def test_a_stored_answer_has_the_columns_of_a_row_that_cost_nothing():
    result = Result(status="succeeded", output={"a": 1}, finish_reason="stop", model="m", thinking="hm")
    row = Row(0, "0", b"{}\n", Answer(result, 0, "b", "c"), Usage(), 0, [])

    stored = json.loads(stored_line(digest(1), Answer(result, 1, "b", "c"), Usage(), None))

    assert tuple(Stored.__struct_fields__)[3:-1] == OURS == COLUMNS[2:]
    assert {name: stored[name] for name in (*OURS, "llm_thinking")} == {
        name: value for name, value in row.as_columns(True).items() if name not in COLUMNS[:2]
    }
    assert len(line(digest(1))) >= LEAST
    paid, columns = cut([line(digest(1), thinking=thought) for thought in (None, "hm")])
    assert paid == [b'"0.0012"'] * 2
    assert list(map(thinks, columns)) == [False, True]


def test_an_answer_that_a_release_with_fewer_columns_stored_gets_those_of_this_one():
    now = line(digest(1), "text")
    fields = json.loads(now)
    del fields["llm_error_code"], fields["llm_cached_input_tokens"]

    assert as_ours(msgspec.json.encode(fields)) == now


@pytest.mark.parametrize(("thought", "is_there"), [(None, True), ("hm", True), (None, False)])
def test_a_line_beside_a_record_becomes_a_row_of_this_release(thought, is_there):
    _, (columns,) = cut([line(digest(1), "text", thinking=thought)])
    ready = beside(7, columns, is_keyed=False)
    fields = json.loads(ready)
    expected = {name: fields[name] for name in COLUMNS} | ({"llm_thinking": thought} if is_there else {})

    assert (index_of(ready), is_a_row(ready)) == (7, thought is None)
    fields |= {"llm_of_tomorrow": 1}
    del fields["llm_error_code"]
    assert list(json.loads(made_a_row(json.dumps(fields).encode(), is_there)).items()) == list(expected.items())
