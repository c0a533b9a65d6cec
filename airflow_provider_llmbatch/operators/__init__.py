"""Thin shells around the engine's one step."""
