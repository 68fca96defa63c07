#!/usr/bin/env bash
# Change the base, the verifier and the digests in one place after the other, and see that a test notices.
#
#     tools/mutation.sh [--sample 0.5] [--modules base,selection] [--thorough]
#
# cosmic-ray, in .mutation-venv from requirements/mutation.lock, makes the changes; the tests run in .venv. The report
# is in .mutation/report.json, survivors with their difference. CONTRIBUTING.md says which survivors there may be.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! cmp -s requirements/mutation.lock .mutation-venv/installed.lock; then
  rm -rf .mutation-venv
  "${PYTHON:-python3}" -m venv .mutation-venv
  .mutation-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
    -r requirements/mutation.lock
  cp requirements/mutation.lock .mutation-venv/installed.lock
fi
mkdir -p .mutation
.mutation-venv/bin/python tools/mutants.py > .mutation/mutants.json
exec .venv/bin/python tools/mutation.py .mutation/mutants.json "$@"
