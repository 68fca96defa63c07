"""``python -m wimse`` is the program ``wimse``."""

from __future__ import annotations

from wimse.cli import main

main()
