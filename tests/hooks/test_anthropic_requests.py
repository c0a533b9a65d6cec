"""What is asked of Anthropic: the bytes, the betas of a batch, and what is refused before it is sent."""

import json

import anthropic as sdk
import msgspec
import pytest

from airflow_provider_llmbatch.core.requests import SAME, Change, custom_id, index_of
from airflow_provider_llmbatch.core.results import Line
from airflow_provider_llmbatch.core.schemas import Tool
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks.calls import Marker
from airflow_provider_llmbatch.hooks.settings import Settings
from tests.hooks.asks import (
    ANTHROPIC,
    GOLDEN,
    JOB,
    MAP,
    OUTPUT,
    PIXEL,
    TOOLS,
    anthropic,
    encode_own,
    make,
    sources,
    user,
)
from tests.hooks.conftest import http_of

HELLO = {"messages": [user("Hello")]}
BETA = "output-300k-2026-03-24"


def request(parts=HELLO, **settings):
    return anthropic(**settings).encode("id-1", make(HELLO | parts), None)


def params(parts=HELLO, **settings):
    return json.loads(request(parts, **settings).line)["params"]


def refusal(parts, **settings):
    with pytest.raises(InputError, match="Nothing was sent") as caught:
        request(parts, **settings)
    return str(caught.value)


# -- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANTHROPIC)
def test_a_request_is_the_same_bytes_as_ever(name):
    lines = (GOLDEN / "anthropic-features.jsonl").read_bytes().splitlines(keepends=True)

    assert encode_own(name) == lines[list(ANTHROPIC).index(name)]


def test_every_feature_is_answered(emulator, tmp_path):
    """All in one batch, as the vendor allows; files that a request names are uploaded first."""
    ids = {name: upload(emulator) for name in ("file_picture", "file_document")}
    hook = anthropic(base_url=emulator.anthropic_url)
    path = tmp_path / "requests.jsonl"
    text = b"".join(map(encode_own, ANTHROPIC)).decode()
    for name, file_id in ids.items():
        text = text.replace(name, file_id)
    path.write_text(text)
    marker = Marker(job=JOB, shard="r1-00000", sha256="ab" * 32, count=len(ANTHROPIC), since=0.0, lane=BETA)

    batch = hook.create(path, {}, marker)
    emulator.advance(3600)
    hook.download(hook.run(hook.look([batch.batch_id]))[batch.batch_id], tmp_path / "results.jsonl")

    lines = (tmp_path / "results.jsonl").read_bytes().splitlines()
    found = {index_of(msgspec.json.decode(line, type=Line).custom_id, job=JOB, round_=1): line for line in lines}
    results = {name: hook.parse(found[index]) for index, name in enumerate(ANTHROPIC)}
    assert {name: result.status for name, result in results.items()} == dict.fromkeys(ANTHROPIC, "succeeded")
    assert results["tools"].tool_calls
    assert json.loads(results["output"].output).keys() == OUTPUT.wire["properties"].keys()


def upload(emulator):
    """Return the id of a new file."""
    headers = {"x-api-key": "sk-any", "anthropic-version": "2023-06-01"}
    url = f"{emulator.anthropic_url}/v1/files"
    return http_of("anthropic").post(url, headers=headers, files={"file": ("a", b"x")}).json()["id"]


# -- the shape of an answer, and tools -------------------------------------------------------------------------------


def test_a_format_that_the_user_writes_wins_over_the_one_that_is_made():
    own = {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}

    assert params({"output": OUTPUT, "body": {"output_config": {"format": own}}})["output_config"] == {"format": own}


@pytest.mark.parametrize("config", [{"effort": "low"}, {"effort": "low", "format": None}], ids=["effort", "null"])
def test_the_rest_of_an_output_config_stays_beside_the_format(config):
    found = params({"output": OUTPUT, "params": {"output_config": config}})["output_config"]

    assert (found["effort"], found["format"]["type"]) == ("low", "json_schema")


@pytest.mark.parametrize(
    ("system", "before"),
    [
        (None, lambda told: told),
        ("Be brief.", lambda told: f"Be brief.\n\n{told}"),
        ([{"type": "text", "text": "a"}], lambda told: [{"type": "text", "text": "a"}, {"type": "text", "text": told}]),
    ],
    ids=["none", "text", "blocks"],
)
def test_a_schema_to_which_no_answer_can_be_held_is_told_to_the_model(system, before):
    found = params({"output": MAP, "body": {"system": system}})

    assert "output_config" not in found
    assert found["system"] == before(
        "Answer with a JSON object that satisfies this JSON Schema, and with nothing else: "
        '{"type":"object","additionalProperties":{"type":"integer"}}'
    )


def test_a_schema_is_not_told_where_the_user_writes_a_format():
    own = {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}

    assert "system" not in params({"output": MAP, "params": {"output_config": {"format": own}}})


def test_the_tasks_tools_win_over_the_bodys_and_the_params_over_both():
    raw = {"type": "web_search_20250305", "name": "web_search"}

    assert params({"body": {"tools": [raw]}})["tools"] == [raw]
    assert [tool["name"] for tool in params({"body": {"tools": [raw]}, "tools": TOOLS[:1]})["tools"]] == ["get_weather"]
    assert params({"params": {"tools": [raw]}, "tools": TOOLS[:1]})["tools"] == [raw]


def test_a_tool_is_held_to_its_schema_only_where_that_can_be():
    open_ended = {"type": "object", "additionalProperties": True}
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

    def tool(parameters):
        (made,) = params({"tools": [Tool(name="a", parameters=parameters, is_strict=True)]})["tools"]
        return made

    assert tool(closed) == {"name": "a", "input_schema": closed | {"additionalProperties": False}, "strict": True}
    assert tool(open_ended) == {"name": "a", "input_schema": open_ended}


# -- pictures and documents ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block",
    [
        pytest.param({"type": "image", "source": "s3://bucket/a.png"}, id="another-protocol"),
        pytest.param({"type": "image", "source": "data:image/png,raw"}, id="no-base64"),
        pytest.param({"type": "image", "source": f"data:image/tiff;base64,{PIXEL}"}, id="another-kind-of-picture"),
        pytest.param({"type": "image", "source": "data:application/pdf;base64,JVBERg=="}, id="no-picture"),
        pytest.param({"type": "document", "source": f"data:image/png;base64,{PIXEL}"}, id="no-document"),
        pytest.param({"type": "document", "source": "data:text/plain;base64,/w=="}, id="no-text"),
        pytest.param({"type": "document", "source": ""}, id="nothing"),
    ],
)
def test_a_source_that_anthropic_does_not_take_is_refused_and_not_repeated(block):
    found = refusal({"messages": sources(block)})

    assert not block["source"] or block["source"] not in found


@pytest.mark.parametrize(
    "content",
    ["text", [{"type": "text", "text": "a", "source": "b"}], [{"type": "tool_result", "tool_use_id": "t"}], ["odd"]],
    ids=["text", "text-block", "another-block", "no-block"],
)
def test_other_content_is_left_alone(content):
    assert params({"messages": [user(content)]})["messages"] == [user(content)]


def test_a_body_may_have_neutral_sources_too():
    body = {"messages": sources({"type": "image", "source": "https://example.org/a.png"})}

    found = params({"messages": [], "body": body})["messages"][0]["content"][0]

    assert found["source"] == {"type": "url", "url": "https://example.org/a.png"}


# -- betas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "settings", "lane"),
    [
        ({}, {}, ""),
        ({}, {"betas": ("b", "a")}, "a,b"),
        ({"params": {"betas": ["b"]}, "body": {"betas": "c, a"}}, {}, "a,b,c"),
        ({"params": {"betas": ["a"]}}, {"betas": ("a",)}, "a"),
        ({"params": {"betas": []}, "body": {"betas": None}}, {}, ""),
        ({}, {"client_kwargs": {"default_headers": {"Anthropic-Beta": "z,y"}}, "betas": ("x",)}, "x,y,z"),
    ],
    ids=["none", "the-connections", "the-requests", "twice", "empty", "the-connections-header"],
)
def test_the_betas_of_a_request_are_its_lane_and_not_in_its_body(parts, settings, lane):
    found = request(parts, **settings)

    assert found.lane == lane
    assert "betas" not in json.loads(found.line)["params"]


@pytest.mark.parametrize("lane", ["", "a", "a,b"])
def test_a_batch_names_its_betas_in_a_header(bench, tmp_path, lane):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(request().line)
    one = bench("anthropic").reply((200, {"id": "batch_1"}))

    one.hook.create(path, {}, Marker(job=JOB, shard="r1-00000", sha256="ab" * 32, count=1, since=0.0, lane=lane))

    assert one.wire.calls[0].headers.get("anthropic-beta", "") == lane


def test_a_batchs_betas_replace_a_header_of_the_connection_which_they_contain(bench, tmp_path):
    one = bench("anthropic").reply((200, {"id": "batch_1"}))
    kwargs = {**one.hook.settings.client_kwargs, "default_headers": {"anthropic-beta": "a"}}
    one.hook.settings = Settings(api_key="k", client_kwargs=kwargs, betas=("b",))
    made = one.hook.encode("id-1", make(HELLO), None)
    path = tmp_path / "requests.jsonl"
    path.write_bytes(made.line)

    one.hook.create(path, {}, Marker(job=JOB, shard="r1-00000", sha256="ab" * 32, count=1, since=0.0, lane=made.lane))

    assert one.wire.calls[0].headers["anthropic-beta"] == "a,b"


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameter",
    [
        {"stream": True},
        {"speed": "fast"},
        {"store": True},
        {"previous_thread_event_id": "x"},
        {"cache_hint": "x"},
        {"context_hint": "x"},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": "64"},
        {"research_preview_2026_02": {}},
        {"fallbacks": []},
        {"billing_policy": {"bill_to": "user_profile"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["params", "body"])
def test_what_a_batch_refuses_hours_later_is_refused_before_it_is_sent(place, parameter):
    (name,) = parameter

    assert name in refusal({place: parameter})


@pytest.mark.parametrize("parts", [{"max_tokens": None}, {"params": {"max_tokens": None}}], ids=["task", "params"])
def test_a_request_without_a_bound_is_refused(parts):
    assert "max_tokens is required" in refusal(parts)


def test_a_request_without_messages_is_refused():
    assert "messages" in refusal({"messages": [], "body": {"metadata": {}}})


def test_what_is_left_out_or_off_is_not_refused():
    assert "speed" not in params({"params": {"stream": False, "speed": None}})


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
@pytest.mark.parametrize("place", ["params", "body"])
class TestSampling:
    """API version 2026-10-21 dropped it, and only the connection and the SDK say which version is asked."""

    def test_is_refused_where_the_version_has_dropped_it(self, place, name):
        pinned = {"client_kwargs": {"default_headers": {"anthropic-version": "2026-10-21"}}}

        assert '"anthropic-version": "2023-06-01"' in refusal({place: {name: 0}}, **pinned)

    def test_passes_where_the_connection_pins_an_older_one(self, place, name):
        assert params({place: {name: 0}})[name] == 0

    def test_goes_by_the_sdks_own_version_where_none_is_pinned(self, place, name):
        own = sdk.Anthropic(api_key="k").default_headers["anthropic-version"]

        if own >= "2026-10-21":
            assert name in refusal({place: {name: 0}}, client_kwargs={})
        else:
            assert params({place: {name: 0}}, client_kwargs={})[name] == 0


# -- asked again -----------------------------------------------------------------------------------------------------

LINE = (
    b'{"custom_id":"id-1","params":{"model": "m", "max_tokens":64,"messages":[ {"role":"user","content":"\\u00fc"} ],'
    b'"big":123456789012345678901234567890,"float":1.0}}\n'
)


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        pytest.param(SAME, b"", b"", id="same"),
        pytest.param(Change(model="claude-opus-5-5"), b'"model": "m"', b'"model":"claude-opus-5-5"', id="model"),
        pytest.param(Change(max_tokens=128), b'"max_tokens":64', b'"max_tokens":128', id="bound"),
        pytest.param(
            Change(turns=[{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]),
            b'[ {"role":"user","content":"\\u00fc"} ]',
            b'[{"role":"user","content":"\\u00fc"},{"role":"assistant","content":"a"},{"role":"user","content":"b"}]',
            id="turns",
        ),
    ],
)
def test_a_change_changes_what_it_names_and_no_other_byte(change, old, new):
    found = anthropic().revise("id-2", LINE, change, "a,b")

    expected = LINE.replace(b"id-1", b"id-2").replace(old, new, 1)
    if change != SAME:
        expected = expected.replace(b'"model": "m"', b'"model":"m"').replace(b', "max', b',"max')
    assert found.line == expected
    assert found.lane == "a,b"


def test_a_request_is_changed_without_its_connection():
    """What a later round needs is in the line and its lane."""
    line = encode_own("output")

    assert type(anthropic())("no_such_connection").revise("id-2", line, Change(max_tokens=9)).lane == ""


@pytest.mark.parametrize(("line", "cap"), [(LINE, 64), (b'{"custom_id":"a","params":{}}', None)])
def test_the_bound_of_a_request_is_read_from_its_line(line, cap):
    assert anthropic().cap_of(line) == cap


@pytest.mark.parametrize(
    ("reply", "most"),
    [
        ((200, {"id": "m", "max_tokens": 128_000}), 128_000),
        ((200, {"id": "m", "max_tokens": None}), None),
        ((200, {"id": "m"}), None),
        ((404, {"error": {"type": "not_found_error"}}), None),
    ],
    ids=["number", "null", "missing", "no-such-model"],
)
def test_the_largest_answer_is_the_models_own(bench, reply, most):
    one = bench("anthropic").reply(reply)

    assert one.hook.run(one.hook.largest_answer("claude/odd name")) == most
    assert one.wire.asked == ["GET /v1/models/claude%2Fodd%20name"]


def test_the_emulator_tells_the_largest_answer(emulator):
    hook = anthropic(base_url=emulator.anthropic_url)

    assert hook.run(hook.largest_answer("claude-sonnet-4-6")) == 64_000
    assert hook.run(hook.largest_answer("no-such-model")) is None


def test_a_custom_id_stays_within_anthropics_pattern():
    """Letters, digits, ``_`` and ``-``, 64 at most (FACTS §2.1)."""
    assert len(custom_id("0123456789", 99, 10**15)) <= 64
