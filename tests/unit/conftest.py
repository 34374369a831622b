"""Hypothesis counts examples here, never milliseconds: the machine may be busy."""

from hypothesis import settings

settings.register_profile("phd", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("phd")
