#!/usr/bin/env bash
# Make .fuzz-venv: the fuzzer of requirements/fuzz.lock and what the package stands on, each with its hash.
#
#     tools/fuzz_venv.sh
#
# Needs Python 3.11, 3.12 or 3.13 (or the one that PYTHON names), for which atheris has wheels. The package itself is
# not installed: fuzz/ finds it in src/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
usable='import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

cmp -s requirements/fuzz.lock .fuzz-venv/installed.lock && exit 0
rm -rf .fuzz-venv
for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
  if "$python" -c "$usable" >/dev/null 2>&1; then break; fi
  python=
done
[ -n "$python" ] || { echo "Fuzzing needs Python 3.11, 3.12 or 3.13." >&2; exit 1; }
"$python" -m venv .fuzz-venv
.fuzz-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.lock
cp requirements/fuzz.lock .fuzz-venv/installed.lock
