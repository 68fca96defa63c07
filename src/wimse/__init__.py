"""HTTP Message Signatures (RFC 9421) and the WIMSE workload-to-workload profile.

Each room is imported by its own name: `wimse.httpsig` for signatures alone, `wimse.authentication` for the one
entrance that verifies a message completely, `wimse.clients` and `wimse.servers` for applications.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
