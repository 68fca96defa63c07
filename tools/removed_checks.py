#!/usr/bin/env python3
"""Remove a check, and see that the tests which name its id notice: that they are there for it, and not beside it.

    tools/removed_checks.py [ID ...]

For each id of `REMOVALS` the sources and tests are copied to a temporary folder; the tests that name the id (in their
docstring or in the id of their parameters) pass there; then one change takes the check out of the source, and at least
one of them fails. Takes some seconds for each, and is no part of `make test`. The exit status is 1 when a check can be
removed without anybody noticing, or when a row no longer fits the source.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
COPIED: Final = ("src", "tests", "vectors", "fuzz", "examples")
PLUGIN: Final = """\
import os


def pytest_collection_modifyitems(config, items):
    named = os.environ["NAMED"]
    kept = [each for each in items if named in each.name or named in (each.function.__doc__ or "")]
    config.hook.pytest_deselected(items=[each for each in items if each not in kept])
    items[:] = kept
"""


class Removal(NamedTuple):
    """A check that is taken out of the source.

    Attributes:
        check: the id that names it.
        source: the file that has the check, below ``src/wimse``.
        old: what stands there, exactly once.
        new: what stands there without the check.
        tests: the file whose tests name the id, below ``tests``.
    """

    check: str
    source: str
    old: str
    new: str
    tests: str


_WIT: Final = "credentials/wit.py"
_TIMES: Final = "credentials/claims.py"
_ENTRANCE: Final = "authentication/server.py"
_PROOF: Final = "profiles/proof_token/judging.py"
_JUDGING: Final = "profiles/http_signature/judging.py"
_REVISION: Final = "profiles/http_signature/revision.py"
_COEXISTENCE: Final = "authentication/coexistence.py"
_OF_WIT: Final = "authentication/test_wit.py"
_OF_PROOF: Final = "profiles/proof_token/test_judging.py"
_OF_REQUESTS: Final = "profiles/test_request_signatures.py"

_CONFIGURED: Final = "cli/test_identity_server_configuration.py"

REMOVALS: Final = (
    Removal("WT-03", _JUDGING, "if WIT_FIELD in fields.repeated:", "if False:", _OF_WIT),
    Removal("WT-12", _WIT, "    if not acceptable:\n", "    if False:\n", _OF_WIT),
    Removal("WT-15", "credentials/jws.py", 'if "crit" in header:', "if False:", _OF_WIT),
    Removal("WT-22", _WIT, "if spiffe and jws.key_id is None:", "if False:", _OF_WIT),
    Removal("WT-33", _WIT, "if any(name in confirmation for name in _OTHER_CONFIRMATIONS):", "if False:", _OF_WIT),
    Removal("WT-34", _WIT, 'if jwk.get("use", "sig") != "sig":', "if False:", _OF_WIT),
    Removal("WT-37", _WIT, 'if spiffe and "aud" in claims:', "if False:", _OF_WIT),
    Removal(
        "WT-20",
        _TIMES,
        'if allowed is not None and claims.get("iss") not in tuple(allowed):',
        "if False:",
        "credentials/test_issuers.py",
    ),
    Removal("WT-42", _COEXISTENCE, "if any(name in fields for name in _PROOFS) or", "if", "servers/test_bearer.py"),
    Removal("WC-30", _COEXISTENCE, "        self.policy.recheck(identity)\n", "", "servers/test_bearer.py"),
    Removal("TM-14", _TIMES, "if any(expires_at - start > longest for start in starts):", "if False:", _OF_WIT),
    Removal("TM-15", _JUDGING, "if type(not_before) is int and type(created) is int and", "if False and", _OF_REQUESTS),
    Removal(
        "HS-15", _REVISION, "(*_COMMON_PARAMETERS, AUDIENCE),\n    resp", "_COMMON_PARAMETERS,\n    resp", _OF_REQUESTS
    ),
    Removal("HS-28", _JUDGING, "if answered != sent.nonce:", "if False:", "authentication/test_client.py"),
    Removal("HS-18", _REVISION, '_FORBIDDEN: Final = ("keyid", "alg")', "_FORBIDDEN: Final = ()", _OF_REQUESTS),
    Removal(
        "RP-01",
        _ENTRANCE,
        "if (yield claim) is not True:",
        "if (yield claim) is None:",
        "authentication/test_replay.py",
    ),
    Removal(
        "RP-04",
        _PROOF,
        "return max(bound, issued_at) if",
        "return now or max(bound, issued_at) if",
        "profiles/proof_token/test_entrance.py",
    ),
    Removal(
        "RP-05",
        _ENTRANCE,
        "if proven.audience is not None and not",
        "if False and not",
        "authentication/test_audience.py",
    ),
    Removal(
        "RP-06", _JUDGING, "if not settings.min_nonce_characters <= len(nonce)", "if not 0 <= len(nonce)", _OF_REQUESTS
    ),
    Removal(
        "RP-11",
        _ENTRANCE,
        "proven.expires_at + self._leeway_seconds",
        "proven.expires_at",
        "authentication/test_replay.py",
    ),
    Removal(
        "WP-02", _PROOF, '    _check_hash(claims.get("wth"), token_hash(wit.text), "wth", "the WIT")\n', "", _OF_PROOF
    ),
    Removal("WP-03", _PROOF, "if jws.algorithm_name != confirmed_algorithm(wit.claims):", "if False:", _OF_PROOF),
    Removal("WP-04", _PROOF, "if not isinstance(typ, str) or typ.lower()", "if False and typ.lower()", _OF_PROOF),
    Removal("WP-06", _PROOF, "if expires_at > now + longest + leeway:", "if False:", _OF_PROOF),
    Removal("WP-10", _PROOF, "if not claimed.keys() <= others.keys():", "if False:", _OF_PROOF),
    Removal(
        "CR-24",
        "clients/hop.py",
        "return secrets.token_urlsafe(16)",
        "return __import__('random').randbytes(16).hex()",
        "clients/test_drawing.py",
    ),
    Removal(
        "ID-09",
        "authentication/rules.py",
        "return lambda identity: identity in allowed",
        "return lambda identity: str(identity).startswith(tuple(map(str, allowed)))",
        "authentication/test_policy.py",
    ),
    Removal(
        "IS-14",
        "workload_api/keeping.py",
        "for each in self._own if not each.expired(self._now))",
        "for each in self._own)",
        _CONFIGURED,
    ),
    Removal(
        "IS-18",
        "workload_api/config.py",
        "return self.limits.settings(self.socket_mode)",
        "return LimitsConfig().settings(self.socket_mode)",
        _CONFIGURED,
    ),
    Removal(
        "IS-19",
        "workload_api/service.py",
        "if profile in self._profiles",
        "if profile in PROFILES",
        "workload_api/test_every_call.py",
    ),
    Removal(
        "IS-25",
        "stores/issuer/backup.py",
        "after = restored(state.keys, now=now)",
        "after = state.keys",
        "cli/test_identity_server_backup.py",
    ),
    Removal(
        "IS-34",
        "issuer/rotation.py",
        "if now < newest - clock_setback:",
        "if False:",
        "drills/test_issuer_drills.py",
    ),
)


def run_tests(folder: Path, removal: Removal) -> int:
    """The exit status of pytest in the copy, for the tests that name the id."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "only_named", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{folder}", "NAMED": removal.check}
    done = subprocess.run(
        [*command, f"tests/{removal.tests}"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode


def judge(folder: Path, removal: Removal) -> str:
    """What became of one row: ``noticed``, or what is wrong."""
    source = folder / "src" / "wimse" / removal.source
    text = source.read_text(encoding="utf-8")
    if text.count(removal.old) != 1:
        return "the row does not fit the source"
    if run_tests(folder, removal) != 0:
        return "the tests do not pass, or none names the id"
    source.write_text(text.replace(removal.old, removal.new), encoding="utf-8")
    try:
        status = run_tests(folder, removal)
    finally:
        source.write_text(text, encoding="utf-8")
    return {0: "NOT NOTICED", 1: "noticed"}.get(status, f"pytest could not run ({status})")


def main() -> int:
    """Judge the rows that were asked for, or all."""
    asked = set(sys.argv[1:])
    chosen = [each for each in REMOVALS if not asked or each.check in asked]
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in COPIED:
            if (ROOT / each).is_dir():
                shutil.copytree(ROOT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / "only_named.py").write_text(PLUGIN, encoding="utf-8")
        for removal in chosen:
            found = judge(folder, removal)
            wrong += found != "noticed"
            change = re.sub(r"\s+", " ", removal.old).strip()
            print(f"{removal.check:6} {found:12} {removal.source}: {change[:60]}", flush=True)
    print(f"{len(chosen) - wrong} of {len(chosen)} removed checks were noticed")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
