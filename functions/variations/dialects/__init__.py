"""Know how each family of providers wants to be asked for variations of a picture, and how it answers.

Pure functions: no network, no AWS, no environment. `known.py` is the table of providers, `manner.py` chooses from
it, a file per dialect writes the calls, `corrections.py` learns from refusals; docs/providers.md says how to add one.
"""
