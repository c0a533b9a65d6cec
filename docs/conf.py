"""How the documentation is built: ``make docs``."""

import logging
import os
from pathlib import Path

from airflow_provider_llmbatch import __version__

# autodoc imports the operators, and importing Airflow writes a config file: not into the reader's home.
os.environ.setdefault("AIRFLOW_HOME", str(Path(__file__).parent / "_build" / "airflow"))
logging.getLogger("airflow").setLevel(logging.ERROR)

project = "airflow-provider-llmbatch"
copyright = "2026, the airflow-provider-llmbatch authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the signature is in the table or the text; types are in the code
autodoc_member_order = "bysource"
# Airflow's and Python's own pages are not linked: the build must not need a network.
nitpick_ignore = [("py:attr", "context")]
nitpick_ignore_regex = [("py:.*", r"(airflow|collections|decimal|msgspec|pathlib|typing)\..*")]

html_theme = "furo"
html_title = "airflow-provider-llmbatch"
html_static_path = ["_static"]
html_copy_source = False
templates_path = []
exclude_patterns = ["_build"]
