"""The command line: parses arguments, calls functions of the rooms, prints. It decides nothing by itself.

Rules, for every command:

1. ``--json`` prints one JSON document on stdout, also when something fails. Logs and warnings go to stderr.
2. Exit status 0 is yes. 1 is refused, or failed with a reason. 2 is wrong usage, or input that cannot be read: a
   missing file; a key, bundle or configuration that is none. A malformed message or token under judgement is refused.
3. What others wrote (a subject, a field, a kid) is printed with control characters escaped.
4. A private key is printed only by the commands whose purpose that is; files that hold one are 0600 and never replaced.

Command modules are imported when their command is used, and the rooms inside the commands: `--help` needs neither.
"""

from __future__ import annotations

from wimse.cli.root import Program

__all__ = ["main"]

main = Program(
    name="wimse",
    help="""Prove who calls, over HTTP: message signatures, workload identity tokens, an identity server.

    Exit status: 0 yes, 1 refused or failed with a reason, 2 wrong usage or unreadable input.

    \b
    Example:
      wimse demo
      wimse request GET https://orders.example/items --server spiffe://example.com/orders
    """,
    lazy={
        "demo": ("wimse.cli.demo:demo", "The whole story on one machine."),
        "identity-server": ("wimse.cli.identity_server:identity_server", "Issue identities to local workloads."),
        "credentials": ("wimse.cli.credentials:credentials", "Get this process's identity, as text or as files."),
        "request": ("wimse.cli.request:request", "Make a signed call; verify and explain its answer."),
        "inspect": ("wimse.cli.inspect:inspect", "Explain a message or a token, step by step."),
        "wit": ("wimse.cli.wit:wit", "Inspect and verify Workload Identity Tokens."),
        "proof": ("wimse.cli.proof:proof", "Verify Workload Proof Tokens."),
        "authenticate": ("wimse.cli.authenticate:authenticate", "Verify a message completely: who sent it?"),
        "httpsig": ("wimse.cli.httpsig:httpsig", "HTTP Message Signatures (RFC 9421) alone."),
        "key": ("wimse.cli.key:key", "Generate, show and convert keys."),
    },
)
