"""OpenAI: files, batches and the synchronous endpoints.

guard        keys, and the headers of every answer
models       the catalogue
params       how parameters are checked, and the words in which they are refused
strict       what a strict JSON schema may contain
chat responses completions embeddings moderations    one endpoint each: read a body, write an answer
endpoints    the table of them
check        validation of a whole batch file
lines        one line of a result file
files batches sync    the routes
"""
