#!/usr/bin/env bash
# Generate *_pb2.py and *_pb2.pyi beside every .proto file.
#
#     tools/generate_proto.sh [SOURCE_ROOT [PROTO_DIRECTORY]]
#
# Default: src and wimse/workload_api/proto below it. The compiler is that of requirements/proto.lock (see proto.in
# for why it is an old one), in .proto-venv, which needs Python 3.11 or 3.12.
set -euo pipefail
root=$(realpath "${1:-$(dirname "${BASH_SOURCE[0]}")/../src}")
directory=${2:-wimse/workload_api/proto}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
usable='import sys; raise SystemExit(sys.version_info[:2] not in {(3, 11), (3, 12)})'

if ! cmp -s requirements/proto.lock .proto-venv/installed.lock; then
  rm -rf .proto-venv
  for python in ${PYTHON:-python3 python3.12 python3.11}; do
    if "$python" -c "$usable" >/dev/null 2>&1; then break; fi
    python=
  done
  [ -n "$python" ] || { echo "Generating protobuf code needs Python 3.11 or 3.12." >&2; exit 1; }
  "$python" -m venv .proto-venv
  .proto-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/proto.lock
  cp requirements/proto.lock .proto-venv/installed.lock
fi

cd "$root"
shopt -s nullglob
files=("$directory"/*.proto)
[ ${#files[@]} -gt 0 ] || { echo "There is no .proto file in $directory." >&2; exit 1; }
"$OLDPWD/.proto-venv/bin/python" -W ignore -m grpc_tools.protoc -I. --python_out=. --pyi_out=. "${files[@]}"
# The messages go into a pool of the package's own; see pool.py.
if [ -f "$directory/pool.py" ]; then
  sed -i "s|^from google.protobuf import descriptor_pool as |from ${directory//\//.} import pool as |" "$directory"/*_pb2.py
fi
printf 'generated from %s\n' "${files[@]}"
