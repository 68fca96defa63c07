"""What every test shares: one profile of Hypothesis, without a deadline, for machines under load."""

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("wimse", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("wimse")

# Whoever starts the tests in the background of a script has SIGINT ignored, and what is started inherits that; but
# programs are interrupted here, and have to see it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
