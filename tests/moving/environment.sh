#!/usr/bin/env bash
# Prints the command of a Python that has the peer, openhands-agent-server 1.58.2, after installing it where it is missing: beside
# the one that tests/sdk/environment.sh makes, whose workspace classes ask for an older one.
#   environment.sh [CACHE_DIR]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/manyhands}
version=1.58.2
read -ra sdk <<< "$(../sdk/environment.sh "$cache")"
venv=$cache/peer-venv
inside=()
if [ "${sdk[0]}" = chroot ]; then
  inside=("${sdk[@]:0:2}") venv=/opt/peer
fi
# Tests that run side by side install once.
exec 9>"$cache/.peer-lock"
flock 9
if ! "${inside[@]}" "$venv/bin/python" -c \
  'import importlib.metadata as m, sys; sys.exit(m.version("openhands-agent-server") != sys.argv[1])' "$version" 2>/dev/null; then
  echo "peer: installing openhands-agent-server $version into $venv (one to three minutes)" >&2
  "${sdk[@]}" -m venv --clear "$venv"
  env -u PIP_FIND_LINKS "${inside[@]}" "$venv/bin/pip" install -q \
    "openhands-agent-server==$version" "openhands-sdk==$version" "openhands-tools==$version" >&2
fi
echo "${inside[@]}" "$venv/bin/python"
