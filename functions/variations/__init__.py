"""Make variations of a picture with any OpenAI-compatible image API, on AWS.

A picture travels messages -> service -> storage (in) -> images -> dialects -> provider -> images -> storage
(out) -> messages; jobs keeps the books, settings and wiring put it together.
"""
