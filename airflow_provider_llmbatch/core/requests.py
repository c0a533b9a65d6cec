"""What we will ask: one :class:`Ask` per record, in words that are no vendor's.

A hook turns an ask into the vendor's body, and the body into the exact bytes of one request line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, NamedTuple, get_args

from airflow_provider_llmbatch.core.prompts import Prompt
from airflow_provider_llmbatch.core.records import Block, Record
from airflow_provider_llmbatch.core.schemas import OutputSchema, Tool
from airflow_provider_llmbatch.exceptions import InputError

ROLES = ("system", "developer", "user", "assistant", "tool")
SYSTEM_ROLES = ("system", "developer")

CachePattern = Literal[
    "tools_only", "system_and_tools", "last_user_message", "last_2_user_messages", "last_3_user_messages", "automatic"
]
"""Up to where the vendor's prompt cache shall reach; ``automatic``: as far as all records share the request."""
CacheTtl = Literal["5m", "1h"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a job asks of every record.

    :ivar model: Model name without the vendor; ``""`` where every record brings its own.
    :ivar prompt: Template source, or ``None`` to take ``record.prompt``.
    :ivar system: Template source of the system text, or ``None``.
    :ivar messages: Messages put before the prompt, each ``{"role", "content"}``; the texts in them are templates.
    :ivar body: The vendor's own body, into which everything else is merged.
    :ivar endpoint: The vendor's path, or ``None`` for the vendor's usual one.
    :ivar params: Merged into every body.
    :ivar max_tokens: Upper bound of each answer, in tokens; ``None`` leaves it to the vendor where that is legal.
    :ivar output: What each answer must look like; ``None``: text.
    :ivar tools: Functions that the model may call.
    :ivar cache: Where to mark the request for a prompt cache that needs marks; ``None``: nowhere.
    :ivar cache_ttl: How long that cache is to remember.
    :raises InputError: ``cache`` or ``cache_ttl`` is none of those that there are.
    """

    model: str
    prompt: str | None = None
    system: str | None = None
    messages: Sequence[Mapping[str, Any]] | None = None
    body: Mapping[str, Any] | None = None
    endpoint: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = 1024
    output: OutputSchema | None = None
    tools: Sequence[Tool] = ()
    cache: CachePattern | None = None
    cache_ttl: CacheTtl = "1h"

    def __post_init__(self) -> None:
        _check_choice("cache", self.cache, (None, *get_args(CachePattern)))
        _check_choice("cache_ttl", self.cache_ttl, get_args(CacheTtl))


def _check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        raise InputError(f"{name}={value!r}: it must be one of {', '.join(map(repr, choices))}. Nothing was sent.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One record's request, before it is put into a vendor's words.

    :ivar shared: How many parts at its start all records share: 0 the tools at most, 1 the system text as well,
        1 + *n* the first *n* messages as well.
    """

    model: str
    messages: list[dict[str, Any]]
    system: str | None
    max_tokens: int | None
    params: dict[str, Any]
    body: dict[str, Any]
    output: OutputSchema | None = None
    tools: Sequence[Tool] = ()
    cache: CachePattern | None = None
    cache_ttl: CacheTtl = "1h"
    shared: int = 1


class Request(NamedTuple):
    """One request, in the vendor's words.

    :ivar line: The exact bytes we are billed for, with their newline.
    :ivar lane: What all requests of one batch must have in common, such as the model; ``""``: nothing.
    :ivar inputs: Texts in it that count against a limit of their own (embeddings); 0: none.
    """

    line: bytes
    lane: str = ""
    inputs: int = 0


class Requests(NamedTuple):
    """Requests of consecutive records, all of one kind.

    :ivar first: Index of the first record.
    :ivar total: How many there are.
    :ivar lines: Their lines, one after the other.
    :ivar lane: As in :class:`Request`.
    :ivar inputs: Of each.
    """

    first: int
    total: int
    lines: bytes
    lane: str = ""
    inputs: int = 0

    def halves(self) -> tuple[Requests, Requests]:
        """Return them in two parts; there must be at least two."""
        middle = self.total // 2
        lines = self.lines.splitlines(keepends=True)
        return (
            self._replace(total=middle, lines=b"".join(lines[:middle])),
            self._replace(first=self.first + middle, total=self.total - middle, lines=b"".join(lines[middle:])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a later round asks otherwise.

    :ivar model: Another model, without the vendor; ``None``: the same.
    :ivar max_tokens: Another upper bound of the answer, in tokens; ``None``: the same.
    :ivar turns: Turns to add at the end, each ``{"role": "assistant" | "user", "content": text}``.
    """

    model: str | None = None
    max_tokens: int | None = None
    turns: Sequence[Mapping[str, str]] = ()


SAME = Change()
"""The same question again."""


class Composer:
    """*question*, compiled once: turns a record into its ask.

    Without a ``prompt``, a record is a request: it may carry its own ``messages``, ``body``, ``system``, ``model`` and
    ``request_params``, which win over the question's. With one, its columns are data: a table of e-mails has a
    ``body``, a table of phones a ``model``. Only a question that names no model takes it from the record all the same.

    :param context: Names that the templates may use besides ``record``.
    :raises TemplateError: A template is malformed (at once) or asks for a missing field (per record).
    """

    def __init__(self, question: Question, context: Mapping[str, Any] | None = None) -> None:
        self._question = question
        self._prompt = Prompt(question.prompt, context) if question.prompt is not None else None
        self._system = Prompt(question.system, context, what="system") if question.system is not None else None
        self._messages = list(question.messages or ())
        self._before = _compiled(self._messages, context)
        self._body = dict(question.body or {})
        self._model = self._body.get("model") or question.model
        is_fixed = self._system is None or self._system.is_constant
        self._shared = _count_shared(self._messages) if is_fixed else 0
        self._templates = [text for text in (self._prompt, None if is_fixed else self._system) if text is not None]

    def __call__(self, record: Record) -> Ask:
        own = record.fields if self._prompt is None else {}
        body = {**self._body, **_mapping(own.get("body"), "body", record)}
        model = own.get("model") or body.get("model") or self._question.model or record.fields.get("model")
        if not isinstance(model, str) or not model:
            raise InputError(
                f"record {record.index} (key {record.key!r}) names no model, and neither do the task and its "
                "connection. Nothing was sent. Set model='<vendor>:<model>'.",
                index=record.index,
            )
        turns = _turns(record, self._prompt, is_asked=bool(body or self._messages))
        has_own = own.get("system") or own.get("body") or any(turn["role"] in SYSTEM_ROLES for turn in turns)
        return self._made(
            model,
            [*self._before(record), *turns],
            own.get("system") or (self._system.render(record) if self._system else None),
            body,
            _mapping(own.get("request_params"), "request_params", record),
            0 if has_own else self._shared,
        )

    @property
    def is_uniform(self) -> bool:
        """Whether the asks of two records can differ in nothing but their rendered texts."""
        return (
            self._prompt is not None
            and isinstance(self._model, str)
            and self._model != ""
            and not _varies(self._messages)
        )

    @property
    def count_of_texts(self) -> int:
        """How many rendered texts a uniform ask has."""
        return len(self._templates)

    def texts(self, block: Block) -> list[Sequence[str]]:
        """Return the rendered texts of uniform asks: the prompts, and the system texts if that is a template."""
        return [template.render_all(block) for template in self._templates]

    def ask(self, texts: Sequence[str]) -> Ask:
        """Return the uniform ask with these *texts*."""
        nobody = Record(0, "", {})
        system = texts[1] if len(texts) > 1 else self._system.render(nobody) if self._system else None
        turns = [*self._before(nobody), {"role": "user", "content": texts[0]}]
        return self._made(str(self._model), turns, system, self._body, {}, self._shared)

    def _made(
        self,
        model: str,
        turns: list[Any],
        system: Any,
        body: Mapping[str, Any],
        params: Mapping[str, Any],
        shared: int,
    ) -> Ask:
        question = self._question
        return Ask(
            model=model,
            messages=turns,
            system=system,
            max_tokens=question.max_tokens,
            params={**question.params, **params},
            body=dict(body),
            output=question.output,
            tools=question.tools,
            cache=question.cache,
            cache_ttl=question.cache_ttl,
            shared=shared,
        )


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def _varies(value: Any) -> bool:
    """Return whether any text in *value* is a template."""
    if isinstance(value, Mapping):
        return any(map(_varies, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return any(map(_varies, value))
    return isinstance(value, str) and _is_template(value)


def _count_shared(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return :attr:`Ask.shared` for a constant system text and these messages before the prompt."""
    varying = [place for place, message in enumerate(messages) if _varies(message)]
    if any(messages[place].get("role") in SYSTEM_ROLES for place in varying):
        return 0
    return 1 + (varying[0] if varying else len(messages))


def _compiled(value: Any, context: Mapping[str, Any] | None) -> Callable[[Record], Any]:
    """Compile every text in *value* that is a template; the rest stays as it is."""
    if isinstance(value, str) and _is_template(value):
        return Prompt(value, context, what="messages").render
    if isinstance(value, Mapping):
        named = {name: _compiled(item, context) for name, item in value.items()}
        return lambda record: {name: render(record) for name, render in named.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        items = [_compiled(item, context) for item in value]
        return lambda record: [render(record) for render in items]
    return lambda record: value


def _turns(record: Record, prompt: Prompt | None, *, is_asked: bool) -> list[dict[str, Any]]:
    """Return the messages that *record* itself adds: its rendered prompt, its own, or its ``prompt`` column.

    :param is_asked: Whether there is a question without them.
    """
    if prompt is not None:
        return [{"role": "user", "content": prompt.render(record)}]
    if record.fields.get("messages"):
        return _messages(record)
    if record.fields.get("prompt") is not None:
        return [{"role": "user", "content": record.fields["prompt"]}]
    if is_asked:
        return []
    raise InputError(
        f"record {record.index} (key {record.key!r}) has nothing to ask: no `prompt` template was given, and it has no "
        f"column 'prompt', 'messages' or 'body'. It has {', '.join(map(repr, record.fields)) or 'no columns'}. "
        "Nothing was sent.",
        index=record.index,
    )


def _messages(record: Record) -> list[dict[str, Any]]:
    found = record.fields["messages"]
    if isinstance(found, Sequence) and all(map(_is_message, found)):
        return [dict(message) for message in found]
    raise InputError(
        f"record {record.index} (key {record.key!r}): its column 'messages' must be a list of mappings with 'role' "
        f"({', '.join(ROLES)}) and 'content'. Nothing was sent.",
        index=record.index,
    )


def _is_message(message: Any) -> bool:
    return isinstance(message, Mapping) and message.get("role") in ROLES and "content" in message


def _mapping(value: Any, what: str, record: Record) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise InputError(
        f"record {record.index} (key {record.key!r}): its column {what!r} must be a mapping. Nothing was sent.",
        index=record.index,
    )


def job_id(*, dag_id: str, run_id: str, task_id: str, map_index: int, fingerprint: str, generation: int = 0) -> str:
    """Return the ten hex digits that mark everything of one job at the vendor.

    ``try_number`` is not in it, so that every attempt finds what an earlier one sent, even if the job's folder was
    lost. *fingerprint* and *generation* (how often this question was reset) are, so that a new question is never
    answered with the old one's batches.
    """
    parts = [dag_id, run_id, task_id, str(map_index), fingerprint, str(generation)]
    return sha256("\0".join(parts).encode()).hexdigest()[:10]


def custom_id(job: str, round_: int, index: int | Literal[""]) -> str:
    """Return the id that the vendor echoes with the answer to record *index* of round *round_*; ``""``: its start."""
    return f"{job}-{round_}-{index}"


class Name:
    """What the custom ids of one job and round begin with."""

    def __init__(self, job: str, round_: int) -> None:
        self._start = f"{job}-{round_}-"
        self._length = len(self._start)

    def index_in(self, text: str) -> int | None:
        """Return the record index in the custom id *text*, or ``None`` if it is not of this job and round."""
        try:
            index = int(text[self._length :])
        except ValueError:
            return None
        return index if index >= 0 and text == f"{self._start}{index}" else None

    def places(self, indexes: range) -> Callable[[str], int | None]:
        """Return a function that tells, of a custom id, which of consecutive *indexes* it names, or ``None``."""
        start, length, first, last = self._start, self._length, indexes[0], indexes[-1]

        def place(text: str) -> int | None:
            try:
                index = int(text[length:])
            except ValueError:
                return None
            return index - first if first <= index <= last and text == f"{start}{index}" else None

        return place


def index_of(text: str, *, job: str, round_: int) -> int | None:
    """Return what :meth:`Name.index_in` does."""
    return Name(job, round_).index_in(text)
