"""A trust domain in memory, for tests of programs that use this package, and of the package itself.

It is a real one: keys are generated, tokens are signed, bundles verify them. Only the server, its socket and the clock
are missing.
"""

from __future__ import annotations

from wimse.testing.trust_domain import FixedSource, InMemoryTrustDomain

__all__ = ["FixedSource", "InMemoryTrustDomain"]
