#!/usr/bin/env bash
# Prints the command of a Python that has the OpenHands SDK 1.58.2, as `requirements.txt` says, after installing it where it is
# missing.
#   environment.sh [CACHE_DIR]
# Needs Python 3.12 or newer. Where none is installed (and we are root on a machine with debootstrap), a
# Debian trixie root is made and its Python used through chroot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/manyhands}
root=$cache/sdk-root
if [ -z "${MANYHANDS_TEST_CHROOT:-}" ]; then
  ended=0
  ../python.sh sdk 3.12 requirements.txt "$cache" || ended=$?
  [ $ended = 69 ] || exit $ended
fi
exec 8>"$cache/.sdk-root-lock"
flock 8
say() { echo "sdk: $*" >&2; }
if [ ! -f "$root/made" ]; then
  [ "$(id -u)" = 0 ] || { say "needs Python 3.12 or newer (or root, to make a Debian root)"; exit 1; }
  command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap; } >&2
  say "making a Debian trixie root in $root (some minutes)"
  rm -rf "$root"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie "$root" >&2
  touch "$root/made"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# The registries may be reached through this machine's own certificate authority.
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
../python.sh sdk 3.12 requirements.txt "$cache" "$root"
