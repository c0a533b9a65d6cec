"""The cut: every request in exactly one shard, no shard above its limits, order kept."""

from collections import defaultdict
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.core.requests import Requests
from airflow_provider_llmbatch.core.shards import Cutter
from airflow_provider_llmbatch.exceptions import RequestTooLargeError

LIMITS = Limits(
    max_requests=3, max_bytes=100, max_inputs=None, source="https://vendor.invalid/limits", checked=date(2026, 11, 22)
)


def cut(lines, limits=LIMITS):
    """Return the shards as lists of (index, size, lane)."""
    cutter = Cutter(limits)
    shards = defaultdict(list)
    for index, (size, lane) in enumerate(lines):
        shards[cutter.place(request(size, lane, index=index))].append((index, size, lane))
    return dict(shards)


def request(size, lane="m", inputs=0, index=0):
    return Requests(index, 1, b"x" * size, lane, inputs)


@pytest.mark.parametrize(
    ("sizes", "changes", "counts"),
    [
        pytest.param([], {}, [], id="no-input-no-shards"),
        pytest.param([10], {}, [1], id="one"),
        pytest.param([10] * 3, {}, [3], id="exactly-full-by-count"),
        pytest.param([10] * 4, {}, [3, 1], id="one-over-by-count"),
        pytest.param([50, 50], {}, [2], id="exactly-full-by-bytes"),
        pytest.param([50, 51], {}, [1, 1], id="one-byte-over"),
        pytest.param([100], {}, [1], id="as-large-as-a-shard"),
        pytest.param([100, 1, 100], {}, [1, 1, 1], id="order-is-kept-not-packed"),
        pytest.param([50, 50], {"envelope_bytes": 1}, [1, 1], id="the-envelope-counts"),
        pytest.param([49, 50], {"envelope_bytes": 1}, [2], id="full-with-the-envelope"),
    ],
)
def test_cut(sizes, changes, counts):
    shards = cut([(size, "m") for size in sizes], replace(LIMITS, **changes))

    assert [len(shard) for shard in shards.values()] == counts


def test_a_first_request_may_be_alone_and_the_others_go_on_as_ever():
    cutter = Cutter(LIMITS, first_alone=True)

    places = [cutter.place(request(10, lane, index=index)) for index, lane in enumerate("aaabaaabbb")]

    assert places == [0, 1, 1, 2, 1, 3, 3, 2, 2, 4]
    assert cutter.place(Requests(10, 2, b"x" * 20, "new")) is None


def test_lanes_are_kept_apart_and_each_fills_its_own_shards():
    shards = cut([(10, lane) for lane in "ababaabb"])

    assert ["".join(lane for _, _, lane in shard) for shard in shards.values()] == ["aaa", "bbb", "a", "b"]


@pytest.mark.parametrize(
    ("inputs", "counts"), [([2, 2, 1], [2, 1]), ([4, 1], [1, 1]), ([1, 3], [2]), ([0, 0, 4], [3]), ([0, 4, 0], [3])]
)
def test_inputs_are_counted_over_all_requests_of_a_shard(inputs, counts):
    cutter = Cutter(replace(LIMITS, max_inputs=4))
    placed = [cutter.place(request(1, inputs=count)) for count in inputs]

    assert [placed.count(number) for number in sorted(set(placed))] == counts


def test_a_request_with_more_inputs_than_a_batch_takes_is_refused():
    with pytest.raises(RequestTooLargeError, match=r"record 3: its request has 5 inputs; one batch takes at most 4"):
        Cutter(replace(LIMITS, max_inputs=4)).place(request(1, inputs=5, index=3))


@pytest.mark.parametrize(("size", "envelope", "room"), [(101, 0, "100"), (100, 1, "99")])
def test_a_request_that_fits_no_shard_is_refused_before_anything_is_sent(size, envelope, room):
    with pytest.raises(
        RequestTooLargeError,
        match=f"record 0: its request is {size} bytes; one batch takes at most {room} .*vendor.invalid.*Nothing",
    ) as caught:
        cut([(size, "m")], replace(LIMITS, envelope_bytes=envelope))

    assert caught.value.context == {"index": 0, "bytes": size}


def test_a_refused_request_leaves_the_cut_as_it_was():
    cutter = Cutter(LIMITS)
    cutter.place(request(10))
    with pytest.raises(RequestTooLargeError):
        cutter.place(request(101))

    assert cutter.place(request(90)) == 0


@given(
    lines=st.lists(st.tuples(st.integers(1, 60), st.sampled_from("abc")), max_size=60),
    max_requests=st.integers(1, 7),
    max_bytes=st.integers(60, 150),
    envelope=st.integers(0, 20),
)
def test_every_request_lands_in_exactly_one_shard_and_no_shard_is_above_its_limits(
    lines, max_requests, max_bytes, envelope
):
    limits = replace(
        LIMITS,
        max_requests=max_requests,
        max_bytes=max_bytes + envelope,
        envelope_bytes=envelope,
    )

    shards = cut(lines, limits)

    placed = [line for shard in shards.values() for line in shard]
    assert sorted(placed) == [(index, size, lane) for index, (size, lane) in enumerate(lines)]
    assert sorted(shards) == list(range(len(shards)))
    for shard in shards.values():
        assert len(shard) <= max_requests
        assert sum(size for _, size, _ in shard) <= limits.max_bytes - envelope
        assert [index for index, _, _ in shard] == sorted(index for index, _, _ in shard)
        assert len({lane for _, _, lane in shard}) == 1


@given(lines=st.lists(st.tuples(st.integers(1, 60), st.sampled_from("ab")), max_size=60))
def test_a_shard_that_is_called_full_gets_nothing_more(lines):
    cutter = Cutter(LIMITS)
    full = set()
    for index, (size, lane) in enumerate(lines):
        place = cutter.place(request(size, lane, index=index))
        assert place not in full
        full |= {number for number in range(place + 1) if cutter.is_full(number)}


@given(sizes=st.lists(st.integers(1, 60), min_size=2, max_size=60))
def test_within_a_lane_a_shard_is_full_before_the_next_begins(sizes):
    shards = list(cut([(size, "m") for size in sizes]).values())

    for shard, following in pairwise(shards):
        filled = sum(size for _, size, _ in shard)
        assert len(shard) == LIMITS.max_requests or filled + following[0][1] > LIMITS.max_bytes


@given(sizes=st.lists(st.integers(2, 60), min_size=1, max_size=60), inputs=st.integers(0, 3), many=st.integers(1, 60))
def test_many_at_once_are_cut_as_one_by_one(sizes, inputs, many):
    limits = replace(LIMITS, max_inputs=8)
    lines = [b"x" * (size - 1) + b"\n" for size in sizes]
    singly, together = Cutter(limits), Cutter(limits)
    expected = [singly.place(Requests(index, 1, line, "m", inputs)) for index, line in enumerate(lines)]
    places = {}

    def place(requests):
        number = together.place(requests)
        if number is None:
            for half in requests.halves():
                place(half)
        else:
            for index in range(requests.first, requests.first + requests.total):
                places[index] = number

    for first in range(0, len(lines), many):
        some = lines[first : first + many]
        place(Requests(first, len(some), b"".join(some), "m", inputs))

    assert [places[index] for index in range(len(lines))] == expected
