#!/usr/bin/env bash
# Prints the command of a Python that has what a list says, and nothing else, after making it where it is missing or another.
#   python.sh NAME LEAST_VERSION REQUIREMENTS CACHE_DIR [ROOT]
# Every file that is installed has its hash in the list, so it is the same on every day. With ROOT: in this root, by its Python.
# Ends with 69 where there is no Python of at least that version.
set -euo pipefail
name=$1 least=$2 wanted=$3 cache=$4 root=${5:-}
venv=$cache/python/$name
inside=()
if [ -n "$root" ]; then
  inside=(chroot "$root") venv=/opt/$name
fi
mkdir -p "$cache" "$root$(dirname "$venv")"
# Tests that run side by side install once.
exec 9>"$cache/.$name-python-lock"
flock 9
say() { echo "$name: $*" >&2; }

new_enough() {
  "$@" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < tuple(map(int, sys.argv[1].split("."))))' \
    "$least" 2>/dev/null
}

find_python() {
  local candidate
  for candidate in python3 python3.{14..10} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python; do
    if new_enough "${inside[@]}" "$candidate"; then
      echo "$candidate"
      return 0
    fi
  done
  say "needs Python $least or newer, with venv (of Debian the package python3-venv)"
  return 69
}

if ! cmp -s "$wanted" "$root$venv/installed.txt"; then
  python=$(find_python) || exit
  say "installing it into $root$venv (up to three minutes)"
  "${inside[@]}" "$python" -m venv --clear "$venv"
  cp "$wanted" "$root$venv/list.txt"
  # A folder of wheels on this machine is not seen in another root.
  env ${root:+-u PIP_FIND_LINKS} "${inside[@]}" "$venv/bin/pip" install -q --disable-pip-version-check \
    --require-hashes --no-deps -r "$venv/list.txt" >&2
  mv "$root$venv/list.txt" "$root$venv/installed.txt"
fi
echo "${inside[@]}" "$venv/bin/python"
