#!/usr/bin/env bash
# Prints the path of schemathesis, after installing it as `requirements.txt` says where it is missing or another one.
#   environment.sh [CACHE_DIR]
# Needs Python 3.10 or newer.
set -euo pipefail
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/manyhands}
wanted=$(realpath "$(dirname "${BASH_SOURCE[0]}")")/requirements.txt
venv=$cache/schemathesis-venv
mkdir -p "$cache"
exec 9>"$cache/.schemathesis-lock"
flock 9

new_enough() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

if ! cmp -s "$wanted" "$venv/installed.txt"; then
  for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 none; do
    [ $python != none ] || { echo "schemathesis: needs Python 3.10 or newer, with venv" >&2; exit 1; }
    ! new_enough "$python" || break
  done
  echo "schemathesis: installing it into $venv" >&2
  "$python" -m venv --clear "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check --no-deps -r "$wanted" >&2
  cp "$wanted" "$venv/installed.txt"
fi
echo "$venv/bin/schemathesis"
