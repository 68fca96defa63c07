"""Tests that need other users."""

from __future__ import annotations

import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def as_root(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test as root, where need be in a user namespace with all of this user's subordinate ids; never skip it."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        if os.geteuid() == 0:
            test(*arguments, **named)
            return
        namespace = ["unshare", "--user", "--map-root-user", "--map-auto"]
        pytest_of_it = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"{inspect.getfile(test)}::{test.__name__}",
        ]
        assert subprocess.run([*namespace, *pytest_of_it], check=False).returncode == 0, "neither root nor subuid(5)"

    return run
