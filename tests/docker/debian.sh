#!/usr/bin/env bash
# Makes a Docker image of Debian bookworm with what sandboxes need, by debootstrap. As root.
#   debian.sh IMAGE
set -euo pipefail
command -v debootstrap >/dev/null || (apt-get update -qq && apt-get install -y -qq debootstrap) >&2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=bash,ca-certificates,curl,git,procps,python3 bookworm "$root" >/dev/null
# The registries may be reached through this machine's own certificate authority.
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
tar -C "$root" -c . | docker import - "$1" >/dev/null
