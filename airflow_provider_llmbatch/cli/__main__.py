"""``python -m airflow_provider_llmbatch.cli``."""

import sys

from airflow_provider_llmbatch.cli import main

sys.exit(main())
