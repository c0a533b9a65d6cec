"""The "model": answers that are a function of the seed and the request, and that make sense to a reader.

ask        what is asked, whichever vendor's API it came through
labels     picks one of the labels that a prompt offers, by the words of the text
lexicon    the words that speak for a label
schema     fills a JSON schema
wellformed tells a schema from something that merely looks like one
patterns   writes a string that matches a regular expression
think      puts them together
"""
