"""A shard that never gets into the vendor's queue is asked in parts: once each, whatever crashes."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llmbatch.engine import advance
from airflow_provider_llmbatch.engine.collect import collect
from airflow_provider_llmbatch.engine.split import split_large
from airflow_provider_llmbatch.exceptions import RequestTooLargeError
from tests.engine.crash import crash_and_go_on
from tests.engine.test_window import (
    ADMIN_KEYS,
    BATCH_SECONDS,
    PER_BATCH,
    bench,  # noqa: F401 - the fixture
    make,
    openai_only,
    refused,
    run,
)

MANY = [{"n": number, "text": f"text number {number:02} " + "of some length, " * 125} for number in range(12)]
LONG = MANY[:6]
"""Long enough that our guess of their tokens is not far off."""
LIMIT = 2_800
"""Prompt tokens: less than LONG has, and enough for three by our guess."""


def hold_three(emulator) -> None:
    """Let either vendor's queue hold three of LONG."""
    emulator.set_options(enqueued_tokens={"*": LIMIT}, queued_requests=3)


def asked(emulator) -> list[int]:
    """Return how many requests each batch that ran had, in the order of their creation."""
    return [batch["requests"] for batch in emulator.bill()["batches"] if batch["status"] != "failed"]


@pytest.fixture
def whole(bench):  # noqa: F811
    """The vendor, with shards that take all of LONG."""
    bench.connect(max_requests=len(LONG))
    return bench


def test_a_shard_that_the_vendors_limit_refuses_is_asked_in_parts_that_fit(whole, emulator, tmp_path):
    hold_three(emulator)

    seen = run(whole, emulator, tmp_path, LONG)

    assert refused(emulator) == 1
    assert asked(emulator) == [3, 3]
    assert max(seen) == 1


def test_a_shard_that_a_known_limit_would_refuse_is_not_sent_whole(whole, emulator, tmp_path):
    hold_three(emulator)
    whole.connect(max_requests=len(LONG), admin_key=ADMIN_KEYS[whole.vendor], project="proj_1")

    run(whole, emulator, tmp_path, LONG)

    assert refused(emulator) == 0
    assert asked(emulator) == [3, 3]


def test_parts_of_several_shards_of_several_rounds_land_in_order(bench, emulator, tmp_path):  # noqa: F811
    emulator.set_options(queued_requests=3, enqueued_tokens={"*": LIMIT // 3})
    bench.connect(max_requests=PER_BATCH, admin_key=ADMIN_KEYS[bench.vendor], project="proj_1")
    emulator.fault("*.batches.create", row="server_error", index=[0, 7], once=True)

    run(bench, emulator, tmp_path, MANY)

    assert refused(emulator) == 0
    assert sum(asked(emulator)) == len(MANY) + 2


@openai_only
def test_a_shard_that_is_refused_alone_again_and_again_is_halved(whole, emulator, tmp_path):
    emulator.fault("openai.batches.create", fail="token_limit_exceeded", times=4)

    run(whole, emulator, tmp_path, LONG[:5])

    assert refused(emulator) == 4
    assert asked(emulator) == [3, 2]


@openai_only
def test_a_shard_that_others_keep_out_a_few_times_stays_whole(whole, emulator, tmp_path):
    emulator.fault("openai.batches.create", fail="token_limit_exceeded", times=3)

    run(whole, emulator, tmp_path, LONG[:5])

    assert asked(emulator) == [5]


@openai_only
def test_a_request_that_alone_exceeds_the_limit_is_named_and_asked_once_the_limit_is_raised(whole, emulator, tmp_path):
    emulator.set_options(enqueued_tokens={"*": 90})

    with pytest.raises(RequestTooLargeError, match=r"record 0: .* some [67]\d\d tokens, .* holds 90\. .*not billed"):
        run(whole, emulator, tmp_path, LONG)

    assert emulator.bill()["total"]["requests_billed"] == 0
    emulator.set_options(enqueued_tokens={"*": LIMIT})
    run(whole, emulator, tmp_path, LONG)


def test_a_request_that_alone_exceeds_the_tasks_own_limit_is_named_before_anything_is_sent(whole, emulator, tmp_path):
    with pytest.raises(
        RequestTooLargeError, match=r"record 0: its request is .* bytes; .*max_enqueued_tokens=90, 3 by"
    ):
        advance(make(whole, tmp_path, LONG, max_enqueued_tokens=90))

    assert "*.batches.create" not in emulator.counts()


# -- crashes and rivals ------------------------------------------------------------------------------------------


def two_at_work(whole, emulator, folder):
    """Return two processes at the same point: the job's only shard was refused and waits."""
    hold_three(emulator)
    advance(make(whole, folder, LONG))
    emulator.advance(BATCH_SECONDS)
    first, second = make(whole, folder, LONG), make(whole, folder, LONG)
    first.refresh()
    collect(first)
    second.refresh()
    return first, second


def test_two_that_split_a_shard_at_once_agree_on_its_parts(whole, emulator, tmp_path):
    first, second = two_at_work(whole, emulator, tmp_path)

    split_large(first)
    split_large(second)

    for job in (first, second):
        assert [shard.name for shard in job.manifest.shards] == ["r1-00000-0-2", "r1-00000-3-5"]
    run(whole, emulator, tmp_path, LONG)
    assert asked(emulator) == [3, 3]


def test_a_shard_that_a_rival_sends_is_not_split(whole, emulator, tmp_path):
    first, second = two_at_work(whole, emulator, tmp_path)
    (shard,) = first.manifest.shards
    first.record("intent", shard, until=first.clock())

    split_large(second)

    assert [(shard.name, shard.phase) for shard in second.manifest.shards] == [("r1-00000", "unknown")]


@pytest.mark.slow
def test_a_crash_anywhere_around_a_split_is_paid_for_once_and_loses_nothing(scene):
    lines = (json.dumps(record) + "\n" for record in LONG)
    (scene.folder / "in.jsonl").write_text("".join(lines))
    scene.faults = []
    hold_three(scene.emulator)
    scene.fresh()
    scene.counter.arm(None)
    undisturbed = scene.run()
    points = list(scene.counter.passed)
    paid = ran(scene)
    assert [count for count, _ in paid] == [3, 3]
    assert sum("r1-00000-0-2" in point for point in points) >= 2

    crash_and_go_on(scene, enumerate(points), undisturbed, paid, lambda: ran(scene))
    print(f"\n{len(points)} crashes around a split ({scene.bench.vendor}, {scene.shape} operators): 2 batches paid")


def ran(scene) -> list[tuple[int, str]]:
    """Return requests and digest of every batch that was not refused, in no order."""
    batches = scene.emulator.bill()["batches"]
    return sorted((batch["requests"], batch["sha256"]) for batch in batches if batch["status"] != "failed")
