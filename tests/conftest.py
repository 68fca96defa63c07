"""What every test shares: one profile of Hypothesis, without a deadline, for machines under load."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("wimse", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("wimse")
