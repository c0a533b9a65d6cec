"""What OpenAI is asked: which endpoint, in whose words, and what is stopped before it is sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.requests import SAME, Change
from airflow_provider_llmbatch.core.schemas import OutputSchema, Tool
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks._openai_endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from tests.hooks.asks import GOLDEN, OPENAI, PAPER, PICTURE, document, image, make, openai_request, user

HOOK = OpenAIBatchHook("not_read")
HELLO = [user("Hello")]
SCHEMA = OutputSchema(name="Answer", schema={}, wire={"type": "object"}, is_strict=True)
TOOL = Tool(name="f", description="Does it.", parameters={"type": "object"})


def encode(endpoint=None, model="gpt-6-luna", **parts):
    return HOOK.encode("id-1-0", make({"messages": []} | parts, model), endpoint)


def line(endpoint=None, **parts):
    return json.loads(encode(endpoint, **parts).line)


def body(endpoint=None, **parts):
    return line(endpoint, **parts)["body"]


@pytest.mark.parametrize("name", OPENAI)
def test_a_request_is_the_same_bytes_as_ever(name):
    lines = (GOLDEN / "openai-features.jsonl").read_bytes().splitlines(keepends=True)

    assert openai_request(name).line == lines[list(OPENAI).index(name)]


# -- which endpoint --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "endpoint"),
    [
        ({"messages": HELLO}, CHAT),
        ({"messages": HELLO, "body": {"temperature": 0}}, CHAT),
        ({"messages": HELLO, "body": {"a_parameter_of_tomorrow": 1}}, CHAT),
        ({"messages": HELLO, "params": {"reasoning": {"effort": "low"}}}, CHAT),
        ({"body": {"messages": HELLO}}, CHAT),
        ({"body": {"messages": HELLO, "input": None}}, CHAT),
        ({"body": {"prompt": "Once"}}, COMPLETIONS),
        ({"body": {"prompt": ["Once"], "n": 1}}, COMPLETIONS),
        ({"body": {"prompt": {"id": "pmpt_1"}}}, RESPONSES),
        ({"body": {"input": "Hello", "prompt": {"id": "pmpt_1"}}}, RESPONSES),
        ({"body": {"input": "Hello", "instructions": "Be brief."}}, RESPONSES),
        ({"body": {"input": "Hello", "max_output_tokens": 5}}, RESPONSES),
        ({"body": {"input": "Hello", "text": {"verbosity": "low"}}}, RESPONSES),
        ({"body": {"input": "Hello", "reasoning": {"effort": "low"}}}, RESPONSES),
        ({"body": {"input": "Hello", "tools": []}}, RESPONSES),
        ({"messages": HELLO, "body": {"reasoning": {"effort": "low"}}}, RESPONSES),
        ({"body": {"input": "Hello", "dimensions": 256}}, EMBEDDINGS),
        ({"body": {"input": "Hello", "encoding_format": "float"}}, EMBEDDINGS),
        ({"body": {"input": "Hello"}, "params": {"dimensions": 256}}, EMBEDDINGS),
    ],
)
def test_the_endpoint_is_the_only_one_that_the_body_fits(parts, endpoint):
    assert line(**parts)["url"] == endpoint


@pytest.mark.parametrize("endpoint", [RESPONSES, EMBEDDINGS, MODERATIONS])
def test_what_fits_several_endpoints_is_asked_of_the_one_that_is_stated(endpoint):
    assert line(endpoint, body={"input": "Hello"})["url"] == endpoint


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"body": {"input": "Hello"}}, f"'input', which {RESPONSES}, {EMBEDDINGS}, {MODERATIONS} all take"),
        ({"body": {"input": "Hello", "user": "u"}}, f"'input', 'user', which {RESPONSES}, {EMBEDDINGS} all take"),
        ({"body": {"messages": HELLO, "input": "Hello"}}, "'input', 'messages', which do not go together"),
        ({"body": {"prompt": "Once", "instructions": "a"}}, "'instructions', 'prompt', which do not go together"),
        ({"endpoint": RESPONSES, "body": {"messages": HELLO}}, f"endpoint '{RESPONSES}' takes no 'messages'"),
        ({"endpoint": RESPONSES, "body": {"prompt": "Once"}}, f"endpoint '{RESPONSES}' takes no 'prompt'"),
        ({"endpoint": CHAT, "messages": HELLO, "body": {"input": "a"}}, f"endpoint '{CHAT}' takes no 'input'"),
        ({"endpoint": EMBEDDINGS, "body": {"prompt": "Once"}}, f"endpoint '{EMBEDDINGS}' takes no 'prompt'"),
        ({"endpoint": "/v1/videos", "messages": HELLO}, "endpoint '/v1/videos': OpenAI requests can be made for"),
        ({"messages": HELLO, "model": "text-embedding-3-small"}, f"State endpoint='{EMBEDDINGS}'"),
        ({"messages": HELLO, "model": "omni-moderation-latest"}, f"State endpoint='{MODERATIONS}'"),
        ({"messages": HELLO, "model": "text-moderation-stable"}, f"State endpoint='{MODERATIONS}'"),
        (
            {"body": {"input": "Hello", "instructions": "a"}, "model": "text-embedding-3-small"},
            f"does not answer at {RESPONSES}",
        ),
    ],
)
def test_what_cannot_be_told_is_not_guessed(parts, message):
    with pytest.raises(InputError, match=r"Nothing was sent\.") as caught:
        encode(**parts)

    assert message in str(caught.value)


def test_a_stated_endpoint_may_be_asked_with_any_model():
    """A look-alike names its models as it likes."""
    assert line(CHAT, messages=HELLO, model="text-embedding-chat")["url"] == CHAT


# -- what is stopped -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["body", "params"])
@pytest.mark.parametrize(
    ("endpoint", "name", "value", "harmless"),
    [
        (CHAT, "stream", True, False),
        (COMPLETIONS, "stream", True, False),
        (RESPONSES, "stream", True, None),
        (RESPONSES, "background", True, False),
        (RESPONSES, "previous_response_id", "resp_1", None),
        (RESPONSES, "conversation", {"id": "conv_1"}, None),
        (CHAT, "n", 2, 1),
        (COMPLETIONS, "n", 3, None),
    ],
)
def test_what_a_batch_cannot_do_is_stopped_before_it_is_paid(endpoint, name, value, harmless, place):
    with pytest.raises(InputError, match=rf"'{name}' cannot be asked in a batch: .* Nothing was sent\. Leave it out\."):
        encode(endpoint, messages=HELLO, **{place: {name: value}})
    assert encode(endpoint, messages=HELLO, **{place: {name: harmless}})


@pytest.mark.parametrize("endpoint", [EMBEDDINGS, COMPLETIONS, MODERATIONS])
@pytest.mark.parametrize(
    "parts",
    [
        {"messages": HELLO, "output": SCHEMA},
        {"messages": HELLO, "tools": [TOOL]},
        {"messages": HELLO, "system": "Be brief."},
        {"messages": [user("a"), user("b")]},
        {"messages": [{"role": "system", "content": "a"}]},
    ],
    ids=["output", "tools", "system", "turns", "system-turn"],
)
def test_an_endpoint_without_turns_loses_nothing_silently(endpoint, parts):
    with pytest.raises(InputError, match=rf"{endpoint} .* Nothing was sent\..* {CHAT} or {RESPONSES}"):
        encode(endpoint, **parts)


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS, MODERATIONS])
def test_a_request_that_asks_nothing_is_not_sent(endpoint):
    with pytest.raises(InputError, match=r"nothing to ask .* Nothing was sent"):
        encode(endpoint, body={"model": "m"})


def test_results_of_tools_are_no_turns_of_the_responses_endpoint():
    turns = [user("a"), {"role": "tool", "tool_call_id": "call_1", "content": "b"}]

    assert body(CHAT, messages=turns)["messages"] == turns
    with pytest.raises(InputError, match=r"Nothing was sent\. Give them in body="):
        encode(RESPONSES, messages=turns)


# -- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "part", "message"),
    [
        (CHAT, image("file-1"), f"{CHAT} takes no image by file id"),
        (CHAT, document("https://example.org/a.pdf"), f"{CHAT} takes no document by URL"),
        (MODERATIONS, document(PAPER), f"{MODERATIONS} takes no document by data: URL"),
    ],
)
def test_a_part_that_an_endpoint_does_not_take_is_sent_to_the_one_that_does(endpoint, part, message):
    with pytest.raises(InputError, match=rf"{message}. Nothing was sent. {RESPONSES} does"):
        encode(endpoint, messages=[user([part])])


@pytest.mark.parametrize("endpoint", [EMBEDDINGS, COMPLETIONS])
def test_where_only_text_is_taken_other_parts_are_not(endpoint):
    with pytest.raises(InputError, match=rf"{endpoint} takes text only.* Nothing was sent"):
        encode(endpoint, messages=[user([image(PICTURE)])])


@pytest.mark.parametrize(
    "source", ["/tmp/secret.png", "secret.png", "s3://bucket/secret.png", "data:image/png,secret", "secret\n", ""]
)
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_a_source_that_the_vendor_cannot_read_is_refused_without_repeating_it(endpoint, source):
    with pytest.raises(InputError, match=r"neither an https URL.* Nothing was sent") as caught:
        encode(endpoint, messages=[user([image(source)])])

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("media", "name"),
    [
        ("application/pdf", "document.pdf"),
        ("text/plain;charset=utf-8", "document.txt"),
        ("text/csv", "document.csv"),
        ("application/x-unheard-of", "document"),
    ],
)
def test_a_document_has_a_name_by_which_the_vendor_tells_what_it_is(media, name):
    part = document(f"data:{media};base64,YQ==")

    assert body(CHAT, messages=[user([part])])["messages"][0]["content"][0]["file"]["filename"] == name
    assert body(RESPONSES, messages=[user([part])])["input"][0]["content"][0]["filename"] == name


def test_parts_of_the_system_text_and_of_other_turns_are_translated_too():
    turns = [{"role": "developer", "content": [image(PICTURE)]}, {"role": "assistant", "content": [image(PICTURE)]}]

    kinds = [turn["content"][0]["type"] for turn in body(RESPONSES, messages=turns)["input"]]

    assert kinds == ["input_image", "input_image"]


# -- whose word counts -----------------------------------------------------------------------------------------------


def test_the_task_wins_over_the_body_and_the_params_win_over_both():
    given = {"body": {"tools": ["body"], "response_format": "body"}, "messages": HELLO}

    asked = body(CHAT, **given, tools=[TOOL], output=SCHEMA)
    overruled = body(CHAT, **given, tools=[TOOL], output=SCHEMA, params={"tools": [], "response_format": None})

    assert asked["tools"][0]["function"]["name"] == "f"
    assert asked["response_format"]["json_schema"]["name"] == "Answer"
    assert overruled["tools"] == []
    assert "response_format" not in overruled


def test_a_format_in_the_params_wins_and_their_other_text_is_kept_beside_ours():
    def text(given):
        return body(RESPONSES, messages=HELLO, output=SCHEMA, params={"text": given})["text"]

    assert text({"format": {"type": "text"}})["format"] == {"type": "text"}
    assert text({"verbosity": "low"}).keys() == {"verbosity", "format"}


def test_the_system_text_goes_before_the_turns_of_the_body():
    assert body(CHAT, system="a", body={"messages": HELLO})["messages"] == [{"role": "system", "content": "a"}, *HELLO]


@pytest.mark.parametrize(
    ("endpoint", "place"), [(EMBEDDINGS, "input"), (MODERATIONS, "input"), (COMPLETIONS, "prompt")]
)
def test_an_input_of_the_bodys_own_wins_over_the_prompt(endpoint, place):
    assert body(endpoint, messages=HELLO, body={place: "own"})[place] == "own"
    assert body(endpoint, messages=HELLO, params={place: "own"})[place] == "own"
    assert body(endpoint, messages=HELLO)[place] == "Hello"


@pytest.mark.parametrize("endpoint", [EMBEDDINGS, MODERATIONS])
def test_what_is_not_written_has_no_upper_bound(endpoint):
    assert not [name for name in body(endpoint, messages=HELLO) if "max" in name]


# -- what a batch counts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("one", 1), (["one"], 1), (["one", "two"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ([[1, 2]], 1)],
)
def test_inputs_of_an_embedding_are_counted_when_it_is_asked_and_asked_again(given, inputs):
    request = encode(EMBEDDINGS, model="text-embedding-3-small", body={"input": given})

    assert request.inputs == HOOK.revise("id-2-0", request.line, SAME).inputs == inputs


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, COMPLETIONS, MODERATIONS])
def test_other_endpoints_count_none(endpoint):
    assert encode(endpoint, messages=HELLO).inputs == 0


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS, MODERATIONS])
def test_a_lane_is_an_endpoint_and_a_model(endpoint):
    request = encode(endpoint, messages=HELLO, model="a")

    assert request.lane == f"{endpoint} a"
    assert HOOK.revise("id-2-0", request.line, SAME).lane == f"{endpoint} a"
    assert HOOK.revise("id-2-0", request.line, Change(model="b")).lane == f"{endpoint} b"
    assert encode(endpoint, messages=HELLO, params={"model": "c"}).lane == f"{endpoint} c"


# -- asked again -----------------------------------------------------------------------------------------------------

TURNS = [{"role": "assistant", "content": "a"}, {"role": "user", "content": "No."}]


@pytest.mark.parametrize(
    ("endpoint", "parts", "name"),
    [
        (CHAT, {}, "max_completion_tokens"),
        (CHAT, {"params": {"max_tokens": 64}}, "max_tokens"),
        (CHAT, {"body": {"max_tokens": 64}}, "max_tokens"),
        (RESPONSES, {}, "max_output_tokens"),
        (COMPLETIONS, {}, "max_tokens"),
    ],
)
def test_the_bound_is_changed_under_the_name_that_the_body_uses(endpoint, parts, name):
    request = encode(endpoint, messages=HELLO, **parts)

    again = json.loads(HOOK.revise("id-2-0", request.line, Change(max_tokens=128)).line)["body"]

    assert HOOK.cap_of(request.line) == HOOK.bound_of(request.line) == 64
    assert {key: value for key, value in again.items() if "max" in key} == {name: 128}


@pytest.mark.parametrize(("endpoint", "name"), [(CHAT, "max_completion_tokens"), (RESPONSES, "max_output_tokens")])
def test_a_request_without_a_bound_gets_one_when_it_is_asked_again(endpoint, name):
    request = encode(endpoint, messages=HELLO, max_tokens=None)

    again = HOOK.revise("id-2-0", request.line, Change(max_tokens=128)).line

    assert HOOK.cap_of(request.line) is HOOK.bound_of(request.line) is None
    assert HOOK.cap_of(again) == json.loads(again)["body"][name] == 128


def test_of_several_attempts_at_an_answer_all_are_paid():
    line = encode(COMPLETIONS, body={"prompt": "Hello", "best_of": 3}).line

    assert (HOOK.cap_of(line), HOOK.bound_of(line)) == (64, 192)


@pytest.mark.parametrize("endpoint", [EMBEDDINGS, MODERATIONS])
def test_where_nothing_is_written_there_is_no_bound_to_change(endpoint):
    request = encode(endpoint, messages=HELLO)

    assert (HOOK.cap_of(request.line), HOOK.bound_of(request.line)) == (None, 0)
    with pytest.raises(InputError, match=r"no max_tokens to change. Nothing was sent"):
        HOOK.revise("id-2-0", request.line, Change(max_tokens=128))


@pytest.mark.parametrize(
    ("endpoint", "parts", "place", "before"),
    [
        (CHAT, {"messages": HELLO}, "messages", HELLO),
        (RESPONSES, {"messages": HELLO}, "input", HELLO),
        (RESPONSES, {"body": {"input": "Hello"}}, "input", HELLO),
        (RESPONSES, {"body": {"prompt": {"id": "pmpt_1"}}}, "input", []),
    ],
)
def test_turns_are_added_at_the_end(endpoint, parts, place, before):
    again = HOOK.revise("id-2-0", encode(endpoint, **parts).line, Change(turns=TURNS)).line

    assert json.loads(again)["body"][place] == [*before, *TURNS]


@pytest.mark.parametrize("endpoint", [EMBEDDINGS, COMPLETIONS, MODERATIONS])
def test_where_there_is_no_conversation_no_turns_are_added(endpoint):
    with pytest.raises(InputError, match=r"nothing to add turns to. Nothing was sent"):
        HOOK.revise("id-2-0", encode(endpoint, messages=HELLO).line, Change(turns=TURNS))


@pytest.mark.parametrize("name", OPENAI)
def test_the_same_question_is_the_same_bytes_under_another_id(name):
    request = openai_request(name)
    old = json.loads(request.line)["custom_id"]

    again = HOOK.revise("id-2-0", request.line, SAME)

    assert again.line == request.line.replace(old.encode(), b"id-2-0", 1)
    assert (again.lane, again.inputs) == (request.lane, request.inputs)


@given(text=st.text(), number=st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_not_changed_keeps_its_bytes(text, number):
    odd = b'{"custom_id":"id-1-0","method":"POST","url":"/v1/moderations","body":{"input":[ ],"x" : %s,"model":"a"}}'
    value = json.dumps([text, number, 10**30]).encode()

    again = HOOK.revise("id-2-0", odd % value, Change(model="b")).line

    assert value in again
    assert json.loads(again)["body"]["model"] == "b"
    assert b'"input":[ ]' in again
