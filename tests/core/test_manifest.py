"""What has happened so far: any events, in any order, amount to a legal state."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.manifest import SCHEMA, Event, Tally, fold, is_event, name_of, read_event
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.exceptions import ManifestError

JOB = "0123456789"
RANK = ["ready", "unknown", "submitted", "ended", "collected"]


def shard_of(number, count):
    return part_of(number, number * count, number * count + count - 1, part="")


def part_of(number, first, last, part=None):
    part = f"{first}-{last}" if part is None else part
    count = last - first + 1
    return Shard(number=number, part=part, lane="m", count=count, bytes=100, sha256="ab", first=first, last=last)


def event(kind, *, shard=0, part="", attempt=1, round_=1, at=1000.0, **facts):
    essential = {
        "prepared": {
            "shards": [shard_of(0, 5)],
            "columns": ["text"],
        },
        "reopened": {"by": "dag/run/task/-1"},
        "split": {"shards": [part_of(shard, 0, 2), part_of(shard, 3, 4)]},
        "submitted": {"batch_id": f"batch_{attempt}"},
        "ended": {
            "batch_id": f"batch_{attempt}",
            "batch": Batch(batch_id=f"batch_{attempt}", status="completed", total=5, done=5),
        },
        "collected": {"batch_id": f"batch_{attempt}", "tally": Tally(statuses={"succeeded": 5})},
    }
    place = {} if kind in ("prepared", "reopened", "tidied") else {"shard": shard, "part": part, "attempt": attempt}
    return Event(schema=SCHEMA, job=JOB, kind=kind, round=round_, at=at, **place, **essential.get(kind, {}) | facts)


def state_of(*events):
    (shard,) = fold([event("prepared"), *events]).shards
    return shard


# -- any history -------------------------------------------------------------------------------------------------


@st.composite
def attempts(draw, round_, shard):
    """One shard's events as the engine writes them, in order: attempts that came to nothing, then one that goes on.

    A shard of several requests may be split instead, and its parts go on.
    """
    place = {"shard": shard.number, "part": shard.part, "round_": round_}
    voids = draw(st.integers(0, 2))
    for attempt in range(1, voids + 1):
        kinds = draw(st.sampled_from([["intent"], ["intent", "lost"], ["intent", "submitted", "ended"]]))
        full = {"reason": "queue full", "limit": draw(st.sampled_from([None, 4])), "until": 2000.0}
        yield from (event(kind, attempt=attempt, **place) for kind in kinds)
        yield event("void", attempt=attempt, **place, **draw(st.sampled_from([{}, full])))
    if shard.count > 1 and draw(st.booleans()):
        cut = draw(st.integers(shard.first, shard.last - 1))
        parts = [part_of(shard.number, shard.first, cut), part_of(shard.number, cut + 1, shard.last)]
        yield event("split", attempt=voids + 1, shards=parts, **place)
        for part in parts:
            yield from draw(attempts(round_, part))
        return
    last = ["intent", *draw(st.sampled_from([[], ["lost"]])), "submitted", "ended", "collected"]
    for kind in last[: draw(st.integers(0, len(last)))]:
        yield event(kind, attempt=voids + 1, **place)


@st.composite
def histories(draw):
    """What one job wrote down, in the order of its writing."""
    written = []
    for round_ in range(1, draw(st.integers(1, 3)) + 1):
        count = draw(st.integers(1, 3))
        shards = [shard_of(number, 5) for number in range(count)]
        if round_ > 1 and draw(st.booleans()):
            written.append(event("reopened", round_=round_))
        written.append(event("prepared", round_=round_, shards=shards))
        for shard in shards:
            written += list(draw(attempts(round_, shard)))
        if draw(st.booleans()):
            written.append(event("tidied", round_=round_))
    return written


@given(histories(), st.data())
def test_any_events_in_any_order_are_a_legal_state(history, data):
    kept = data.draw(st.lists(st.sampled_from(history), unique_by=name_of))

    manifest = fold(kept)

    numbers = [round_.number for round_ in manifest.rounds]
    assert numbers == sorted({one.round for one in kept if one.kind == "prepared"})
    assert manifest.reopened.keys() == {one.round for one in kept if one.kind == "reopened"}
    assert manifest.base >= 1
    for round_ in manifest.rounds:
        asked = [index for one in round_.shards for index in range(one.shard.first, one.shard.last + 1)]
        assert asked == list(range(sum(shard.count for shard in round_.prepared.shards)))
    for shard in manifest.shards:
        assert shard.attempt >= 1
        assert (shard.batch_id is not None) == (shard.phase in ("submitted", "ended", "collected"))
        assert shard.batch is None or shard.phase in ("ended", "collected")
        assert (shard.tally is not None) == (shard.phase == "collected")
    assert {shard.name for shard in manifest.open} == {
        shard.name for shard in manifest.shards if shard.phase == "submitted"
    }


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_in_which_events_are_read_does_not_matter(history, random):
    shuffled = list(history)
    random.shuffle(shuffled)

    assert fold(shuffled) == fold(history)


@given(histories())
def test_reading_an_event_twice_changes_nothing(history):
    assert fold(history + history) == fold(history)


@given(histories())
def test_a_shard_never_goes_back_from_one_event_to_the_next(history):
    """After a crash between two writes the state is one that the job had been in."""

    def progress(shard):
        return shard.attempt, RANK.index(shard.phase)

    before, split = {}, set()
    for length in range(len(history) + 1):
        after = {shard.name: progress(shard) for shard in fold(history[:length]).shards}
        split |= before.keys() - after.keys()
        assert all(after[name] >= progress for name, progress in before.items() if name not in split)
        assert split.isdisjoint(after)
        before = after


@given(histories())
def test_an_event_is_read_back_as_it_was_written(history):
    for one in history:
        assert read_event(name_of(one), msgspec.json.encode(one)) == one


@given(histories())
def test_every_event_has_a_name_of_its_own_that_is_known_as_an_events(history):
    names = [name_of(one) for one in history]

    assert len(set(names)) == len(names)
    assert all(map(is_event, names))


# -- what an event changes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "attempt", "phase"),
    [
        pytest.param([], 1, "ready", id="nothing-yet"),
        pytest.param(["intent"], 1, "unknown", id="died-in-the-paid-call"),
        pytest.param(["intent", "lost"], 1, "unknown", id="no-answer"),
        pytest.param(["intent", "submitted"], 1, "submitted", id="accepted"),
        pytest.param(["intent", "lost", "submitted"], 1, "submitted", id="found-again"),
        pytest.param(["submitted"], 1, "submitted", id="the-intent-is-gone"),
        pytest.param(["intent", "void"], 2, "ready", id="a-clear-no"),
        pytest.param(["intent", "lost", "void"], 2, "ready", id="absent"),
        pytest.param(["intent", "lost", "void", "submitted"], 1, "submitted", id="absent-and-then-there-after-all"),
        pytest.param(["intent", "submitted", "ended", "void"], 2, "ready", id="queue-full"),
        pytest.param(["intent", "submitted", "ended"], 1, "ended", id="over"),
        pytest.param(["intent", "submitted", "ended", "collected"], 1, "collected", id="in-our-hands"),
        pytest.param(["collected"], 1, "collected", id="only-the-last-word"),
    ],
)
def test_state_after(kinds, attempt, phase):
    shard = state_of(*map(event, kinds))

    assert (shard.attempt, shard.phase) == (attempt, phase)


def test_the_latest_attempt_is_the_one_that_counts():
    shard = state_of(
        event("intent"), event("void"), event("intent", attempt=2), event("submitted", attempt=2, at=2000.0)
    )

    assert (shard.attempt, shard.phase, shard.batch_id, shard.submitted_at) == (2, "submitted", "batch_2", 2000.0)


def test_a_shard_that_was_not_taken_is_not_sent_before_its_time():
    assert state_of(event("intent"), event("void", until=1234.5)).not_before == 1234.5
    assert state_of(event("intent"), event("void")).not_before == 0


def test_a_shard_that_was_split_is_its_parts_from_then_on():
    full = event("void", reason="queue full", limit=3)
    one, two = fold([event("prepared"), event("intent"), full, event("split", attempt=2)]).shards

    assert [one.name, two.name] == ["r1-00000-0-2", "r1-00000-3-4"]
    assert [(part.phase, part.attempt, part.limit, part.met_full_queue) for part in (one, two)] == [
        ("ready", 1, 3, None)
    ] * 2


def test_a_part_goes_on_and_is_split_like_a_shard():
    inner = [part_of(0, 0, 0), part_of(0, 1, 2)]
    manifest = fold(
        [
            event("prepared"),
            event("split"),
            event("split", part="0-2", shards=inner),
            event("submitted", part="3-4", batch_id="last"),
            event("submitted", part="0-0", batch_id="first"),
        ]
    )

    assert [(shard.name, shard.phase) for shard in manifest.shards] == [
        ("r1-00000-0-0", "submitted"),
        ("r1-00000-1-2", "ready"),
        ("r1-00000-3-4", "submitted"),
    ]
    assert manifest.batch_ids == ["first", "last"]


def test_a_split_and_an_intent_of_the_same_attempt_have_one_name():
    assert name_of(event("split", attempt=2)) == name_of(event("intent", attempt=2)) == "r1-00000.2.intent.json"


@pytest.mark.parametrize(
    ("voids", "alone", "limit"),
    [
        ([], 0, None),
        ([{"reason": "busy"}], 0, None),
        ([{"reason": "queue full", "limit": 9}], 0, 9),
        ([{"reason": "queue full", "limit": 9}, {"reason": "queue full", "until": 5.0}], 1, 9),
        (
            [{"reason": "queue full", "limit": 9, "until": 1.0}, {"reason": "queue full", "limit": 8, "until": 5.0}],
            2,
            8,
        ),
    ],
)
def test_what_a_shard_has_learned_of_the_queue(voids, alone, limit):
    shard = state_of(*(event("void", attempt=attempt, **void) for attempt, void in enumerate(voids, 1)))

    assert (shard.alone, shard.limit) == (alone, limit)


def test_a_lost_call_keeps_its_intent_and_the_time_of_its_end():
    shard = state_of(event("intent", until=1600.0), event("lost", at=1500.0))

    assert (shard.intent.until, shard.lost_at) == (1600.0, 1500.0)


def test_a_round_that_was_not_cut_completely_does_not_exist_yet():
    assert fold([event("intent"), event("submitted")]).rounds == []


def test_batches_are_listed_in_the_order_of_rounds_and_shards():
    two = [shard_of(number, 1) for number in range(2)]
    manifest = fold(
        [
            event("submitted", round_=2, batch_id="third"),
            event("submitted", shard=1, batch_id="second"),
            event("submitted", shard=0, batch_id="first"),
            event("prepared", round_=2),
            event("prepared", shards=two),
        ]
    )

    assert manifest.batch_ids == ["first", "second", "third"]


def test_a_round_is_collected_when_its_last_shard_is():
    two = [shard_of(number, 1) for number in range(2)]
    one = [event("prepared", shards=two), event("collected", shard=0)]

    assert not fold(one).rounds[0].is_collected
    assert fold([*one, event("collected", shard=1)]).rounds[0].is_collected


def test_shards_are_told_apart_by_their_phase():
    shards = [shard_of(number, 1) for number in range(3)]
    (round_,) = fold([event("prepared", shards=shards), event("intent", shard=2), event("submitted", shard=1)]).rounds

    assert [shard.shard.number for shard in round_.in_phase("ready", "unknown")] == [0, 2]
    assert round_.in_phase("ended") == []


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (event("prepared"), "r1.prepared.json"),
        (event("prepared", round_=12), "r12.prepared.json"),
        (event("intent"), "r1-00000.intent.json"),
        (event("intent", shard=99_999), "r1-99999.intent.json"),
        (event("intent", shard=123_456), "r1-123456.intent.json"),
        (event("void", attempt=2), "r1-00000.2.void.json"),
        (event("split", attempt=2), "r1-00000.2.intent.json"),
        (event("ended", part="500-749"), "r1-00000-500-749.ended.json"),
        (event("void", part="500-749", attempt=2), "r1-00000-500-749.2.void.json"),
    ],
)
def test_name_of(one, name):
    assert name_of(one) == name
    assert is_event(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "r1-00000.intent",
        "r1-0.intent.json",
        ".r1-00000.intent.json.0a.part",
        "r1-00000.intent.json.part",
        "copy of r1-00000.intent.json",
        "r1-00000.unheard-of.json",
        "r1-00000-5.intent.json",
        "r1-500-749.intent.json",
        "r1-00000.intent.json\n.bak",
    ],
)
def test_what_is_not_an_event_is_left_alone(name):
    assert not is_event(name)


# -- documents ---------------------------------------------------------------------------------------------------


GOOD = msgspec.json.decode(msgspec.json.encode(event("submitted")))


def read(**changes):
    document = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return read_event("r1-00000.submitted.json", msgspec.json.encode(document))


def test_fields_that_a_later_release_adds_are_left_alone():
    assert read(added_later={"a": 1}) == event("submitted")


def test_a_document_of_a_later_schema_is_refused_with_what_to_do():
    with pytest.raises(ManifestError, match=rf"has schema {SCHEMA + 1}; this release reads up to {SCHEMA}.*Install"):
        read(schema=SCHEMA + 1, kind="a kind of its own")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"schema": ...}, id="no-schema"),
        pytest.param({"schema": "1"}, id="schema-as-text"),
        pytest.param({"job": ...}, id="of-no-job"),
        pytest.param({"kind": "unheard-of"}, id="unknown-kind"),
        pytest.param({"at": None}, id="no-time"),
        pytest.param({"batch_id": ...}, id="submitted-without-a-batch"),
        pytest.param({"shard": ...}, id="of-no-shard"),
        pytest.param({"kind": "prepared"}, id="a-round-with-a-shard"),
        pytest.param({"shard": 1}, id="of-another-shard-than-its-name-says"),
        pytest.param({"part": "0-4"}, id="of-a-part-whose-name-it-does-not-have"),
        pytest.param({"attempt": 2}, id="of-another-attempt-than-its-name-says"),
        pytest.param({"kind": "intent"}, id="of-another-kind-than-its-name-says"),
    ],
)
def test_a_damaged_event_is_refused_and_never_taken_for_absent(changes):
    with pytest.raises(ManifestError, match=r"'r1-00000.submitted.json' is there but cannot be read.*Nothing was sub"):
        read(**changes)


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b'{"schema":1', b"\x00" * 20, b'"\xff"'])
def test_half_a_document_is_refused(document):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_event("r1-00000.submitted.json", document)


@given(cut=st.integers(0, len(msgspec.json.encode(GOOD)) - 1))
def test_a_document_that_was_cut_anywhere_is_refused(cut):
    with pytest.raises(ManifestError):
        read_event("r1-00000.submitted.json", msgspec.json.encode(GOOD)[:cut])


@pytest.mark.parametrize("kind", ["prepared", "submitted", "ended", "collected"])
def test_an_event_that_would_say_nothing_cannot_be_written(kind):
    with pytest.raises(ValueError, match="says nothing"):
        Event(schema=SCHEMA, job=JOB, kind=kind, round=1, at=0, shard=None if kind == "prepared" else 0)
