#!/usr/bin/env bash
# Resolve pyproject.toml into requirements/*.lock, for Python 3.11 to 3.14, with hashes.
#
#     tools/lock.sh [--upgrade | --upgrade-package NAME]
#
# Without an argument versions that are locked stay. dev.lock comes first and binds demo.lock, so that both can be
# installed into one environment in either order. Uses the uv on the PATH, or one of its own in .lock-venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! uv=$(command -v uv); then
  [ -x .lock-venv/bin/uv ] || { python3 -m venv .lock-venv && .lock-venv/bin/python -m pip install --quiet uv; }
  uv=.lock-venv/bin/uv
fi
compile() {
  "$uv" --no-config pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make lock" "$@"
}
universal=(--universal --python-version 3.11)
compile "${universal[@]}" pyproject.toml --all-extras --group dev -o requirements/dev.lock "$@"
compile "${universal[@]}" pyproject.toml --extra demo --group build -c requirements/dev.lock \
  -o requirements/demo.lock "$@"
# The old protoc has wheels up to Python 3.12; it lives in an environment of its own.
compile --universal --python-version 3.11 requirements/proto.in -o requirements/proto.lock "$@"
# The fuzzer too, beside what the package itself stands on, at the versions that the tests run with.
compile "${universal[@]}" pyproject.toml requirements/fuzz.in -c requirements/dev.lock -o requirements/fuzz.lock "$@"
# The mutation tester alone: the tests themselves run in .venv.
compile "${universal[@]}" requirements/mutation.in -o requirements/mutation.lock "$@"
