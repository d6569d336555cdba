#!/usr/bin/env bash
# Prints the command of a Python that has the peer, openhands-agent-server 1.58.2, as `requirements.txt` says, after installing it
# where it is missing: beside the one that tests/sdk/environment.sh makes, whose workspace classes ask for an older one.
#   environment.sh [CACHE_DIR]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/manyhands}
read -ra sdk <<< "$(../sdk/environment.sh "$cache")"
root=
[ "${sdk[0]}" != chroot ] || root=${sdk[1]}
../python.sh peer 3.12 requirements.txt "$cache" "$root"
