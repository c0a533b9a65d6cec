"""Which of OpenAI's endpoints a request is for, and what a batch can ask of none of them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from airflow_provider_llmbatch.core.requests import Ask
from airflow_provider_llmbatch.exceptions import InputError

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"
MODERATIONS = "/v1/moderations"

CAPS: dict[str, tuple[str, ...]] = {
    CHAT: ("max_completion_tokens", "max_tokens"),
    RESPONSES: ("max_output_tokens",),
    COMPLETIONS: ("max_tokens",),
}
"""Names of the answer's upper bound: the first is the one we write, the others are older."""

_PLACES = {"messages", "input", "prompt", "stored_prompt"}
"""Where a body says what it asks. The responses' ``prompt`` is a mapping, and nothing but the name is the same."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KNOWN = {
    CHAT: _words(
        "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages "
        "metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key "
        "prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed "
        "service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity "
        "web_search_options"
    ),
    RESPONSES: _words(
        "access_programs background background_options context_management conversation image include input "
        "instructions max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls "
        "previous_response_id prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier "
        "service_tier store stored_prompt stream stream_options temperature text tool_choice tools top_logprobs top_p "
        "truncation user"
    ),
    EMBEDDINGS: _words("dimensions encoding_format input model user"),
    COMPLETIONS: _words(
        "best_of echo frequency_penalty logit_bias logprobs max_tokens model n presence_penalty prompt seed stop "
        "stream stream_options suffix temperature top_p user"
    ),
    MODERATIONS: _words("input model"),
}
"""The parameters of each endpoint (``openai`` 3.54, its request types). One that is nowhere here decides nothing."""
_ALL = frozenset().union(*_KNOWN.values())
ENDPOINTS = tuple(_KNOWN)

_NAMED = {"text-embedding": EMBEDDINGS, "omni-moderation": MODERATIONS, "text-moderation": MODERATIONS}
"""How names of models begin that answer at one endpoint only."""

_REFUSED = {
    "stream": "it answers when all is done",
    "background": "it runs in the background as it is",
    "previous_response_id": "what it does with an earlier answer is undocumented",
    "conversation": "what it does with a conversation is undocumented",
    "n": "answers after the first would be paid and lost",
}
"""What is stopped, and why (FACTS §1.1, §1.10)."""
_HARMLESS = {"n": (None, 0, 1)}


def choose_endpoint(ask: Ask, stated: str | None) -> str:
    """Return the endpoint that *ask* is for: the stated one, or the only one that its body fits.

    Without a body it is chat. A wrong guess would be paid for, so what fits several endpoints is not guessed.

    :raises InputError: It cannot be told, or what is stated and what is asked do not go together.
    """
    if stated is not None:
        _check_stated(ask, stated)
        return stated
    names = _names({**ask.body, **ask.params} if ask.body else {})
    fitting = [endpoint for endpoint, known in _KNOWN.items() if names <= known]
    if not fitting:
        raise InputError(
            f"the body fits no endpoint of OpenAI: it has {_listed(names)}, which do not go together. Nothing was "
            f"sent. State endpoint=, one of {', '.join(ENDPOINTS)}, or correct the body."
        )
    if CHAT not in fitting and len(fitting) > 1:
        raise InputError(
            f"the body has {_listed(names)}, which {', '.join(fitting)} all take. Nothing was sent. State which one is "
            f"meant: endpoint='{fitting[0]}', for example."
        )
    chosen = CHAT if CHAT in fitting else fitting[0]
    _check_model(ask.model, chosen)
    return chosen


def refuse(body: Mapping[str, Any]) -> None:
    """Stop what a batch cannot do, before anything is paid.

    :raises InputError: *body* asks for it.
    """
    for name, why in _REFUSED.items():
        if body.get(name) not in _HARMLESS.get(name, (None, False, "")):
            raise InputError(f"{name!r} cannot be asked in a batch: {why}. Nothing was sent. Leave it out.")


def lane(endpoint: str, model: Any) -> str:
    """Return what a batch must have in common: one endpoint, and one model (FACTS §1.1)."""
    return f"{endpoint} {model or ''}"


def count_inputs(given: Any) -> int:
    """Return how many inputs of an embeddings request count against the limit of its batch (FACTS §1.2).

    A list of token numbers is one input; a list of texts, or of such lists, is as many as it holds.
    """
    return len(given) if isinstance(given, list) and not all(isinstance(item, int) for item in given) else 1


def _names(body: Mapping[str, Any]) -> Set[str]:
    """Return the names in *body* by which endpoints are told apart."""
    names = {name for name, value in body.items() if value is not None}
    if "prompt" in names and isinstance(body["prompt"], Mapping):
        names = names - {"prompt"} | {"stored_prompt"}
    return names & _ALL


def _check_stated(ask: Ask, stated: str) -> None:
    if stated not in _KNOWN:
        raise InputError(
            f"endpoint {stated!r}: OpenAI requests can be made for {', '.join(ENDPOINTS)}. Nothing was sent."
        )
    places = _names(ask.body) & _PLACES
    if places and not places & _KNOWN[stated]:
        raise InputError(
            f"endpoint {stated!r} takes no {_listed(places)}, where the body says what it asks. Nothing was sent. "
            "State the endpoint that the body is made for, or none."
        )


def _check_model(model: str, chosen: str) -> None:
    wanted = next((endpoint for start, endpoint in _NAMED.items() if model.startswith(start)), chosen)
    if wanted != chosen:
        raise InputError(
            f"model {model!r} does not answer at {chosen}, which is what this request is made for. Nothing was sent. "
            f"State endpoint={wanted!r}."
        )


def _listed(names: Set[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
