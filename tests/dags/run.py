"""Run one DAG of this folder with ``dag.test()`` in this process; the environment says where Airflow lives.

Usage: ``python -m tests.dags.run DAG_ID``. Prints the run's state last.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests import inline

HERE = Path(__file__).resolve().parent


def main(dag_id: str) -> None:
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(HERE)
    inline.make_database()
    run = inline.dag_bag(HERE).dags[dag_id].test()
    print(f"state={run.state if run is not None else 'unknown'}")


if __name__ == "__main__":
    main(sys.argv[1])
