#!/usr/bin/env bash
# Makes images that can take the place of those that compose.yaml and deploy/Dockerfile name, where no image registry can be reached:
# from Debian's packages, the Rust toolchain of this machine, and the package index of Python. They have names of their own, so no
# other project takes them for what they are not; what is printed says how to use them.
#   deploy/base-images.sh [debian|nats|rust]... >> .env     (all)
# Needs root, and Debian for what tests/docker/environment.sh installs: Docker itself and debootstrap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debian=manyhands-base-debian
say() { echo "base images: $*" >&2; }

make_debian() { tests/docker/debian.sh "$debian"; }

make_nats() {
  local server
  server=$(tests/nats/environment.sh pinned)
  if readelf --program-headers "$server" | grep -q INTERP; then
    say "$server needs libraries, which the image has not"
    exit 1
  fi
  install -D "$server" "$work/nats/nats-server"
  docker build -q -t manyhands-base-nats -f - "$work/nats" >/dev/null <<END
FROM $debian
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
COPY nats-server /usr/local/bin/
ENTRYPOINT ["nats-server"]
END
}

make_rust() {
  local toolchain wanted
  toolchain=$(rustc --print sysroot)
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  # A distribution's Rust has all of the system beside it.
  if [ "$toolchain" = /usr ] || ! compgen -G "$toolchain/lib/rustlib/*/lib" >/dev/null; then
    say "$toolchain is no toolchain by itself: install Rust $wanted with rustup"
    exit 1
  fi
  case "$("$toolchain/bin/rustc" --version)" in
    "rustc $wanted."*) ;;
    *) say "$toolchain is not Rust $wanted: rustup default $wanted"; exit 1 ;;
  esac
  mkdir "$work/rust"
  cp -a "$toolchain"/{bin,lib} "$work/rust/"
  # The registry of crates may be reached through this machine's own certificate authority.
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/rust/"
  docker build -q -t manyhands-base-rust -f - "$work/rust" >/dev/null <<END
FROM $debian
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates g++ make && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/
COPY bin /usr/local/bin
COPY lib /usr/local/lib
END
}

[ $# -gt 0 ] || set -- debian nats rust
for part in "$@"; do
  case $part in
    debian) ;;
    nats | rust) docker image inspect "$debian" >/dev/null 2>&1 || make_debian ;;
    *) say "no such part: $part"; exit 64 ;;
  esac
  if ! docker image inspect "manyhands-base-$part" >/dev/null 2>&1; then
    "make_$part"
    say "made manyhands-base-$part"
  fi
  echo "MANYHANDS_BASE_${part^^}=manyhands-base-$part"
done
