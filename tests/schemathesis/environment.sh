#!/usr/bin/env bash
# Prints the path of schemathesis, after installing it as `requirements.txt` says where it is missing or another one.
#   environment.sh [CACHE_DIR]
# Needs Python 3.11 or newer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=$(../python.sh schemathesis 3.11 requirements.txt "${1:-${XDG_CACHE_HOME:-$HOME/.cache}/manyhands}")
python=${python# }
echo "${python%/python}/schemathesis"
