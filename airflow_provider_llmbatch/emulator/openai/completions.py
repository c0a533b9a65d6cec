"""``/v1/completions``, the oldest of them."""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator.mind.ask import Ask
from airflow_provider_llmbatch.emulator.mind.think import think
from airflow_provider_llmbatch.emulator.openai import models, params
from airflow_provider_llmbatch.emulator.openai.chat import read_stops, usage_of
from airflow_provider_llmbatch.emulator.openai.params import Body, Rules, Turn, Written, bad, need
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import words

KNOWN = words(
    "best_of echo frequency_penalty logit_bias logprobs max_tokens model n presence_penalty prompt seed stop stream "
    "stream_options suffix temperature top_p user"
)
_DEFAULT_TOKENS = 16
"""``max_tokens`` if none is given (O-SPEC)."""


class Prompts(Ask):
    """One or more prompts, each answered by itself."""

    prompts: list[str] = msgspec.field(default_factory=list)


def read(body: Body, rules: Rules) -> Prompts:
    """Check *body* and return what it asks."""
    model = params.known_model(body, rules)
    params.check_known(body, KNOWN)
    params.sampling(body)
    prompt = need(body, "prompt", str, list)
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not prompts or not all(isinstance(text, str) for text in prompts):
        raise bad("Invalid 'prompt': expected a string or an array of strings.", "prompt", "invalid_type")
    limit = params.whole(body, "max_tokens", 1, params.MAX_OUTPUT_TOKENS) or _DEFAULT_TOKENS
    ask = Prompts(model, parts=list(prompts), prompts=prompts, limit=limit, stops=read_stops(body))
    ask.answers = params.whole(body, "n", 1, 128) or 1
    params.check_context(ask, rules, "prompt")
    return ask


def write(ask: Prompts, turn: Turn) -> Written:
    """Answer each prompt."""
    choices: list[dict[str, Any]] = []
    output = 0
    for text in ask.prompts:
        for _ in range(ask.answers):
            question = Ask(ask.model, text=text, limit=ask.limit, stops=ask.stops)
            thought = think(question, f"{turn.options.seed}/{len(choices) or ''}", turn.twist)
            finish = "length" if thought.stop == "length" else "stop"
            choices.append({"index": len(choices), "text": thought.text, "logprobs": None, "finish_reason": finish})
            output += thought.tokens
    usage = Usage(input=ask.tokens, output=output)
    body = {
        "id": f"cmpl-{turn.mark[:29]}",
        "object": "text_completion",
        "created": turn.created,
        "model": models.snapshot(ask.model),
        "choices": choices,
        "usage": usage_of(usage),
        "system_fingerprint": f"fp_{turn.mark[-10:]}",
    }
    return Written(body, usage)
