"""An independent client is the judge: py-spiffe, which knows nothing of this package, and a server that really runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cli.support import environment

CLIENT = Path(__file__).with_name("py_spiffe_client.py")


def test_py_spiffe_fetches_and_validates_everything_it_knows() -> None:
    """SV-22, SV-24, SV-27, SV-30, SV-32."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        config = Path(folder, "server.toml")
        config.write_text(
            f'socket = "unix://{folder}/s"\nx509_svid_lifetime_seconds = 4\ndefault_identities = false\n'
            f'[[entries]]\npath = "/payments"\nselectors = ["unix:uid:{os.getuid()}"]\n'
        )
        command = [sys.executable, "-m", "wimse", "identity-server", "run", "--config", str(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()) as server:
            assert server.stdout is not None
            assert server.stdout.readline().startswith(b"ready")
            try:
                outcome = subprocess.run(
                    [sys.executable, str(CLIENT), f"unix:{folder}/s"], check=False, capture_output=True, timeout=60
                )
            finally:
                server.terminate()
    assert outcome.returncode == 0, outcome.stderr.decode()
    said = json.loads(outcome.stdout)
    me = "spiffe://example.com/payments"
    assert (said["x509"], said["context"], said["jwt"]) == (me, me, [me])
    assert said["authorities"] == 1
    assert len(said["refusals"]) == 3
    assert said["pushed"] is True
