#!/usr/bin/env bash
# Makes sure that a Docker engine answers, and prints the name of an image with a shell, git and Python, which it makes
# where there is none; `stop` ends an engine it started.
#   environment.sh [start|stop]
# As root on Debian it installs the engine where there is none. Where no registry can be reached it makes the image
# with debootstrap. Fails where neither is possible.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/manyhands
image=${MANYHANDS_TEST_IMAGE:-manyhands-test-sandbox}
mkdir -p "$cache"
pid_file=$cache/dockerd.pid
say() { echo "docker: $*" >&2; }
answers() { docker version >/dev/null 2>&1; }

if [ "${1:-start}" = stop ]; then
  [ -f "$pid_file" ] || exit 0
  kill "$(cat "$pid_file")" 2>/dev/null || true
  rm -f "$pid_file"
  exit 0
fi

exec 9>"$cache/.docker-lock"
flock 9
if ! answers; then
  [ "$(id -u)" = 0 ] || { say "no engine answers, and only root can start one"; exit 1; }
  if ! command -v dockerd >/dev/null; then
    say "installing an engine"
    (apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io iptables) >&2
  fi
  say "starting an engine"
  dockerd --data-root "$cache/docker" >"$cache/dockerd.log" 2>&1 9>&- &
  echo $! > "$pid_file"
  for _ in $(seq 150); do
    answers && break
    sleep 0.2
  done
  answers || { say "the engine does not start:"; tail -n 5 "$cache/dockerd.log" >&2; exit 1; }
fi

made() { docker image inspect "$image" >/dev/null 2>&1; }
if ! made; then
  say "making the image $image"
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  # What sandboxes are made of; where its base cannot be had, the same from Debian's packages.
  timeout 300 docker build -q -t "$image" --target worker -f deploy/Dockerfile . >"$cache/docker-build.log" 2>&1 || true
fi
if ! made; then
  command -v debootstrap >/dev/null || (apt-get update -qq && apt-get install -y -qq debootstrap) >&2
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase --include=bash,ca-certificates,curl,git,procps,python3 bookworm "$root" >/dev/null
  # The registries may be reached through this machine's own certificate authority.
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  tar -C "$root" -c . | docker import - "$image" >/dev/null
fi
echo "$image"
