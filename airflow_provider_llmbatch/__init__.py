"""LLM batch jobs for Apache Airflow: paid for once, whatever crashes; nothing lost; any size; cost known."""

__version__ = "0.1.0"
