#!/usr/bin/env bash
# Install one lock file and the project itself into .venv.
#
#     tools/install.sh requirements/demo.lock
#
# Needs Python 3.11 to 3.14 (or the one that PYTHON names) and a package registry; uses uv where there is one.
# Every package comes from the lock with its hash; the project is built with the hatchling of that lock.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lock=$1
venv=.venv
supported='import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if "$candidate" -c "$supported" >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

if ! "$venv/bin/python" -c "$supported" >/dev/null 2>&1; then
  if ! python=$(find_python); then
    echo "wimse needs Python 3.11, 3.12, 3.13 or 3.14, and ${PYTHON:-the PATH} has none of them." >&2
    exit 1
  fi
  rm -rf "$venv"
  if command -v uv >/dev/null; then
    uv venv --quiet --no-config --python "$python" "$venv"
  elif ! "$python" -m venv "$venv"; then
    rm -rf "$venv"
    echo "$python cannot make a virtual environment: install its venv module (python3-venv on Debian), or uv." >&2
    exit 1
  fi
fi

if command -v uv >/dev/null; then
  pip=(uv pip)
  target=(--python "$venv/bin/python")
else
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
  pip=("$venv/bin/python" -m pip --disable-pip-version-check)
  target=()
fi
"${pip[@]}" install --quiet ${target[@]+"${target[@]}"} --require-hashes -r "$lock"
"${pip[@]}" install --quiet ${target[@]+"${target[@]}"} --no-deps --no-build-isolation -e .
