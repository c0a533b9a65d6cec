"""Anthropic: message batches, messages, token counts, models and files.

guard        keys, the version header, the rate limit of the batch endpoints, headers of every answer
models       the catalogue
params       how parameters are checked, and the words in which they are refused
structure    what a schema for structured output may contain
blocks       content blocks and cache breakpoints
messages     ``/v1/messages``: read a body, write an answer
envelope     the body that creates a batch
desk         one line of the results
batches sync files    the routes
"""
