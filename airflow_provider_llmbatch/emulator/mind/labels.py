"""Find the labels that a prompt offers, and pick the one for which the text speaks."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from airflow_provider_llmbatch.emulator.ids import digest
from airflow_provider_llmbatch.emulator.mind.lexicon import EVIDENCE, FALLBACKS, NEGATIONS, Evidence

_WORD = r"(?!(?:or|and)\b)[\w&'+#-]+"
_ITEM = rf"[\"'`*<]*{_WORD}(?:[ ]{_WORD}){{0,2}}[\"'`*>]*"
_LIST = rf"{_ITEM}(?:\s*(?:[,;|/]\s*(?:(?:or|and)\s+)?|\s(?:or|and)\s+){_ITEM})+"
_LEAD = (
    r"(?:\b(?:one|any) of\b|\b(?:labels?|categor(?:y|ies)|class(?:es)?|options?|choices|tags)\s*(?:are\b|is\b|:|=)"
    r"|\b(?:answer|respond|reply) (?:only )?with\b|\b(?:choose|pick|select) (?:from|between|one)\b|\beither\b"
    r"|\bclassif\w+ [^.\n:]{0,60}?\b(?:as|into)\b|\blabel [^.\n:]{0,60}?\bas\b|\bis (?:it|this|that|the)(?: \w+)?\b)"
)
_FILLER = (
    r"(?:\s*(?:the|these|following|exactly|of|one|word|labels?|categories|classes|options|values|:|either)\b)*\s*:?\s*"
)

_NOUNS = ("label", "categor", "class", "option", "choice", "tag", "one of", "any of")

_OFFERS = (
    # A list of bullets under a heading.
    (
        (":\n", ": \n", ":\r\n"),
        re.compile(
            r"(?:labels|categories|classes|options|choices|one of[^\n:]*)\s*:\s*\n"
            r"((?:\s*[-*•\d.)]+\s+[^\n]+\n?){2,})",
            re.IGNORECASE,
        ),
    ),
    # (positive|negative|neutral)
    (("|", "/"), re.compile(rf"[(\[{{<]\s*({_ITEM}(?:\s*[|/]\s*{_ITEM})+)\s*[)\]}}>]")),
    # Answer with one of positive, negative or neutral.
    (
        (*_NOUNS, "answer", "respond", "reply", "choose", "pick", "select", "either", "is it", "is th"),
        re.compile(rf"{_LEAD}{_FILLER}({_LIST})", re.IGNORECASE),
    ),
    (("yes", "true"), re.compile(r"\b(yes\s*(?:or|/|\|)\s*no|true\s*(?:or|/|\|)\s*false)\b", re.IGNORECASE)),
)
"""How labels are offered: words without which the search is in vain, and what to search for."""
_SPLIT = re.compile(r"\s*(?:[,;|/\n]|\s(?:or|and)\s)\s*(?:(?:or|and)\s+)?", re.IGNORECASE)
_NO_LABELS = frozenset(("is", "it", "the", "a", "an", "to", "of", "this", "that", "in", "on"))
_TRIM = "\"'`*<>.- \t"
_SEARCHED = 6_000
"""Characters of a prompt that are searched for labels, half from its beginning and half from its end."""


@functools.lru_cache(maxsize=256)
def offered_by(instructions: str) -> tuple[str, ...]:
    """Return the labels that *instructions*, the same for many rows, offer."""
    return split_offer(instructions)[0]


def split_offer(text: str) -> tuple[tuple[str, ...], str]:
    """Return the labels that *text* offers, and the text without the sentence that offers them."""
    if len(text) > _SEARCHED:
        text = text[: _SEARCHED // 2] + "\n" + text[-_SEARCHED // 2 :]
    lower = text.lower()
    for hints, pattern in _OFFERS:
        found = pattern.search(text) if any(hint in lower for hint in hints) else None
        labels = _clean(found.group(1)) if found else ()
        if found and 2 <= len(labels) <= 50:
            return labels, _without(text, found)
    return (), text


def choose(labels: Sequence[str], text: str, key: str) -> str:
    """Return the label for which most words of *text* speak; *key* decides between equals."""
    words = _Words(text)
    names = [_name(label) for label in labels]
    scores = [words.score(name) for name in names]
    best = max(scores)
    tied = [label for label, score in zip(labels, scores, strict=True) if score == best]
    if best > 0 and len(tied) == 1:
        return tied[0]
    for fallback in ("mixed", *FALLBACKS) if best > 0 else FALLBACKS:
        if fallback in names:
            return labels[names.index(fallback)]
    return tied[int(digest(key, text)[:8], 16) % len(tied)]


def judge(question: str, text: str) -> bool | None:
    """Answer "Is this spam?" by the words of *text*; ``None`` if the question names nothing we know."""
    for word in re.findall(r"[a-z]+", question.lower()):
        if word in EVIDENCE and word not in _ANSWERS:
            return _Words(text).count(word) > 0
    return None


def polarity(text: str) -> int:
    """Return how many more words of praise than of blame *text* has."""
    words = _Words(text)
    return words.count("positive") - words.count("negative")


_ANSWERS = ("yes", "no", "true", "false", "it", "and", "is", "of", "the", "to", "that")
_OPPOSITE = {"positive": "negative", "negative": "positive"}


class _Words:
    """The words of a text, and where those stand that speak for a label."""

    def __init__(self, text: str) -> None:
        self.words = re.findall(r"[\w']+", text[:_SEARCHED].lower())
        self.different = set(self.words)
        self.hits: dict[int, list[int]] = {}

    def score(self, name: str) -> int:
        """Count the words for a label; its own name counts three times."""
        named = " ".join(self.words).count(name) if " " in name else self.words.count(name)
        return 3 * named + sum(self.count(part) for part in set(name.split()) if part in EVIDENCE)

    def count(self, name: str) -> int:
        """Count the words that speak for *name*: "not good" is blame, "no problems" is praise."""
        evidence = EVIDENCE[name]
        count = len(self.found(evidence))
        for sentiment, opposite in _OPPOSITE.items():
            if evidence is EVIDENCE[sentiment]:
                count += self.negated(EVIDENCE[opposite]) - self.negated(evidence)
        return count

    def found(self, evidence: Evidence) -> list[int]:
        """Return where words of *evidence* stand."""
        if id(evidence) not in self.hits:
            whole, beginnings = evidence
            matching = {word for word in self.different if word in whole or word.startswith(beginnings)}
            self.hits[id(evidence)] = [at for at, word in enumerate(self.words) if word in matching] if matching else []
        return self.hits[id(evidence)]

    def negated(self, evidence: Evidence) -> int:
        """Count those with a negation one or two words ahead."""
        return sum(not NEGATIONS.isdisjoint(self.words[max(0, at - 2) : at]) for at in self.found(evidence))


def _name(label: str) -> str:
    return re.sub(r"[_\s-]+", " ", label).strip().lower()


def _clean(offer: str) -> tuple[str, ...]:
    if "\n" in offer:
        items = [re.sub(r"^\s*[-*•\d.)]+\s+", "", line).split(":")[0].strip(_TRIM) for line in offer.splitlines()]
    else:
        items = [item.strip(_TRIM) for item in _SPLIT.split(offer)]
        # "positive, negative or neutral the following review": a lone word is followed by the rest of its sentence.
        if len(items) > 1 and all(" " not in item for item in items[:-1]):
            items[-1] = items[-1].split(" ")[0].strip(_TRIM)
        if len(items) > 1 and all(" " not in item for item in items[1:]):
            items[0] = items[0].split(" ")[-1].strip(_TRIM)
    if any(item.lower() in _NO_LABELS for item in items):
        return ()
    if "/" in offer and "|" not in offer and not any(_name(item) in (*EVIDENCE, *FALLBACKS) for item in items):
        return ()  # "(he/she)" offers nothing.
    return tuple(dict.fromkeys(item for item in items if item))


def _without(text: str, found: re.Match[str]) -> str:
    start = max(text.rfind(mark, 0, found.start()) for mark in (". ", "\n", "! ", "? ", ": "))
    return f"{text[: start + 1]} {text[found.end() :]}"
