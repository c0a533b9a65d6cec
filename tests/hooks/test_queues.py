"""What the vendor's queues hold, as its admin endpoints tell."""

import pytest

from airflow_provider_llmbatch.exceptions import CredentialError, InputError, UnavailableError
from tests.hooks.conftest import KEY

ADMIN_KEY = "sk-admin-0123456789abcdef"


def limit(model, tokens=None):
    found = {"id": f"rl-{model}", "object": "project.rate_limit", "model": model, "max_requests_per_1_minute": 1}
    return found if tokens is None else found | {"batch_1_day_max_input_tokens": tokens}


def group(*limits):
    return {"type": "rate_limit", "limits": [{"type": name, "value": value} for name, value in limits], "models": None}


def test_openai_tells_it_by_model_in_pages(bench):
    one = bench("openai", admin_key=ADMIN_KEY, project="proj_1").reply(
        (200, {"data": [limit("a", 90_000), limit("b")], "has_more": True, "last_id": "rl-b"}),
        (200, {"data": [limit("c", 2_000_000)], "has_more": False, "last_id": "rl-c"}),
    )

    assert one.hook.read_queues() == {"a": 90_000, "c": 2_000_000}
    assert one.wire.asked == [
        "GET /v1/organization/projects/proj_1/rate_limits?limit=100",
        "GET /v1/organization/projects/proj_1/rate_limits?limit=100&after=rl-b",
    ]


@pytest.mark.parametrize(
    ("groups", "queues"),
    [
        ([group(("requests_per_minute", 4_000), ("enqueued_batch_requests", 500_000))], {"": 500_000}),
        ([group(("requests_per_minute", 4_000))], {}),
        ([], {}),
    ],
    ids=["both", "another-limiter", "none"],
)
def test_anthropic_tells_it_for_the_organization(bench, groups, queues):
    one = bench("anthropic", admin_key=ADMIN_KEY).reply((200, {"data": groups, "next_page": None}))

    assert one.hook.read_queues() == queues
    assert one.wire.asked == ["GET /v1/organizations/rate_limits?group_type=batch"]


def test_the_admin_key_opens_this_call_and_no_other(bench, vendor):
    one = bench(vendor, admin_key=ADMIN_KEY, project="proj_1").reply((200, {"data": []}))

    one.hook.read_queues()
    one.hook.preflight()

    keys = [call.headers.get("x-api-key") or call.headers["authorization"] for call in one.wire.calls]
    assert [key.removeprefix("Bearer ") for key in keys] == [ADMIN_KEY, KEY]


def test_a_refusal_that_repeats_the_admin_key_does_not_make_us_repeat_it(bench, vendor):
    one = bench(vendor, admin_key=ADMIN_KEY, project="proj_1")
    one.reply((401, {"error": {"message": f"no: {ADMIN_KEY}"}}))

    with pytest.raises(CredentialError) as caught:
        one.hook.read_queues()

    assert "no: ***" in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", [], {}, {"data": [{"limits": 1, "model": 1}]}], ids=str)
def test_an_answer_of_another_shape_is_an_error_of_ours(bench, vendor, body):
    one = bench(vendor, admin_key=ADMIN_KEY, project="proj_1").reply((200, body))

    with pytest.raises(UnavailableError, match="cannot be read"):
        one.hook.read_queues()


def test_openai_needs_to_know_the_project(bench):
    with pytest.raises(InputError, match="has an admin_key and names no project"):
        bench("openai", admin_key=ADMIN_KEY).hook.read_queues()
