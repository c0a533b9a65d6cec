"""Write a string that matches a regular expression, for the common ones that schemas contain."""

from __future__ import annotations

import re

from airflow_provider_llmbatch.emulator.ids import digest

_CLASSES = {"d": "0123456789", "w": "abcdefghijklmnopqrstuvwxyz0123456789_", "s": " "}
_ANY = "abcdefghijklmnopqrstuvwxyz"


def example(pattern: str, key: str) -> str:
    """Return a string that *pattern* finds; the pattern's own text where it is beyond this small writer."""
    try:
        text = _Writer(pattern, key).alternatives()
        return text if re.search(pattern, text) else pattern
    except (IndexError, ValueError, re.error):
        return pattern


class _Writer:
    """A recursive descent over the pattern that writes as it reads."""

    def __init__(self, pattern: str, key: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.key = key

    def alternatives(self) -> str:
        """Write the first of ``a|b|c``, read them all."""
        first = self.sequence()
        while self.peek() == "|":
            self.at += 1
            self.sequence()
        return first

    def sequence(self) -> str:
        out = []
        while self.peek() not in ("", "|", ")"):
            start = self.at
            text = self.atom()
            end = self.at
            least = self.least()
            for n in range(least):
                if n == 0:
                    out.append(text)
                    continue
                # Read the atom once more, so that each repetition may be another character.
                resume, self.at = self.at, start
                out.append(self.atom())
                self.at = max(resume, end)
        return "".join(out)

    def atom(self) -> str:
        char = self.take()
        if char == "(":
            if self.pattern.startswith("?:", self.at):
                self.at += 2
            text = self.alternatives()
            self.take()
            return text
        if char == "[":
            return self.pick(self.members())
        if char == "\\":
            escaped = self.take()
            return self.pick(_CLASSES[escaped]) if escaped in _CLASSES else escaped
        if char == ".":
            return self.pick(_ANY)
        return "" if char in "^$" else char

    def members(self) -> str:
        negated = self.peek() == "^"
        self.at += negated
        chars: list[str] = []
        while self.peek() != "]":
            char = self.take()
            if char == "\\":
                escaped = self.take()
                chars.extend(_CLASSES.get(escaped, escaped))
            elif self.peek() == "-" and self.pattern[self.at + 1] != "]":
                self.at += 1
                chars.extend(map(chr, range(ord(char), ord(self.take()) + 1)))
            else:
                chars.append(char)
        self.at += 1
        return "".join(c for c in _ANY + "0123456789" if c not in chars) if negated else "".join(chars)

    def least(self) -> int:
        """Read a quantifier and return the fewest repetitions it allows, one rather than none."""
        char = self.peek()
        if char and char in "*+?":
            self.at += 1
            return 1
        if char == "{":
            end = self.pattern.index("}", self.at)
            count = int(self.pattern[self.at + 1 : end].split(",")[0] or 0)
            self.at = end + 1
            return count
        return 1

    def pick(self, chars: str) -> str:
        self.key = digest(self.key, self.at)
        return chars[int(self.key[:6], 16) % len(chars)]

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        self.at += 1
        return self.pattern[self.at - 1]
