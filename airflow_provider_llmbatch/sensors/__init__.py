"""Waiting for batches, as a task of its own."""
