"""The main operator: a table in, the same table out with an answer, a verdict and a price in every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from airflow_provider_llmbatch._compat import BaseOperator, Context, XComArg, conf, deprecated_names
from airflow_provider_llmbatch._shell import (
    PATIENCE,
    airflow_errors,
    folder_uri,
    identity_of,
    lookup_since,
    publish,
    wait_here,
    waiting_for,
)
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.operators._words import estimated, in_short, submitted
from airflow_provider_llmbatch.sources import sealed
from airflow_provider_llmbatch.vendors import load_hook, split_model

if TYPE_CHECKING:  # a DAG file is parsed again and again: what does the work is imported where the work is done
    from airflow_provider_llmbatch.core.repairs import Repair
    from airflow_provider_llmbatch.core.requests import CachePattern, CacheTtl
    from airflow_provider_llmbatch.engine import Job, Wait
    from airflow_provider_llmbatch.engine.begin import Identity, OnChange
    from airflow_provider_llmbatch.engine.job import Terms
    from airflow_provider_llmbatch.sources import SqlSource


class JobShell(BaseOperator):
    """An operator that takes a job as far as it goes, waits for the vendor, and goes on.

    :param output_uri: Where the rows go: a file whose suffix decides the format (``.jsonl``, ``.jsonl.gz``, ``.csv``,
        ``.parquet``), a folder of parts (``…/labels.parquet/``), or a table (``sql://conn_id/schema.table``). Default:
        ``output.jsonl`` in the job's folder. (templated)
    :param max_rounds: Passes of questions, the first one included; later ones ask only what has no good answer yet.
    :param max_failed_ratio: Share of records, 0 to 1, that may be without a good answer. No good answer at all is
        always a failure.
    :param output_type: What every answer must be: a Pydantic model, a dataclass, a ``TypedDict``, any other type that
        Pydantic takes, or a JSON Schema. ``llm_output`` is then the validated value. Default: text.
    :param repair: ``repair(record, error) -> record | None`` makes another record of one whose question has to change,
        for example because it is too long for the model; ``None`` gives it up. Ready-made ones are in
        :mod:`airflow_provider_llmbatch.core.repairs`.
    :param fallback_model: A model of the same vendor for the rows that keep failing: it is asked in the last round,
        and as soon as the first one can do no more. (templated)
    :param max_cost_usd: What the whole job may cost, in US dollars. What could take it above that is not sent: the task
        fails before the first paid call, before a round or between batches, with the numbers and with everything kept.
        Raise the cap and clear the task to go on. Default: none; for a task that continues another's job, the cap that
        the job was begun with. (templated)
    :param max_active_batches: Batches of this job at the vendor at once. Default: no limit.
    :param max_enqueued_tokens: Tokens of this job's prompts in one of the vendor's queues at once; batches are cut so
        that each fits. Default: what the vendor says, if the connection has an ``admin_key`` to ask it with or once it
        refuses a batch.
    :param deadline: Time from the first submission until the task gives up waiting. Default 26 hours.
    :param poll_interval: Seconds between two looks at the open batches, at most; young batches are looked at sooner.
    :param deferrable: Wait in the triggerer, without a worker slot. Default: ``[operators] default_deferrable``.
    :param cancel_on_kill: When the task is killed, ask the vendor to cancel what is running.
    """

    def __init__(
        self,
        *,
        output_uri: str | None = None,
        max_rounds: int = 3,
        max_failed_ratio: float = 1.0,
        output_type: Any = None,
        repair: Repair | None = None,
        fallback_model: str | None = None,
        max_cost_usd: float | str | Decimal | None = None,
        max_active_batches: int | None = None,
        max_enqueued_tokens: int | None = None,
        deadline: timedelta | float = PATIENCE,
        poll_interval: float = 60,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_uri = output_uri
        self.max_rounds = max_rounds
        self.max_failed_ratio = max_failed_ratio
        self.output_type = output_type
        self.repair = repair
        self.fallback_model = fallback_model
        self.max_cost_usd = max_cost_usd
        self.max_active_batches = max_active_batches
        self.max_enqueued_tokens = max_enqueued_tokens
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.cancel_on_kill = cancel_on_kill
        self._job: Job | None = None

    def _terms(self) -> Terms:
        from airflow_provider_llmbatch.engine.job import Terms

        if self.max_rounds < 1 or not 0 <= self.max_failed_ratio <= 1 or self.poll_interval <= 0:
            raise InputError(
                "max_rounds must be at least 1, max_failed_ratio between 0 and 1, and poll_interval above 0. "
                "Nothing was sent."
            )
        for name in ("max_active_batches", "max_enqueued_tokens"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, or None for no limit. Nothing was sent.")
        patience = self.deadline.total_seconds() if isinstance(self.deadline, timedelta) else float(self.deadline)
        return Terms(
            output_uri=self.output_uri,
            max_rounds=self.max_rounds,
            max_failed_ratio=self.max_failed_ratio,
            max_active_batches=self.max_active_batches,
            max_enqueued_tokens=self.max_enqueued_tokens,
            output_type=self.output_type,
            repair=self.repair,
            fallback_model=self._fallback(),
            max_cost_usd=self._cap(),
            patience=patience,
        )

    def _cap(self) -> Decimal | None:
        if self.max_cost_usd is None:
            return None
        try:
            cap = Decimal(str(self.max_cost_usd))
        except InvalidOperation:
            cap = Decimal("NaN")
        if not cap.is_finite() or cap < 0:
            raise InputError(
                f"max_cost_usd={self.max_cost_usd!r} must be US dollars, such as 25 or '0.50', or None for no cap. "
                "Nothing was sent."
            )
        return cap

    def _fallback(self) -> str | None:
        """Return the fallback model without its vendor."""
        return split_model(self.fallback_model)[1] or None if self.fallback_model else None

    def _check_fallback(self, vendor: str) -> None:
        if self.fallback_model and split_model(self.fallback_model)[0] != vendor:
            raise InputError(
                f"fallback_model {self.fallback_model!r} must be of the same vendor as the model ({vendor!r}): a job "
                "has one connection. Nothing was sent."
            )

    def _finish(self, job: Job, identity: Identity) -> dict[str, Any]:
        """Go on until the output is written; defer or wait in between."""
        from airflow_provider_llmbatch.engine import Done, advance

        self._job = job
        while True:
            outcome = advance(job)
            if isinstance(outcome, Done):
                publish(job, identity, "completed", outcome.summary)
                self.log.info("Job %s: %s", job.folder.uri, in_short(outcome.summary))
                return outcome.summary
            publish(job, identity, "in_progress")
            self._wait(job, outcome, identity)

    def _wait(self, job: Job, wait: Wait, identity: Identity) -> None:
        from airflow_provider_llmbatch.triggers.job import LLMBatchJobTrigger

        waiting = waiting_for(job, wait, poll_interval=self.poll_interval, identity=identity)
        if self.deferrable:
            self.defer(
                trigger=LLMBatchJobTrigger(cancel_on_kill=self.cancel_on_kill, **asdict(waiting)),
                method_name=self.resume.__name__,
            )
        wait_here(waiting, self.log)

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Go on after a deferral, from the job's folder alone: an edited DAG file does not change what was asked."""
        with airflow_errors():
            if not event or not event.get("job_uri"):
                raise InputError(
                    f"the trigger's event {event!r} names no job. Nothing is lost or sent; clear the task to go on."
                )
            job = self._open(str(event["job_uri"]), context)
            return self._finish(job, identity_of(context))

    def _open(self, uri: str, context: Context) -> Job:
        """Open a job from its folder alone."""
        from airflow_provider_llmbatch.engine.begin import resume

        return resume(uri, self._terms(), context=names_of(context), log=self.log)

    def on_kill(self) -> None:
        """Ask the vendor to cancel, and return at once: what had finished is collected by the next attempt."""
        if self._job is None:
            return
        from airflow_provider_llmbatch.engine.submit import cancel

        self._job.is_stopped = True  # Airflow 3 lets the process run on for seconds: it must not buy anything in them
        if self.cancel_on_kill:
            cancel(self._job)


class LLMBatchJobOperator(JobShell):
    """Send every record of a source to a vendor's batch API, and write the same records back with their answers.

    One task, as many batches as it takes. Safe to retry and to clear: every attempt reads what the last one wrote
    down, waits for the batches that are already paid for, and asks only what was never accepted.

    :param source: URI of a ``.jsonl``, ``.jsonl.gz``, ``.csv`` or ``.parquet`` file, of a folder of such files, or a
        pattern; a :class:`~airflow_provider_llmbatch.sources.SqlSource`; a list of strings or mappings; or a data frame
        or another table that speaks Arrow. (templated if it is a URI or a query; records are never rendered)
    :param model: ``"<vendor>:<model>"``, for example ``"anthropic:claude-haiku-5-5"``; ``"<vendor>:"`` where every
        record brings its own. Default: ``model`` in the extra of *conn_id*. (templated)
    :param prompt: Jinja template of the user turn, rendered once per record with ``record`` and Airflow's context, in
        a sandbox. Default: the record's column ``prompt``.
    :param system: The same for the system text.
    :param messages: Messages before the prompt, each ``{"role", "content"}``; the texts in them are templates too.
    :param body: The vendor's own request body, into which everything else is merged.
    :param endpoint: The vendor's path, such as ``/v1/responses``. Default: the vendor's usual one.
    :param request_params: Merged into every request body.
    :param max_tokens: Upper bound of each answer, in tokens.
    :param tools: Functions that the model may call: Python functions, Pydantic models, or mappings in the vendor's own
        words. ``llm_output`` is then ``{"text": …, "tool_calls": [{"id", "name", "arguments"}]}``.
    :param cache: Where to mark each request for Anthropic's prompt cache: ``"automatic"`` (the end of what all records
        share), ``"system_and_tools"``, ``"tools_only"``, or ``"last_user_message"``, ``"last_2_user_messages"``,
        ``"last_3_user_messages"``. Marks of your own stay as they are. OpenAI's needs no marks. Default: nowhere.
    :param cache_ttl: How long that cache is to remember what it read last: ``"1h"``, or ``"5m"``, which is cheaper to
        write and often over before the next request of a batch.
    :param warm_cache: Send the first request as a batch of its own and wait for it, so that the others find the cache
        filled. Jobs of fewer than 100 requests do not wait.
    :param key: Column that names a record for ever. Default: its position.
    :param dedupe: Ask requests that are the same, word for word, once; every record still gets its row.
    :param reuse_uri: Folder, on any storage, in which answers are kept for every job and DAG that names it. A request
        that was answered before, to the last byte, is not asked again: its row has that answer, ``llm_round = 0`` and
        cost 0. What counts is the folder that the attempt named which wrote the requests. (templated)
    :param reuse_ttl: Age, by the begin of the job that paid, from which on a kept answer is asked anew. Default: never.
    :param conn_id: Connection with the API key in *password*. Default: ``<vendor>_default``. (templated)
    :param base_uri: Job folders live under it. Default: ``[llmbatch] base_uri``, else ``$AIRFLOW_HOME/llmbatch``,
        which serves one machine only. (templated)
    :param estimate_only: Read the source, write and price every request, and send nothing; no call is made to the
        vendor. It returns the estimate. A later run without it, or a reconcile task, sends what was prepared.
    :param wait_for_completion: ``False``: return after the first submissions; a sensor and
        :class:`~airflow_provider_llmbatch.operators.reconcile.LLMBatchReconcileOperator` do the rest.
    :param on_change: What to do if the question or source changed since an earlier attempt: ``"restart"`` (default;
        the old job is moved aside and its live batches are cancelled), ``"fail"`` or ``"keep"``.

    The other parameters are those of :class:`JobShell`. It returns the job's summary.
    """

    template_fields: Sequence[str] = (
        "model",
        "fallback_model",
        "source",
        "output_uri",
        "base_uri",
        "reuse_uri",
        "conn_id",
        "max_cost_usd",
    )
    ui_color = "#e6f0ff"

    def __init__(
        self,
        *,
        source: str | SqlSource | Sequence[str | Mapping[str, Any]] | XComArg | Any,
        model: str | None = None,
        prompt: str | None = None,
        system: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        body: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        request_params: Mapping[str, Any] | None = None,
        max_tokens: int | None = 1024,
        tools: Sequence[Any] | None = None,
        cache: CachePattern | None = None,
        cache_ttl: CacheTtl = "1h",
        warm_cache: bool = False,
        key: str | None = None,
        dedupe: bool = True,
        reuse_uri: str | None = None,
        reuse_ttl: timedelta | None = None,
        conn_id: str | None = None,
        base_uri: str | None = None,
        estimate_only: bool = False,
        wait_for_completion: bool = True,
        on_change: OnChange = "restart",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = sealed(source)
        self.model = model
        self.prompt = prompt
        self.system = system
        self.messages = messages
        self.body = body
        self.endpoint = endpoint
        self.request_params = request_params
        self.max_tokens = max_tokens
        self.tools = tools
        self.cache = cache
        self.cache_ttl = cache_ttl
        self.warm_cache = warm_cache
        self.key = key
        self.dedupe = dedupe
        self.reuse_uri = reuse_uri
        self.reuse_ttl = reuse_ttl
        self.conn_id = conn_id
        self.base_uri = base_uri
        self.estimate_only = estimate_only
        self.wait_for_completion = wait_for_completion
        self.on_change = on_change

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the templated fields; records that an upstream task handed over stay out of the rendered view."""
        super().render_template_fields(context, jinja_env)
        self.source = sealed(self.source)

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask, wait and write; return the summary."""
        from airflow_provider_llmbatch.engine import expect, start

        with airflow_errors():
            identity = identity_of(context)
            job = self._job = self._begin(context, identity)
            if self.estimate_only:
                return estimated(job, expect(job))
            if self.wait_for_completion:
                return self._finish(job, identity)
            start(job)
            publish(job, identity, "submitted")
            return submitted(job)

    def _begin(self, context: Context, identity: Identity) -> Job:
        from airflow_provider_llmbatch.core.requests import Question
        from airflow_provider_llmbatch.core.schemas import output_schema
        from airflow_provider_llmbatch.core.tools import tools_of
        from airflow_provider_llmbatch.engine.begin import begin
        from airflow_provider_llmbatch.engine.job import Plan
        from airflow_provider_llmbatch.hooks.settings import default_model
        from airflow_provider_llmbatch.sources import open_source
        from airflow_provider_llmbatch.storage.layout import JobFolder

        vendor, model = split_model(self.model or default_model(self.conn_id))
        hook = load_hook(vendor, self.conn_id)
        question = Question(
            model=model,
            prompt=self.prompt,
            system=self.system,
            messages=self.messages,
            body=self.body,
            endpoint=self.endpoint,
            params=self.request_params or {},
            max_tokens=self.max_tokens,
            output=None if self.output_type is None else output_schema(self.output_type),
            tools=tools_of(self.tools),
            cache=self.cache,
            cache_ttl=self.cache_ttl,
        )
        self._check_fallback(vendor)
        plan = Plan(
            question=question,
            source=open_source(self.source),
            key=self.key,
            dedupe=self.dedupe,
            warm_cache=self.warm_cache,
            reuse_uri=self.reuse_uri,
            reuse_ttl=self.reuse_ttl.total_seconds() if self.reuse_ttl else None,
        )
        folder = JobFolder(folder_uri(self.base_uri, identity))
        return begin(
            folder,
            identity,
            hook,
            plan,
            self._terms(),
            on_change=self.on_change,
            lookup_since=lookup_since(context),
            context=names_of(context),
            log=self.log,
            is_offline=self.estimate_only,
        )


def names_of(context: Context) -> dict[str, Any]:
    """Return the names that a prompt may use. Connections are not among them: a key does not belong in a prompt."""
    left_out = {"conn", "outlet_events", "inlet_events", *deprecated_names(context)}
    return {name: context[name] for name in context if name not in left_out}  # type: ignore[literal-required]
