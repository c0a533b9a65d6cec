"""Prompt caching, when it is switched on."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from airflow_provider_llmbatch.emulator import Emulator
from airflow_provider_llmbatch.emulator.prompt_cache import PromptCache
from tests.emulator.conftest import (
    anthropic_batch,
    anthropic_rows,
    chat_body,
    message,
    openai_batch,
    openai_line,
    openai_rows,
)

LONG = "All work and no play makes Jack a dull boy. " * 200
"""8,800 bytes: 2,200 tokens."""
MODEL = "claude-sonnet-5-5"
"""Caches prefixes of 512 tokens and more."""


def ask(ant: anthropic.Anthropic, *blocks: tuple[str, str | None], model: str = MODEL, **more: Any) -> tuple[int, ...]:
    """Ask with system blocks and their ttl; return uncached, read, written for 5 minutes, written for an hour."""
    system: Any = [
        {"type": "text", "text": text, **({"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {})}
        for text, ttl in blocks
    ]
    params: Any = {**message(1)["params"], "model": model, "system": system, **more}
    usage = ant.messages.create(**params).usage
    created = usage.cache_creation
    assert created
    assert usage.cache_creation_input_tokens == created.ephemeral_5m_input_tokens + created.ephemeral_1h_input_tokens
    return (
        usage.input_tokens,
        usage.cache_read_input_tokens or 0,
        created.ephemeral_5m_input_tokens,
        created.ephemeral_1h_input_tokens,
    )


def test_without_the_option_nothing_is_cached(ant: anthropic.Anthropic, oai: openai.OpenAI) -> None:
    assert [ask(ant, (LONG, "1h"))[1:] for _ in range(2)] == [(0, 0, 0)] * 2
    for _ in range(2):
        usage = oai.chat.completions.create(**chat_body(LONG)).usage
        assert usage
        assert usage.prompt_tokens_details
        assert usage.prompt_tokens_details.cached_tokens == 0


def test_a_prefix_is_written_once_and_read_after(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    emulator.set_options(cache=True)

    assert ask(ant, (LONG, "1h")) == (4, 0, 0, 2_200)
    assert ask(ant, (LONG, "1h")) == (4, 2_200, 0, 0)
    assert ask(ant, (LONG, None)) == (2_204, 0, 0, 0)
    assert ask(ant, (LONG + "!", "1h"))[1] == 0
    assert ask(ant, (LONG, "1h"), model="claude-opus-5-5")[1] == 0


@pytest.mark.parametrize(("ttl", "seconds"), [("5m", 300), ("1h", 3_600)])
def test_a_prefix_is_forgotten_after_its_time_and_renewed_by_a_read(
    emulator: Emulator, ant: anthropic.Anthropic, ttl: str, seconds: int
) -> None:
    emulator.set_options(cache=True)
    ask(ant, (LONG, ttl))
    for _ in range(3):
        emulator.advance(seconds - 1)
        assert ask(ant, (LONG, ttl))[1] == 2_200
    emulator.advance(seconds + 1)

    assert ask(ant, (LONG, ttl))[1] == 0


def test_breakpoints_split_what_is_written_by_their_time(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    emulator.set_options(cache=True)

    assert ask(ant, (LONG, "1h"), (LONG, "5m")) == (4, 0, 2_200, 2_200)
    assert ask(ant, (LONG, "1h"), (LONG, "5m")) == (4, 4_400, 0, 0)
    assert ask(ant, (LONG, "1h"), (LONG + "!!!!", "5m")) == (4, 2_200, 2_201, 0)


def test_short_prefixes_are_not_cached(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    emulator.set_options(cache=True)

    assert [ask(ant, (LONG, "1h"), model="claude-haiku-4-5")[1:] for _ in range(2)] == [(0, 0, 0)] * 2


def test_the_automatic_breakpoint_is_at_the_end(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    emulator.set_options(cache=True)
    automatic = {"cache_control": {"type": "ephemeral"}}

    assert ask(ant, (LONG, None), **automatic) == (0, 0, 2_204, 0)
    assert ask(ant, (LONG, None), **automatic) == (0, 2_204, 0, 0)


def test_openai_caches_long_prefixes_in_steps_of_128_tokens(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(cache=True)

    def usage(text: str, model: str = "gpt-6-luna") -> tuple[int, int, int]:
        found = oai.chat.completions.create(**chat_body(text, model=model)).usage
        assert found
        details = found.prompt_tokens_details
        assert details
        return found.prompt_tokens, details.cached_tokens or 0, details.cache_write_tokens or 0

    assert usage(LONG) == (2_200, 0, 2_176)
    assert usage(LONG) == (2_200, 2_176, 0)
    assert usage(LONG[:5_000] + "Something else. " * 100)[1] == 1_152
    assert usage("Too short.")[1] == 0
    assert usage(LONG, "gpt-4.1-mini") == (2_200, 0, 0)
    assert usage(LONG, "gpt-4.1-mini") == (2_200, 2_176, 0)


def test_rows_of_a_batch_share_their_prefix_and_usage_still_adds_up(
    emulator: Emulator, ant: anthropic.Anthropic, oai: openai.OpenAI
) -> None:
    emulator.set_options(cache=True)
    block: Any = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    theirs = anthropic_batch(ant, [message(n, f"Question {n}", model=MODEL, system=[block]) for n in range(10)])
    ours = openai_batch(oai, [openai_line(n, chat_body(f"{LONG} {n}")) for n in range(10)])
    emulator.advance(3_600)

    usages = [row.message.usage for row in anthropic_rows(ant, theirs.id).values()]
    assert sorted(usage.cache_read_input_tokens for usage in usages) == [0] + [2_200] * 9
    bill = emulator.bill()["by_vendor"]
    assert bill["anthropic"]["tokens"]["cached"] == 9 * 2_200
    assert bill["anthropic"]["tokens"]["write_1h"] == 2_200
    total = sum(u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens for u in usages)
    assert bill["anthropic"]["tokens"]["input"] == total
    batch = oai.batches.retrieve(ours.id)
    assert batch.usage
    cached = [
        row["response"]["body"]["usage"]["prompt_tokens_details"]["cached_tokens"]
        for row in openai_rows(oai, batch.output_file_id)
    ]
    assert batch.usage.input_tokens_details.cached_tokens == sum(cached) == 9 * 2_176


def test_whether_rows_hit_does_not_depend_on_how_fast_we_work(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    emulator.set_options(cache=True)
    block: Any = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    # Two rows in an hour: half an hour lies between them, and the 5 minutes are over.
    batch = anthropic_batch(ant, [message(n, "x", model=MODEL, system=[block]) for n in range(2)])
    emulator.advance(3_600)

    assert [row.message.usage.cache_read_input_tokens for row in anthropic_rows(ant, batch.id).values()] == [0, 0]


def test_a_cache_remembers_until_its_time_is_over() -> None:
    cache = PromptCache()

    assert [cache.hit(b"a", now, 10) for now in (0, 10, 21)] == [False, True, False]
