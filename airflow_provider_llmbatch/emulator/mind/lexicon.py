"""Words that speak for a label, so that a demo's answers can be read without a wince.

Each entry: the names a label may go by, and the words (``*``: any ending) that are evidence for it.
"""

from __future__ import annotations

from typing import NamedTuple

POSITIVE = (
    "good great excellent amazing awesome love* lovely perfect* happy fantastic wonderful best nice enjoy* recommend* "
    "pleased delight* satisfied impress* helpful fast quick* thanks thank superb brilliant easy comfortable reliable "
    "beautiful* friendly works smooth* worth outstanding flawless* five"
)
NEGATIVE = (
    "bad terrible awful hate* worst poor* broke broken disappoint* refund useless slow* never problem* issue* horrible "
    "waste angry annoy* fail* defective damaged late missing cheap unhappy crash* return* rude wrong leak* stopped "
    "unusable frustrat* scratch* regret* cancel* complain* died dead noisy unfortunately avoid"
)
URGENT = "urgent* immediately asap emergency critical now outage down blocked blocking deadline severe security"

_ENTRIES = {
    "positive pos good favorable favourable happy satisfied praise compliment promoter": POSITIVE,
    "negative neg bad unfavorable unfavourable unhappy dissatisfied complaint detractor": NEGATIVE,
    "spam junk phishing scam": "free winner win won prize click offer lottery casino viagra bitcoin congratulations "
    "urgent account claim cash loan",
    "urgent high critical emergency p1": URGENT,
    "bug defect error incident": "bug error crash* broken exception traceback fail* stopped freeze* regression",
    "feature enhancement idea suggestion": "feature add would wish support could suggest* please allow option improve*",
    "question inquiry enquiry help": "how what why when where which who can could does is",
    "billing payment payments invoice finance": "bill* invoice* charge* charged payment pay paid refund* card price "
    "subscription",
    "shipping delivery logistics": "deliver* ship* shipped package parcel arrive* tracking courier late carrier",
    "returns return refund": "return* refund* exchange money",
    "technical tech support it": "install* error login password crash* app website server software update bug device "
    "driver",
    "account login access": "account login password sign signin email username profile locked access",
    "product quality item": "quality product material size colour color broke broken works battery screen fit",
    "price pricing cost value": "price* expensive cheap cost* discount value money worth",
    "service support staff": "service staff support agent rude helpful friendly waiter representative",
    "toxic abusive offensive hate harassment": "idiot stupid hate* kill moron dumb trash loser disgusting shut",
    "violence violent threat": "kill* murder attack* shoot* stab* bomb* hurt beat weapon",
    "sports sport": "game match team player* goal score* win season league coach football tennis olympic*",
    "politics political government": "election* president minister vote* parliament senate law government policy party",
    "technology tech computing": "software computer* app phone* chip ai internet startup robot* data device*",
    "business economy finance": "market* stock* company profit* bank* shares economy inflation trade revenue",
    "science research": "study research* scientist* species space physics experiment* climate planet telescope",
    "health medicine medical": "health doctor* patient* disease hospital vaccine* drug* symptom* medical treatment",
    "entertainment culture arts": "film movie* music actor* singer album show concert theatre festival celebrity",
    "yes true y correct": "yes true correct indeed definitely sure agree* confirmed",
    "no false n incorrect": "no not false wrong never incorrect disagree*",
    "english en": "the and is of to you it that",
    "french fr": "le la les et est des une vous je nous",
    "german de": "der die das und ist nicht ein ich sie wir",
    "spanish es": "el los las y es una que por usted muy",
    "italian it": "il gli che di e una sono per non",
}

FALLBACKS = (
    "neutral",
    "other",
    "unknown",
    "none",
    "unclear",
    "general",
    "normal",
    "medium",
    "ham",
    "not spam",
    "mixed",
)
"""Labels that are right when nothing speaks for any of them, best first."""


class Evidence(NamedTuple):
    """The words that speak for a label: whole ones, and beginnings."""

    words: frozenset[str]
    beginnings: tuple[str, ...]


def _evidence(words: str) -> Evidence:
    every = words.split()
    return Evidence(
        frozenset(word for word in every if not word.endswith("*")),
        tuple(word[:-1] for word in every if word.endswith("*")),
    )


EVIDENCE = {
    name: evidence for names, words in _ENTRIES.items() for evidence in [_evidence(words)] for name in names.split()
}
"""What speaks for each known label; the names of one entry share one object."""

_NEGATIONS = "not never no isn't wasn't don't doesn't didn't hardly cannot can't nothing without isnt dont didnt"
NEGATIONS = frozenset(_NEGATIONS.split())
"""Words that turn praise into blame and blame into praise, one or two words ahead of it."""
