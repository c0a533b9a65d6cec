"""A paid call whose answer was lost: which batches in the vendor's list are, or may be, its own."""

import pytest

from airflow_provider_llmbatch.hooks.calls import Marker

MARKER = Marker(job="0123456789", shard="r1-00000", sha256="ab" * 32, count=2, since=1795341600.0)
BATCHES = {"openai": "/v1/batches", "anthropic": "/v1/messages/batches"}


def listed(vendor, **facts):
    """Return a list of one batch, as the vendor shows it."""
    own = {
        "openai": {"created_at": facts["at"], "metadata": facts.get("metadata", {})},
        "anthropic": {"created_at": facts["at"], "request_counts": {"processing": facts.get("total", 2)}},
    }
    return (200, {"data": [{"id": "batch_1", **own[vendor]}], "has_more": False})


def find(one, known=()):
    sighting = one.hook.run(one.hook.find(MARKER, known))
    return sighting.certain and sighting.certain.batch_id, [batch.batch_id for batch in sighting.candidates]


def test_the_whole_list_back_to_the_intent_is_searched(bench, vendor):
    def page(*batches, more=True):
        found = [
            {"id": name, "created_at": MARKER.since + age, "metadata": MARKER.as_metadata() if ours else {}}
            | ({"request_counts": {"processing": 2 if ours else 3}} if vendor == "anthropic" else {})
            for name, age, ours in batches
        ]
        return (200, {"data": found, "has_more": more})

    one = bench(vendor).reply(
        page(("c", 60, False), ("b", 50, False)),
        page(("ours", 10, True), ("old", -5000, False)),
        page(("never read", -6000, False), more=False),
    )

    certain, candidates = find(one)

    assert (certain or candidates[0]) == "ours"
    assert len(one.wire.calls) == 2


def test_openais_metadata_is_proof(bench):
    ours = MARKER.as_metadata()

    assert find(bench("openai").reply(listed("openai", at=MARKER.since, metadata=ours | {"more": "x"}))) == (
        "batch_1",
        [],
    )
    for other in [{}, ours | {"llmbatch_shard": "r1-00001"}, ours | {"llmbatch_sha256": "cd" * 32}]:
        assert find(bench("openai").reply(listed("openai", at=MARKER.since, metadata=other))) == (None, [])


@pytest.mark.parametrize(("total", "found"), [(2, ["batch_1"]), (3, [])])
def test_anthropics_batches_of_that_time_and_size_are_candidates(bench, total, found):
    assert find(bench("anthropic").reply(listed("anthropic", at=MARKER.since, total=total))) == (None, found)


@pytest.mark.parametrize(("seconds", "seen"), [(-301, False), (-299, True), (0, True), (10_000, True)])
def test_batches_from_before_the_intent_are_not_ours_but_for_a_difference_of_clocks(bench, vendor, seconds, seen):
    one = bench(vendor).reply(listed(vendor, at=MARKER.since + seconds, metadata=MARKER.as_metadata()))

    certain, candidates = find(one)

    assert bool(certain or candidates) is seen


def test_a_batch_whose_story_is_known_is_not_found_again(bench, vendor):
    one = bench(vendor).reply(listed(vendor, at=MARKER.since, metadata=MARKER.as_metadata()))

    assert find(one, known={"batch_1"}) == (None, [])
