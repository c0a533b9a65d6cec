"""What goes over the wire for a record: exact bytes, and one file that a vendor can read."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.requests import SAME, Ask
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks._openai_endpoints import CHAT, RESPONSES
from airflow_provider_llmbatch.hooks.anthropic import _Body
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from tests.hooks.asks import ASKS, FILES, GOLDEN, anthropic, encode, user

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def ask(**parts):
    return Ask(
        **{"model": "m", "messages": [user("a")], "system": None, "max_tokens": 64, "params": {}, "body": {}} | parts
    )


def body_of(hook, endpoint=None, **parts):
    """Return the vendor's body of one request."""
    line = json.loads(hook("c").encode("id-1", ask(**parts), endpoint).line)
    return line.get("body") or line["params"]


# -- one request -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize("file", FILES)
def test_a_request_is_the_same_bytes_as_ever(file, name):
    """A changed byte is another question, and a resumed job would not find what it sent."""
    lines = (GOLDEN / f"{file}.jsonl").read_bytes().splitlines(keepends=True)

    assert encode(file, name) == lines[list(ASKS).index(name)]


@pytest.mark.parametrize("file", FILES)
@given(text=st.text())
def test_any_text_stays_in_one_line_and_comes_back(file, text):
    hook, endpoint, _ = FILES[file]

    line = hook("c").encode("id-1", ask(messages=[user(text)]), endpoint).line

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    body = json.loads(line).get("body") or json.loads(line)["params"]
    assert (body.get("messages") or body["input"])[-1]["content"] == text


@pytest.mark.parametrize("file", FILES)
@given(extra=st.dictionaries(st.text().filter(lambda name: name != "n"), JSON, max_size=3))
def test_a_request_is_asked_again_with_its_body_byte_for_byte(file, extra):
    hook, endpoint, _ = FILES[file]
    line = hook("c").encode("id-1-0", ask(params=extra), endpoint).line

    assert hook("c").revise("id-2-0", line, SAME).line == line.replace(b"id-1-0", b"id-2-0", 1)


@pytest.mark.parametrize(
    ("hook", "endpoint", "names"),
    [
        (OpenAIBatchHook, CHAT, ["max_completion_tokens", "max_tokens"]),
        (OpenAIBatchHook, RESPONSES, ["max_output_tokens"]),
        (anthropic, None, ["max_tokens"]),
    ],
    ids=["chat", "responses", "messages"],
)
class TestTheBoundOfAnAnswer:
    """The operator's has a default; one that is written into the body or the parameters is meant."""

    def test_it_is_sent_under_the_endpoints_own_name(self, hook, endpoint, names):
        assert body_of(hook, endpoint)[names[0]] == 64

    @pytest.mark.parametrize("place", ["body", "params"])
    def test_another_one_in_the_request_wins_and_goes_alone(self, hook, endpoint, names, place):
        for name in names:
            found = body_of(hook, endpoint, **{place: {name: 4096}})

            assert {key: value for key, value in found.items() if "max_" in key} == {name: 4096}


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_openai_may_be_asked_without_a_bound(endpoint):
    assert not [name for name in body_of(OpenAIBatchHook, endpoint, max_tokens=None) if "max_" in name]


def test_anthropic_may_not():
    with pytest.raises(InputError, match=r"max_tokens is required by Anthropic.*Nothing was sent"):
        body_of(anthropic, max_tokens=None)
    assert body_of(anthropic, max_tokens=None, params={"max_tokens": 5})["max_tokens"] == 5


@pytest.mark.parametrize("endpoint", [CHAT, "/v1/nope"])
def test_an_endpoint_that_a_vendor_does_not_have_is_refused(endpoint):
    for hook in {CHAT: [anthropic]}.get(endpoint, [anthropic, OpenAIBatchHook]):
        with pytest.raises(InputError, match=rf"endpoint '{endpoint}'.*Nothing was sent"):
            body_of(hook, endpoint)


def test_anthropics_system_text_is_gathered_from_everywhere_as_text_or_as_blocks():
    block = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    turn = {"role": "developer", "content": [block]}

    def system(messages, **parts):
        return body_of(anthropic, messages=[*messages, user("x")], **parts).get("system")

    assert system([]) is None
    assert system([], system="a") == "a"
    assert system([], body={"system": "a"}) == "a"
    assert system([], body={"system": "b"}, system="a") == "a"
    assert system([turn]) == [block]
    assert system([turn], system="a") == [{"type": "text", "text": "a"}, block]


def test_the_task_s_system_text_wins_over_the_bodys_for_responses():
    assert body_of(OpenAIBatchHook, RESPONSES, system="a", body={"instructions": "b"})["instructions"] == "a"


# -- Anthropic's one body --------------------------------------------------------------------------------------------


def request_file(folder: Path, lines: list[bytes]) -> Path:
    path = folder / "requests.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


@given(requests=st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=5))
def test_the_streamed_body_is_the_json_of_the_list(tmp_path_factory, requests):
    path = request_file(tmp_path_factory.mktemp("body"), [msgspec.json.encode(request) for request in requests])
    body = _Body(path)

    sent = b"".join(body)

    assert sent == msgspec.json.encode({"requests": requests})
    assert len(sent) == body.size
    assert b"".join(body) == sent, "it can be sent again from its start"


@pytest.mark.parametrize("beyond", [-2, -1, 0, 1])
def test_a_newline_at_the_edge_of_a_block_is_no_special_case(tmp_path, beyond):
    """The file is read in blocks of 1 MiB."""
    first = b'"' + b"x" * ((1 << 20) + beyond - 3) + b'"'
    path = request_file(tmp_path, [first, b"1", b'"' + b"y" * (1 << 20) + b'"'])

    sent = b"".join(_Body(path))

    assert len(sent) == _Body(path).size
    assert [len(str(item)) for item in json.loads(sent)["requests"]] == [len(first) - 2, 1, 1 << 20]
