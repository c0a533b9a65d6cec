"""Which of Airflow's names a prompt may use."""

import warnings

from airflow_provider_llmbatch._compat import Context
from airflow_provider_llmbatch.operators.job import names_of


def test_a_prompt_gets_airflow_s_names_without_connections_and_without_a_warning():
    context = Context({"ds": "2026-11-22", "params": {"a": 1}, "conn": "a key", "yesterday_ds": "2026-11-21"})

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Airflow 2 warns of `yesterday_ds`; Airflow 3 has no such name
        names = names_of(context)

    assert {"ds", "params"} <= names.keys() <= {"ds", "params", "yesterday_ds"}
