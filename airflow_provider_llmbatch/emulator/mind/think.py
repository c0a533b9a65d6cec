"""Answer a question: call a tool, fill a schema, pick a label, or say what was asked."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator.mind.ask import Ask, Thought, Tool, count_bytes, count_tokens
from airflow_provider_llmbatch.emulator.mind.labels import choose, judge, offered_by, split_offer
from airflow_provider_llmbatch.emulator.mind.schema import Filler

REFUSAL = "I'm sorry, but I can't help with that."
_ECHO = 200
"""Characters of the question that an answer repeats."""


def think(ask: Ask, key: str, twist: str = "") -> Thought:
    """Answer *ask*.

    :param key: Decides where the words of the question do not: the seed.
    :param twist: What goes wrong on purpose: ``refusal``, ``truncated`` or ``invalid_json``.
    """
    if twist == "refusal":
        return Thought(REFUSAL, "refusal", tokens=count_tokens(len(REFUSAL)))
    tool = _choose_tool(ask)
    if tool is not None:
        arguments = Filler(tool.schema, _subject(ask), key).fill(tool.schema)
        thought = Thought("", "tool", tool, arguments if isinstance(arguments, dict) else {})
        size = len(msgspec.json.encode(thought.arguments)) + len(tool.name)
    else:
        thought = Thought(_text(ask, key))
        _stop_early(thought, ask.stops)
        size = count_bytes(thought.text)
    return _limit(thought, ask, max(1, count_tokens(size)), twist)


def _choose_tool(ask: Ask) -> Tool | None:
    if not ask.tools or ask.tool_choice == "none":
        return None
    named = [tool for tool in ask.tools if tool.name == ask.tool_choice]
    if named or len(ask.tools) == 1:
        return (named or ask.tools)[0]
    words = set(re.findall(r"\w{3,}", _subject(ask).lower()))
    # The first of those that share most words with the question; a stable order breaks ties.
    return max(ask.tools, key=lambda tool: len(words & _words_of(tool)))


def _words_of(tool: Tool) -> set[str]:
    return set(re.findall(r"\w{3,}", f"{tool.name.replace('_', ' ')} {tool.description}".lower()))


def _text(ask: Ask, key: str) -> str:
    if ask.schema is not None:
        return _encode(Filler(ask.schema, _subject(ask), key).fill(ask.schema))
    labels = offered_by(ask.system) if ask.system else ()
    subject = ask.text
    if not labels:
        labels, subject = split_offer(ask.text)
    answer = _label(labels, subject, ask, key) if labels else f"You asked: {_shorten(ask.text)}"
    if ask.wants_json:
        return _encode({"label" if labels else "answer": answer})
    return answer


def _label(labels: tuple[str, ...], subject: str, ask: Ask, key: str) -> str:
    if {label.lower() for label in labels} in ({"yes", "no"}, {"true", "false"}):
        verdict = judge(ask.system or ask.text.partition("\n")[0], subject)
        if verdict is not None:
            return next(label for label in labels if (label.lower() in ("yes", "true")) == verdict)
    return choose(labels, subject, key)


def _subject(ask: Ask) -> str:
    """Return the text that is to be judged, without the sentence that offers labels."""
    return split_offer(ask.text)[1]


def _shorten(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _ECHO else f"{words[: _ECHO - 1]}…"


def _encode(document: Any) -> str:
    return msgspec.json.encode(document).decode()


def _stop_early(thought: Thought, stops: tuple[str, ...]) -> None:
    for stop in stops:
        at = thought.text.find(stop)
        if at >= 0:
            thought.text, thought.stop, thought.sequence = thought.text[:at], "sequence", stop


def _limit(thought: Thought, ask: Ask, tokens: int, twist: str) -> Thought:
    """Spend the reasoning tokens first, then cut the answer to what is left of the limit."""
    limit = ask.limit
    if twist == "truncated":
        limit = ask.reasoning + max(1, tokens // 2 if tokens > 1 else 0)
    if twist == "invalid_json":
        thought.text = thought.text.rstrip('}] "') or '{"answer": "'
        thought.arguments = None
    left = None if limit is None else max(0, limit - ask.reasoning)
    if (left is not None and tokens > left) or twist == "truncated":
        tokens = left or 0
        cut = thought.text.encode()[: min(4 * tokens, max(0, len(thought.text.encode()) - 1))]
        thought.text = cut.decode(errors="ignore")
        thought.stop = "length"
        thought.tool = None
    thought.reasoning = ask.reasoning if limit is None else min(ask.reasoning, limit)
    thought.tokens = tokens + thought.reasoning
    return thought
