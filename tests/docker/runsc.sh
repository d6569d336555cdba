#!/usr/bin/env bash
# Runs a command with an engine of its own in which sandboxes are gVisor's, and ends the engine with it:
#   runsc.sh COMMAND…     such as tests/docker/runsc.sh ./test docker::hostile
# As root, with what tests/docker/environment.sh installs. The program is the one that MANYHANDS_RUNSC names, or that of Debian trixie,
# which is fetched into the cache (apt checks its signature) and not installed. The image comes from the engine that runs.
# All of it is in a network of its own: bridge and firewall of the engine that runs stay as they are, and the command
# reaches nothing outside, so what it needs has to be there.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: runsc.sh COMMAND…" >&2; exit 64; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/manyhands
image=${MANYHANDS_TEST_IMAGE:-manyhands-test-sandbox}
say() { echo "runsc: $*" >&2; }

fetch() {
  local work
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$cache"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" > "$work/sources.list"
  of_trixie() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists" \
      -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@" >&2
  }
  of_trixie update
  (cd "$work" && of_trixie download runsc)
  dpkg -x "$work"/runsc_*.deb "$work/root"
  install -m 755 "$work/root/usr/bin/runsc" "$cache/runsc.new"
  mv "$cache/runsc.new" "$cache/runsc"
  rm -rf "$work"
}

if [ -z "${MANYHANDS_OWN_NETWORK:-}" ]; then
  [ "$(id -u)" = 0 ] || { say "only root can start an engine"; exit 1; }
  docker image inspect "$image" >/dev/null || { say "tests/docker/environment.sh makes the image $image"; exit 1; }
  if [ -z "${MANYHANDS_RUNSC:-}" ]; then
    "$cache/runsc" --version >/dev/null 2>&1 || { say "fetching it from Debian trixie"; fetch; }
    export MANYHANDS_RUNSC=$cache/runsc
  fi
  MANYHANDS_OWN_NETWORK=1 exec unshare --net "$(realpath "${BASH_SOURCE[0]}")" "$@"
fi

folder=$(mktemp -d)
started=()
end() {
  local pid
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null && wait "$pid" || true
  done
  # What holds containers outlives both.
  pgrep -f -- "-id [0-9a-f]+ .*$folder/|$folder/.*moby/" | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
  grep -oE " $folder[^ ]*" /proc/self/mountinfo | tac | xargs --no-run-if-empty umount --lazy || true
  rm -rf "$folder"
}
trap end EXIT
ip link set lo up
mkdir "$folder/data"
# An image has thousands of files.
mount -t tmpfs -o size=8g tmpfs "$folder/data"
cat > "$folder/containerd.toml" <<END
version = 2
root = "$folder/data/containerd"
state = "$folder/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"]
[grpc]
address = "$folder/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "$folder/opt"
END
containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
started=($!)
cat > "$folder/daemon.json" <<END
{ "runtimes": { "runsc": { "path": "$MANYHANDS_RUNSC", "runtimeArgs": ["--host-uds=open", "--network=none"] } } }
END
host=unix://$folder/docker.sock
dockerd --config-file "$folder/daemon.json" --containerd "$folder/containerd.sock" --data-root "$folder/data/docker" \
  --exec-root "$folder/run" --pidfile "$folder/docker.pid" --host "$host" >"$folder/dockerd.log" 2>&1 &
started=($! "${started[@]}")
for _ in $(seq 300); do
  docker --host "$host" version >/dev/null 2>&1 && break
  sleep 0.2
done
docker --host "$host" version >/dev/null || { tail -n 5 "$folder/dockerd.log" >&2; exit 1; }
docker save "$image" | docker --host "$host" load --quiet >&2
say "$("$MANYHANDS_RUNSC" --version | head -n 1), on an engine of its own"
export DOCKER_HOST=$host MANYHANDS_TEST_IMAGE=$image MANYHANDS_TEST_RUNTIME=runsc CARGO_NET_OFFLINE=true
result=0
"$@" || result=$?
exit $result
