#!/usr/bin/env bash
# Makes sure that a Docker engine answers, and prints the name of an image with a shell, git and Python, which it makes
# where there is none; `stop` ends an engine that it has started, unless somebody still uses it.
#   environment.sh [start|stop]
# Whoever uses the engine for a while holds a shared lock on the file that `environment.sh users` names.
# As root on Debian it installs the engine where there is none. Where no registry can be reached it makes the image
# with debootstrap. Fails where neither is possible.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/manyhands
image=${MANYHANDS_TEST_IMAGE:-manyhands-test-sandbox}
mkdir -p "$cache"
# Which process it is: its number alone may be another's by now.
started=$cache/dockerd.started
users=$cache/.docker-users
say() { echo "docker: $*" >&2; }
answers() { docker version >/dev/null 2>&1; }

# Boot, number and begin of a process.
identity_of() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  echo "$(cat /proc/sys/kernel/random/boot_id) $1 $(cut -d' ' -f20 <<< "$stat")"
}

# Ends the engine that was started here, if it still is that one.
end_engine() {
  local boot pid begin
  [ -f "$started" ] && read -r boot pid begin < "$started" || return 0
  if [ "$(identity_of "$pid")" = "$boot $pid $begin" ] && [ "$(cat "/proc/$pid/comm")" = dockerd ]; then
    kill "$pid"
  fi
  rm -f "$started"
}

exec 9>"$cache/.docker-lock"
flock 9
case ${1:-start} in
  users) echo "$users"; exit ;;
  stop)
    exec 8>"$users"
    if flock --nonblock 8; then end_engine; else say "others use the engine: it goes on"; fi
    exit
    ;;
esac

if ! answers; then
  [ "$(id -u)" = 0 ] || { say "no engine answers, and only root can start one"; exit 1; }
  if ! command -v dockerd >/dev/null; then
    say "installing an engine"
    (apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io iptables) >&2
  fi
  say "starting an engine"
  end_engine
  dockerd --data-root "$cache/docker" >"$cache/dockerd.log" 2>&1 8>&- 9>&- &
  identity_of $! > "$started"
  trap end_engine EXIT
  for _ in $(seq 150); do
    answers && break
    sleep 0.2
  done
  answers || { say "the engine does not start:"; tail -n 5 "$cache/dockerd.log" >&2; exit 1; }
  trap - EXIT
fi

made() { docker image inspect "$image" >/dev/null 2>&1; }
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! made; then
  say "making the image $image"
  # What sandboxes are made of; where its base cannot be had, the same from Debian's packages.
  timeout 300 docker build -q -t "$image" --target worker -f deploy/Dockerfile . >"$cache/docker-build.log" 2>&1 || true
fi
made || tests/docker/debian.sh "$image"
echo "$image"
