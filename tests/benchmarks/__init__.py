"""How much time and memory each stage takes, next to other ways of doing the same, in one run: ``make bench``."""
