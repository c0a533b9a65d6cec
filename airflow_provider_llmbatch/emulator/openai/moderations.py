"""``/v1/moderations``: flags by a handful of words."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator.ids import fraction
from airflow_provider_llmbatch.emulator.mind.ask import IMAGE_TOKENS, count_bytes, count_tokens
from airflow_provider_llmbatch.emulator.openai import params
from airflow_provider_llmbatch.emulator.openai.params import Body, Rules, Turn, Written, bad, need, one_of, typed
from airflow_provider_llmbatch.emulator.usage import Usage

KNOWN = frozenset({"input", "model", "stream"})
DEFAULT_MODEL = "omni-moderation-latest"
_WORDS = {
    "harassment": "idiot stupid moron loser",
    "harassment/threatening": "",
    "hate": "subhuman vermin",
    "hate/threatening": "",
    "illicit": "steal shoplift launder counterfeit",
    "illicit/violent": "",
    "self-harm": "suicide",
    "self-harm/intent": "",
    "self-harm/instructions": "",
    "sexual": "porn",
    "sexual/minors": "",
    "violence": "kill murder stab shoot bomb",
    "violence/graphic": "gore dismember",
}
_IMAGES_TOO = ("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic")


class Inputs(msgspec.Struct):
    """Texts to judge; an image is judged by what stands next to it."""

    model: str
    texts: list[str]
    tokens: int


def read(body: Body, rules: Rules) -> Inputs:
    """Check *body* and return what it asks."""
    model = params.known_model({**body, "model": body.get("model") or DEFAULT_MODEL}, rules)
    params.check_known(body, KNOWN)
    given = need(body, "input", str, list)
    if not given:
        raise bad("Invalid 'input': it must not be empty.", "input", "invalid_value")
    if isinstance(given, list) and isinstance(given[0], dict):
        texts, extra = _read_parts(given)
    else:
        texts, extra = [typed(text, "input", str) for text in ([given] if isinstance(given, str) else given)], 0
    return Inputs(model, texts, sum(count_tokens(count_bytes(text)) for text in texts) + extra)


def _read_parts(parts: list[Any]) -> tuple[list[str], int]:
    texts, extra = [], 0
    for number, part in enumerate(parts):
        where = f"input[{number}]"
        kind = need(typed(part, where, dict), "type", str, path=f"{where}.")
        if one_of(kind, f"{where}.type", ("text", "image_url")) == "text":
            texts.append(need(part, "text", str, path=f"{where}."))
        else:
            image = need(part, "image_url", dict, path=f"{where}.")
            params.check_image(need(image, "url", str, path=f"{where}.image_url."), f"{where}.image_url.url")
            extra += IMAGE_TOKENS
    return [" ".join(texts)], extra


def write(inputs: Inputs, turn: Turn) -> Written:
    """Judge each text.  Moderation is free: nothing is billed."""
    results = [_judge(text) for text in inputs.texts]
    return Written({"id": f"modr-{turn.mark[:32]}", "model": inputs.model, "results": results}, Usage())


def _judge(text: str) -> dict[str, Any]:
    words = set(re.findall(r"\w+", text.lower()))
    categories = {name: not words.isdisjoint(listed.split()) for name, listed in _WORDS.items()}
    scores = {
        name: round(0.9 * flagged + fraction("moderation", name, text) / 11, 6) for name, flagged in categories.items()
    }
    kinds = {name: ["text", "image"] if name in _IMAGES_TOO else ["text"] for name in _WORDS}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": kinds,
    }
