"""DAGs that tests run on a real Airflow, each in a process of its own."""
