"""Where ``cache`` marks a request: exact bytes, and legal beside whatever the user marked."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.requests import Change, Composer, Question, Record
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks._anthropic_cache import least_tokens
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from tests.hooks.asks import (
    CACHED,
    GOLDEN,
    LONG_TALK,
    PATTERNS,
    TOOLS,
    anthropic,
    encode_cached,
    make,
    sources,
    user,
)

HOUR, SHORT = {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral", "ttl": "5m"}
FULL: dict[str, Any] = {"messages": LONG_TALK, "system": "You know the handbook.", "tools": TOOLS[:2], "shared": 5}


def params(**parts: Any) -> dict[str, Any]:
    """Return the params of one request."""
    found: dict[str, Any] = json.loads(anthropic().encode("id-1", make(parts), None).line)["params"]
    return found


def blocks_of(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return everything that may be marked, with its place, in the order in which the vendor reads it."""
    system = found.get("system", [])
    places = [(f"tool {n}", tool) for n, tool in enumerate(found.get("tools", []))]
    places += [(f"system {n}", block) for n, block in enumerate(system if isinstance(system, list) else [])]
    for number, turn in enumerate(found["messages"]):
        content = turn["content"] if isinstance(turn["content"], list) else []
        places += [(f"turn {number}.{n}", block) for n, block in enumerate(content)]
    return [*places, ("request", found)]


def marks(found: dict[str, Any]) -> dict[str, str]:
    """Return the times of the marks by their places."""
    marked = [(place, block["cache_control"]) for place, block in blocks_of(found) if block.get("cache_control")]
    return {place: control.get("ttl", "5m") for place, control in marked}


# -- the patterns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CACHED)
def test_a_marked_request_is_the_same_bytes_as_ever(name):
    lines = (GOLDEN / "anthropic-caching.jsonl").read_bytes().splitlines(keepends=True)

    assert encode_cached(name) == lines[list(CACHED).index(name)]


@pytest.mark.parametrize("ttl", ["1h", "5m"])
@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("tools_only", ["tool 1"]),
        ("system_and_tools", ["tool 1", "system 0"]),
        ("last_user_message", ["turn 4.0"]),
        ("last_2_user_messages", ["turn 2.1", "turn 4.0"]),
        ("last_3_user_messages", ["turn 0.0", "turn 2.1", "turn 4.0"]),
        ("automatic", ["turn 3.0"]),
    ],
)
def test_each_pattern_marks_the_ends_that_it_names_and_changes_no_text(pattern, places, ttl):
    plain, found = params(**FULL), params(**FULL, cache=pattern, cache_ttl=ttl)

    assert marks(found) == dict.fromkeys(places, ttl)
    assert texts(found) == texts(plain)


def texts(found: dict[str, Any]) -> list[str]:
    contents = [found.get("system", ""), *(turn["content"] for turn in found["messages"])]
    return [
        content if isinstance(content, str) else "|".join(block["text"] for block in content) for content in contents
    ]


@pytest.mark.parametrize(
    ("pattern", "left_out", "places"),
    [
        ("system_and_tools", ["system"], ["tool 1"]),
        ("system_and_tools", ["tools"], ["system 0"]),
        ("system_and_tools", ["system", "tools"], []),
        ("tools_only", ["tools"], []),
    ],
)
def test_what_is_not_there_is_not_marked(pattern, left_out, places):
    parts = {name: part for name, part in FULL.items() if name not in left_out}

    assert list(marks(params(**parts, cache=pattern))) == places


@pytest.mark.parametrize("pattern", ["last_user_message", "last_2_user_messages", "last_3_user_messages"])
def test_a_talk_with_fewer_turns_is_marked_as_far_as_it_goes(pattern):
    assert list(marks(params(messages=[user("Hello")], cache=pattern))) == ["turn 0.0"]


@pytest.mark.parametrize("content", ["", [], [{"type": "text", "text": ""}], [{"type": "thinking", "thinking": "…"}]])
def test_what_the_vendor_lets_nobody_mark_is_not_marked(content):
    assert marks(params(messages=[user(content)], cache="last_user_message")) == {}


# -- automatic: what all records share ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ({}, None),
        ({"tools": TOOLS[:2]}, "tool 1"),
        ({"tools": TOOLS[:2], "system": "You label {{ record.text }}."}, "tool 1"),
        ({"tools": TOOLS[:2], "system": "You label."}, "system 0"),
        ({"system": "You label.", "messages": LONG_TALK[:2]}, "turn 1.0"),
        ({"system": "You label.", "messages": [user("{{ record.text }}"), *LONG_TALK[1:2]]}, "system 0"),
        ({"system": "a", "messages": [{"role": "system", "content": "b"}, *LONG_TALK[:2]]}, "turn 1.0"),
        ({"system": "a", "messages": [*LONG_TALK[:2], {"role": "system", "content": "{{ record.text }}"}]}, None),
        ({"system": "a", "prompt": None}, "system 0"),
        ({"system": "a", "prompt": None, "own": {"system": "My own."}}, None),
        ({"system": "a", "prompt": None, "own": {"messages": [{"role": "system", "content": "b"}, user("c")]}}, None),
    ],
)
def test_automatic_marks_the_end_of_what_all_records_share(question, place):
    asked = {"model": "m-1", "prompt": "Go", "cache": "automatic"} | question
    own = asked.pop("own", {})

    ask = Composer(Question(**asked))(Record(0, "0", {"text": "x", "prompt": "Go", **own}))
    found = json.loads(anthropic().encode("id-1", ask, None).line)["params"]

    assert list(marks(found)) == ([place] if place else [])


# -- beside the user's own marks -----------------------------------------------------------------------------------


@given(
    pattern=st.sampled_from(PATTERNS),
    ttl=st.sampled_from(["1h", "5m"]),
    slots=st.sets(st.integers(0, 12), max_size=4).map(sorted),
    long=st.integers(0, 4),
    shared=st.integers(0, 5),
)
def test_the_users_marks_stay_and_all_together_are_legal(pattern, ttl, slots, long, shared):
    """Slots 0 to 11 are blocks in the order in which they are read, 12 is the vendor's automatic mode."""
    own = {slot: HOUR if number < long else SHORT for number, slot in enumerate(slots)}

    def block(slot: int, **more: Any) -> dict[str, Any]:
        text = {"type": "text", "text": f"text {slot}"} | more
        return text | ({"cache_control": own[slot]} if slot in own else {})

    turns = [
        {"role": role, "content": [block(first), block(first + 1)]}
        for role, first in (("user", 4), ("assistant", 6), ("user", 8), ("user", 10))
    ]
    body = {
        "tools": [block(slot, name=f"t{slot}", type="web_search") for slot in (0, 1)],
        "system": [block(2), block(3)],
        "messages": turns,
    }
    top = {"cache_control": own[12]} if 12 in own else {}

    found = params(messages=[], body=body, params=top, cache=pattern, cache_ttl=ttl, shared=shared)

    blocks = [part for _, part in blocks_of(found)]
    times = list(marks(found).values())
    assert [blocks[slot]["cache_control"] for slot in slots] == list(own.values())
    assert len(times) <= 4
    assert times == sorted(times, key=["1h", "5m"].index)
    assert not (top and "cache_control" in blocks[11] and 11 not in own), "the vendor marks the last block itself"


@pytest.mark.parametrize("own", [{"cache_control": None}, {"cache_control": {"type": "ephemeral"}}])
def test_a_block_that_the_user_spoke_about_is_left_alone(own):
    messages = [user([{"type": "text", "text": "Hello"} | own])]

    assert params(messages=messages, cache="last_user_message")["messages"] == messages


def test_of_too_many_places_the_later_ones_are_marked():
    own = [{"type": "text", "text": text, "cache_control": HOUR} for text in "ab"]
    system = [*own, {"type": "text", "text": "c"}]

    found = params(**{**FULL, "system": None}, body={"system": system}, cache="last_3_user_messages")

    assert list(marks(found)) == ["system 0", "system 1", "turn 2.1", "turn 4.0"]


# -- later rounds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_later_round_keeps_the_marks_where_the_cache_was_filled(pattern):
    hook, turns = anthropic(), [{"role": "assistant", "content": "42"}, {"role": "user", "content": "No. Again."}]
    first = hook.encode("id-1", make({**FULL, "cache": pattern}), None)

    again = hook.revise("id-2", first.line, Change(turns=turns, max_tokens=128), first.lane)

    before, after = (json.loads(line)["params"] for line in (first.line, again.line))
    assert marks(after) == marks(before)
    assert after["messages"] == [*before["messages"], *turns]


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-5-5", 512),
        ("claude-opus-5", 512),
        ("claude-fable-5-1", 512),
        ("claude-mythos-5", 512),
        ("claude-sonnet-5-5", 512),
        ("claude-sonnet-5", 1_024),
        ("claude-sonnet-4-6", 1_024),
        ("claude-sonnet-4-5-20250929", 1_024),
        ("claude-opus-4-8", 1_024),
        ("claude-opus-4-7", 2_048),
        ("claude-opus-4-6", 4_096),
        ("claude-opus-4-5-20251101", 4_096),
        ("claude-haiku-4-5-20251001", 4_096),
        ("claude-of-next-year", 512),
    ],
)
def test_the_least_that_a_model_caches(model, tokens):
    assert least_tokens(model) == tokens


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"system": "x" * 2_100}, None),
        ({"system": "x" * 1_900}, r".* about 493 tokens \(bytes / 4\), and claude-haiku-5-5 caches no fewer than 512"),
        ({"system": "x" * 1_000, "tools": [*TOOLS] * 4}, None),
        ({"system": "x" * 4_000, "model": "claude-haiku-4-5"}, r".* about 1,018 tokens .* no fewer than 4,096"),
        ({"messages": [user("x" * 4_000)]}, "it has no part to mark"),
        ({"messages": sources({"type": "image", "source": "file_1"}), "cache": "last_user_message"}, None),
        ({"messages": [user("x" * 4_000)], "params": {"cache_control": HOUR}}, None),
    ],
)
def test_what_is_too_small_is_told_with_both_numbers(parts, reason):
    line = anthropic().encode("id-1", make({"messages": [user("Hi")], "cache": "system_and_tools"} | parts), None).line

    assert re.fullmatch(reason or "None", str(anthropic().cache_shortfall(line)))


# -- other vendors, wrong values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("endpoint", [None, "/v1/responses"])
def test_openais_cache_needs_no_marks_and_its_own_options_pass(endpoint, pattern):
    options = {"prompt_cache_key": "job-42", "prompt_cache_options": {"mode": "implicit", "ttl": "12h"}}
    parts = {"messages": [user("Hi")], "system": "Be brief.", "params": options}

    def line(**more: Any) -> bytes:
        return OpenAIBatchHook("not_read").encode("id-1", make({**parts, **more}, "gpt-6-luna"), endpoint).line

    assert line(cache=pattern, cache_ttl="5m") == line()
    assert json.loads(line())["body"].items() >= options.items()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cache": "system"}, r"cache='system': it must be one of None, 'tools_only', .*Nothing was sent"),
        ({"cache": True}, "cache=True"),
        ({"cache_ttl": "1d"}, r"cache_ttl='1d': it must be one of '5m', '1h'\. Nothing was sent"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_sent(wrong, message):
    with pytest.raises(InputError, match=message):
        Question(model="m", **wrong)
