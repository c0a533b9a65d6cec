"""What a message of Anthropic's says: text, calls, thinking, and why it stopped."""

import json

import pytest

from airflow_provider_llmbatch.core.results import NO_USAGE, TRUNCATED, ToolCall, Usage
from airflow_provider_llmbatch.hooks.calls import Marker
from tests.hooks.asks import TOOLS, anthropic, make, user

TEXT = {"type": "text", "text": "a"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "a"}}


def parse(bench, *content, stop_reason="end_turn", **more):
    message = {
        "model": "m",
        "content": list(content),
        "stop_reason": stop_reason,
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    line = {"custom_id": "x", "result": {"type": "succeeded", "message": message | more}}
    return bench("anthropic").hook.parse(json.dumps(line).encode())


def thinking(text):
    return {"type": "thinking", "thinking": text, "signature": "c2ln"}


# -- what it was billed as -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "is_full_price"),
    [({}, False), ({"service_tier": None}, False), ({"service_tier": "batch"}, False)]
    + [({"service_tier": tier}, True) for tier in ("standard", "priority")],
)
@pytest.mark.parametrize("reason", ["end_turn", "refusal"])
def test_an_answer_says_whether_it_was_billed_as_part_of_a_batch(bench, tier, is_full_price, reason):
    usage = {"input_tokens": 5, "output_tokens": 2} | tier

    assert parse(bench, TEXT, stop_reason=reason, usage=usage).is_full_price is is_full_price


# -- what it holds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param([TEXT, {"type": "text", "text": "b"}], {"output": "ab", "tool_calls": None}, id="texts"),
        pytest.param([], {"output": "", "tool_calls": None}, id="nothing"),
        pytest.param(
            [CALL, CALL | {"id": "toolu_2", "input": {}}],
            {
                "output": None,
                "tool_calls": [
                    ToolCall("toolu_1", "get_weather", {"city": "Rome"}),
                    ToolCall("toolu_2", "get_weather", {}),
                ],
            },
            id="calls",
        ),
        pytest.param(
            [TEXT, CALL],
            {"output": "a", "tool_calls": [ToolCall("toolu_1", "get_weather", {"city": "Rome"})]},
            id="a-text-and-a-call",
        ),
        pytest.param(
            [SEARCH, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}, TEXT],
            {"output": "a", "tool_calls": None},
            id="calls-that-the-vendor-makes-itself-are-not-ours",
        ),
        pytest.param(
            [thinking("one"), TEXT, thinking("two")], {"output": "a", "thinking": "one\n\ntwo"}, id="thinking"
        ),
        pytest.param([thinking(""), TEXT], {"output": "a", "thinking": None}, id="thinking-that-is-not-shown"),
        pytest.param(
            [{"type": "redacted_thinking", "data": "c2ln"}, TEXT],
            {"output": "a", "thinking": None},
            id="redacted-thinking",
        ),
    ],
)
def test_a_complete_answer_is_read(bench, content, expected):
    found = parse(bench, *content)

    assert (found.status, found.remedy, found.error_code) == ("succeeded", "none", None)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("reason", ["end_turn", "stop_sequence", "tool_use", "a_reason_of_tomorrow", None])
def test_an_answer_that_stopped_as_it_should_is_a_success(bench, reason):
    found = parse(bench, TEXT, stop_reason=reason)

    assert (found.status, found.finish_reason) == ("succeeded", reason)


# -- why it stopped --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "status", "code", "remedy"),
    [
        ("refusal", "errored", "refusal", "never"),
        ("max_tokens", "invalid", TRUNCATED, "change"),
        ("model_context_window_exceeded", "invalid", "model_context_window_exceeded", "change"),
        ("pause_turn", "errored", "pause_turn", "change"),
        ("compaction", "errored", "compaction", "change"),
    ],
)
class TestAnAnswerThatIsNoneThoughItIsBilled:
    def test_has_a_verdict_and_keeps_what_came_and_what_it_cost(self, bench, reason, status, code, remedy):
        found = parse(bench, thinking("hm"), TEXT, stop_reason=reason)

        assert (found.status, found.error_code, found.remedy) == (status, code, remedy)
        assert (found.output, found.thinking, found.finish_reason, found.model) == ("a", "hm", reason, "m")
        assert found.usage == Usage(input=5, output=2)
        assert found.error_message.endswith("what came was billed.")

    def test_shows_no_calls_since_they_may_be_cut_off(self, bench, reason, status, code, remedy):
        assert parse(bench, CALL, stop_reason=reason).tool_calls is None

    def test_shows_nothing_where_nothing_came(self, bench, reason, status, code, remedy):
        assert parse(bench, stop_reason=reason).output is None


@pytest.mark.parametrize(
    ("details", "message"),
    [
        (None, "The model refused; what came was billed."),
        ({"type": "refusal", "category": None, "explanation": None}, "The model refused; what came was billed."),
        ({"type": "refusal", "category": "cyber"}, "The model refused (cyber); what came was billed."),
        (
            {"type": "refusal", "category": "bio", "explanation": "It is dangerous."},
            "The model refused (bio: It is dangerous.); what came was billed.",
        ),
    ],
    ids=["none", "null", "category", "explanation"],
)
def test_a_refusal_says_why(bench, details, message):
    assert parse(bench, stop_reason="refusal", stop_details=details).error_message == message


@pytest.mark.parametrize(("kind", "status"), [("canceled", "cancelled"), ("expired", "expired")])
def test_what_was_never_asked_may_be_asked_again(bench, kind, status):
    found = bench("anthropic").hook.parse(json.dumps({"custom_id": "x", "result": {"type": kind}}).encode())

    assert (found.status, found.error_code, found.remedy, found.usage) == (status, kind, "retry", NO_USAGE)


def test_the_emulator_answers_with_a_call_and_cuts_an_answer_short(emulator, tmp_path):
    """The whole way, through the SDK: one request that calls, and one that is too short for its answer."""
    hook = anthropic(base_url=emulator.anthropic_url)
    emulator.set_options(reasoning_tokens=7)
    asks = [
        {"messages": [user("Weather in Rome?")], "tools": TOOLS[:1], "params": {"tool_choice": {"type": "any"}}},
        {"messages": [user("Tell me a long story of a fox and a dog.")], "max_tokens": 1},
    ]
    lines = [hook.encode(f"a-1-{number}", make(ask), None).line for number, ask in enumerate(asks)]
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"".join(lines))
    batch = hook.create(path, {}, Marker(job="a", shard="r1-00000", sha256="ab" * 32, count=2, since=0.0))
    emulator.advance(3600)

    hook.download(batch, tmp_path / "results.jsonl")

    found = {
        json.loads(line)["custom_id"]: hook.parse(line)
        for line in (tmp_path / "results.jsonl").read_bytes().splitlines()
    }
    assert [call.name for call in found["a-1-0"].tool_calls] == ["get_weather"]
    assert (found["a-1-1"].status, found["a-1-1"].error_code) == ("invalid", TRUNCATED)
    assert found["a-1-1"].usage.output == 1
