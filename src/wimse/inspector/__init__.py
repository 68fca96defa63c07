"""The inspector: explains a message or a token step by step, and serves a page that does.

`explain` is pure: bytes in, a list of steps out. It is no verification and gives nobody an identity: what it says of
signatures holds under the key that the message itself names, unless trust bundles are given.
"""

from __future__ import annotations

from wimse.inspector.explain import explain
from wimse.inspector.steps import Explanation, Outcome, Step

__all__ = ["Explanation", "Outcome", "Step", "explain"]
