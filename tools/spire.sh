#!/usr/bin/env bash
# Build SPIRE's server and agent, of the version below, in .spire/bin, from their Go modules.
#
#     tools/spire.sh
#
# Needs Go (which fetches the version that SPIRE asks for itself) and a C compiler; a quarter of an hour the first time.
# There is no package of SPIRE that installs programs, so they are built as tools of a module of our own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=v1.13.3
program=github.com/spiffe/spire/cmd

if [ "$(cat .spire/built 2>/dev/null || true)" = "$version" ]; then exit 0; fi
command -v go >/dev/null || { echo "Building SPIRE needs Go." >&2; exit 1; }
mkdir -p .spire/module
export GOBIN="$PWD/.spire/bin"
cd .spire/module
[ -f go.mod ] || go mod init example.com/spire 2>/dev/null
go get -tool "$program/spire-server@$version" "$program/spire-agent@$version"
go install "$program/spire-server" "$program/spire-agent"
echo "$version" > ../built
