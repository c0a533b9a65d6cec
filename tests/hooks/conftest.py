"""How Hypothesis runs here: the same on a slow machine as on a fast one."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
