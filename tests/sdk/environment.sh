#!/usr/bin/env bash
# Prints the command of a Python that has the OpenHands SDK 1.58.2, after installing it where it is missing.
#   environment.sh [CACHE_DIR]
# Needs Python 3.12 or newer. Where none is installed (and we are root on a machine with debootstrap), a
# Debian trixie root is made and its Python used through chroot.
set -euo pipefail
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/manyhands}
version=1.58.2
packages=("openhands-sdk==$version" "openhands-tools==$version" "openhands-workspace==$version")
mkdir -p "$cache"
# Tests that run side by side install once.
exec 9>"$cache/.sdk-lock"
flock 9
say() { echo "sdk: $*" >&2; }

new_enough() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in python3.14 python3.13 python3.12 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
    if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

has_sdk() { "$@" -c 'import importlib.metadata as m, sys; sys.exit(m.version("openhands-sdk") != sys.argv[1])' "$version" 2>/dev/null; }

if [ -z "${MANYHANDS_TEST_CHROOT:-}" ] && python=$(find_python); then
  venv=$cache/sdk-venv
  if ! has_sdk "$venv/bin/python"; then
    say "installing the OpenHands SDK $version into $venv (one to three minutes)"
    "$python" -m venv --clear "$venv"
    "$venv/bin/pip" install -q "${packages[@]}" >&2
  fi
  echo "$venv/bin/python"
  exit 0
fi

root=$cache/sdk-root
if ! has_sdk chroot "$root" /opt/sdk/bin/python; then
  [ "$(id -u)" = 0 ] || { say "needs Python 3.12 or newer (or root, to make a Debian root)"; exit 1; }
  command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap; } >&2
  say "making a Debian trixie root in $root and installing the OpenHands SDK $version (some minutes)"
  rm -rf "$root"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie "$root" >&2
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  # The registries may be reached through this machine's own certificate authority.
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  chroot "$root" python3 -m venv /opt/sdk
  env -u PIP_FIND_LINKS chroot "$root" /opt/sdk/bin/pip install -q "${packages[@]}" >&2
fi
echo "chroot $root /opt/sdk/bin/python"
