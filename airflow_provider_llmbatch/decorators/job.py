"""``@task.llm_batch_job``: a batch job whose records a function returns or yields."""

from __future__ import annotations

import inspect
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow_provider_llmbatch._compat import (
    AirflowException,
    AirflowFailException,
    Context,
    DecoratedOperator,
    TaskDecorator,
    task_decorator_factory,
)
from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.sources.function import FunctionSource


class LLMBatchJobDecoratedOperator(DecoratedOperator, LLMBatchJobOperator):
    """Ask about every record that a function returns or yields.

    The records go from the function into the job's folder, one by one; none of them touches XCom. A retry goes on with
    the job it finds there: once the requests are written, the function is not called again.

    :param python_callable: The function. It may ask for Airflow's context by argument names, as with ``@task``.
    :param op_args: Its positional arguments. (templated)
    :param op_kwargs: Its keyword arguments. (templated)

    The other parameters are those of :class:`~airflow_provider_llmbatch.operators.job.LLMBatchJobOperator`, without
    ``source``. It returns the job's summary.
    """

    custom_operator_name = "@task.llm_batch_job"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in LLMBatchJobOperator.template_fields if name != "source"),
    )

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("source", None) is not None:
            raise TypeError("@task.llm_batch_job takes no source: what the function returns or yields is the source")
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, source=None, **kwargs)

    def execute(self, context: Context) -> Any:
        """Ask about the function's records, wait and write; return the summary."""
        self.source = FunctionSource(
            self.python_callable,
            {"args": list(self.op_args), "kwargs": dict(self.op_kwargs)},
            lambda: self.python_callable(*self.op_args, **self._arguments(context)),
        )
        try:
            return super().execute(context)
        except AirflowFailException as error:
            if isinstance(error.__cause__, SourceError) and "function" in error.__cause__.context:
                # The function may be asking a service that is back in a minute: Airflow's retries may help.
                raise AirflowException(str(error)) from None
            raise

    def _arguments(self, context: Context) -> Mapping[str, Any]:
        """Return the keyword arguments: the task's own, and what the function wants of Airflow's context."""
        names: Mapping[str, Any] = ChainMap(dict(self.op_kwargs), context)  # type: ignore[arg-type]
        parameters = inspect.signature(self.python_callable).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            given = set(list(parameters)[: len(self.op_args)])
            return {name: names[name] for name in names if name not in given}
        return {name: names[name] for name in list(parameters)[len(self.op_args) :] if name in names}


def llm_batch_job_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a batch job of a function that returns or yields records.

    :param python_callable: The function.

    Every other parameter of :class:`~airflow_provider_llmbatch.operators.job.LLMBatchJobOperator` but ``source`` may
    be given. What the function is annotated to return says nothing about XCom, which gets the job's summary.
    """
    kwargs.setdefault("multiple_outputs", False)
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=LLMBatchJobDecoratedOperator, **kwargs
    )
