"""A stencil writes the very bytes that the hook would, whatever the record holds."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.prompts import Prompt
from airflow_provider_llmbatch.core.records import Block
from airflow_provider_llmbatch.core.requests import CachePattern, Composer, Question, Requests
from airflow_provider_llmbatch.core.schemas import Tool, output_schema
from airflow_provider_llmbatch.core.stencil import stencil_of
from airflow_provider_llmbatch.exceptions import TemplateError
from airflow_provider_llmbatch.hooks.anthropic import AnthropicBatchHook
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from airflow_provider_llmbatch.hooks.settings import Settings

PROMPT = "100 % sure? {{ record.text }}\n\t{{ record['the title'] }} {{ record.items }}"
VALUES = st.one_of(
    st.text(),
    st.sampled_from(["", "\u2028 \u2029 \x85", '"\\', "{{ record.text }}", "%s %d", "\ud7ff\ue000", "\x00"]),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)
ROWS = st.fixed_dictionaries({"text": VALUES, "the title": VALUES, "items": VALUES})
QUESTIONS = {
    "prompt": {},
    "system": {"system": "You label {{ record.text }}."},
    "constant-system": {"system": "You label."},
    "messages": {"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]},
    "params": {"params": {"metadata": {"a": "b"}}, "max_tokens": 5},
    **{f"cache {pattern}": {"cache": pattern, "system": "You label."} for pattern in get_args(CachePattern)},
    "cache-5m": {"cache": "last_user_message", "cache_ttl": "5m", "system": "You label {{ record.text }}."},
    "cache-messages": {
        "cache": "automatic",
        "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}],
        "tools": [Tool(name="a")],
    },
    "type": {"output": output_schema(dict[str, int]), "system": "You count {{ record.text }}."},
}
HOOKS = {
    "chat": (OpenAIBatchHook, None),
    "responses": (OpenAIBatchHook, "/v1/responses"),
    "anthropic": (AnthropicBatchHook, None),
}


def encoder(name):
    hook, endpoint = HOOKS[name]
    made = hook("not_read")
    made.settings = Settings(api_key="sk-stencil")
    return lambda custom_id, ask: made.encode(custom_id, ask, endpoint)


@pytest.mark.parametrize("endpoint", HOOKS)
@pytest.mark.parametrize("asked", QUESTIONS)
@given(rows=st.lists(ROWS, min_size=1, max_size=4), index=st.integers(0, 10**9))
def test_requests_from_a_stencil_are_the_hooks_own(endpoint, asked, rows, index):
    encode = encoder(endpoint)
    composer = Composer(Question(model="m-1", prompt=PROMPT, **QUESTIONS[asked]))
    block = Block(index, rows)

    written = stencil_of(composer, encode, "0123456789-1-").write(index, composer.texts(block))

    made = [encode(f"0123456789-1-{record.index}", composer(record)) for record in block.records()]
    assert written == Requests(index, len(rows), b"".join(one.line for one in made), made[0].lane, made[0].inputs)


@given(rows=st.lists(ROWS, min_size=1, max_size=4))
def test_a_plain_template_prints_what_jinja_prints(rows):
    block = Block(0, rows)
    plain, full = Prompt(PROMPT), Prompt(PROMPT + "{% if false %}{% endif %}")

    expected = [full.render(record) for record in block.records()]
    assert plain.render_all(block) == full.render_all(block) == expected
    assert [plain.render(record) for record in block.records()] == expected


@pytest.mark.parametrize(
    ("template", "is_plain"),
    [
        ("{{ record.text }}", True),
        ("{{ record['text'] }} 100 %", True),
        ("text", True),
        ("{# a remark #}{{ record.text -}}  ", True),
        ("{{ record._text }}", False),
        ("{{ record.text | upper }}", False),
        ("{{ record.text.strip() }}", False),
        ("{{ record[0] }}", False),
        ("{{ ds }}", False),
        ("{% if record.text %}x{% endif %}", False),
        ("{{ record }}", False),
    ],
)
def test_only_text_and_fields_are_plain(template, is_plain):
    assert (Prompt(template)._plain is not None) is is_plain


def test_a_missing_field_is_told_as_ever():
    with pytest.raises(TemplateError, match=r"record 3 \(key 'k'\) has no field 'title'"):
        Prompt("{{ record.title }}").render_all(Block(2, [{"title": "y"}, {"text": "x"}], ["j", "k"]))


@pytest.mark.parametrize(
    "question",
    [
        pytest.param({"prompt": None}, id="records-are-requests"),
        pytest.param({"prompt": "x", "model": ""}, id="records-name-the-model"),
        pytest.param(
            {"prompt": "x", "messages": [{"role": "user", "content": "{{ record.a }}"}]}, id="other-templates"
        ),
    ],
)
def test_requests_that_differ_in_more_than_their_texts_have_no_stencil(question):
    assert stencil_of(Composer(Question(**{"model": "m-1"} | question)), encoder("chat"), "name-") is None


@pytest.mark.parametrize("prompt", ["", "{{ record.text }}"])
def test_an_empty_text_is_left_to_the_hook(prompt):
    composer = Composer(Question(model="m-1", prompt=prompt))
    stencil = stencil_of(composer, encoder("chat"), "name-")

    assert stencil is None or stencil.write(0, composer.texts(Block(0, [{"text": "x"}, {"text": ""}]))) is None
