#!/usr/bin/env bash
# A real cluster of one node on this machine: Kubernetes 1.20 of Debian's source package, with the Docker engine that runs.
#   cluster.sh build    builds the programs into the cache, where they are missing (some 10 minutes of two cores, 3 GB meanwhile)
#   cluster.sh start    the same, starts the cluster where it does not run, and prints the path of a file for KUBECONFIG
#   cluster.sh stop     ends what it has started and removes what that has made: pods' containers, rules of the firewall, files
#   cluster.sh users    names the file that whoever uses it for a while holds a shared lock on: meanwhile it is not ended
#   cluster.sh cached   whether the programs are there
# As root on Debian or a relative of it, with a C compiler and Python. Pods are on Docker's bridge, so they reach this machine by the bridge's
# address, and services through kube-proxy, also by their names. Volumes are folders below /tmp/hostpath_pv (class `standard`).
# Network policies are stored and not enforced. What 1.20 has not: Pod Security admission, policy/v1, autoscaling/v2.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/manyhands
folder=$cache/kubernetes
state=$folder/cluster
programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
pause=manyhands-test-pause
release=bookworm
port=16443
etcd_port=16379
say() { echo "kubernetes: $*" >&2; }

is_cached() {
  local program
  for program in "${programs[@]}" pause; do
    [ -x "$folder/$program" ] || return 1
  done
}

build() {
  is_cached && return 0
  [ "$(id -u)" = 0 ] || { say "only root can build it"; return 1; }
  local work=$folder/work
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/shims" "$work/home"
  printf "%s [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $release main\n" deb deb-src \
    > "$work/sources.list"
  of_debian() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists" \
      -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@" >&2
  }
  if [ ! -f "$work/fetched" ]; then
    say "fetching sources and a compiler of Debian $release"
    of_debian update
    (cd "$work" && of_debian download golang-1.19-go golang-1.19-src etcd-server && of_debian source --download-only kubernetes)
    rm -rf "$work/src" "$work/go" "$work/etcd"
    (cd "$work" && dpkg-source --no-check -x kubernetes_*.dsc src >/dev/null)
    # The compiler fills iterators of maps in place, which the sources do not know; not every machine lets a node lower what its
    # containers are worth when memory is short; and volumes are for whatever user a pod has.
    patch -s -d "$work/src" -p 1 < sources.patch
    for package in golang-1.19-go golang-1.19-src; do dpkg -x "$work/$package"_*.deb "$work/go"; done
    dpkg -x "$work"/etcd-server_*.deb "$work/etcd"
    touch "$work/fetched"
  fi
  say "building it (some 10 minutes)"
  # All that its makefile needs of it.
  printf '#!/bin/sh\n# rsync -pc FILE FOLDER\nexec cp -p "$2" "$3"\n' > "$work/shims/rsync"
  chmod +x "$work/shims/rsync"
  printf "KUBE_GIT_%s\n" "COMMIT='debian'" "TREE_STATE='archive'" "VERSION='v1.20.2'" "MAJOR='1'" "MINOR='20'" > "$work/version"
  mkdir -p "$work/src/.go/src/k8s.io"
  ln -sfn ../../.. "$work/src/.go/src/k8s.io/kubernetes"
  (
    export GOROOT=$work/go/usr/lib/go-1.19 GOCACHE=$work/gocache GOPATH=$work/src/.go GOPROXY=off CGO_ENABLED=0 HOME=$work/home
    export PATH=$work/shims:$GOROOT/bin:$PATH KUBE_GIT_VERSION_FILE=$work/version
    cd "$work/src/.go/src/k8s.io/kubernetes"
    make GOFLAGS=-tags=providerless WHAT="$(printf 'cmd/%s ' "${programs[@]:1}")"
  ) > "$folder/build.log" 2>&1 || { tail -n 20 "$folder/build.log" >&2; return 1; }
  gcc -Os -static -o "$folder/pause" "$work/src/build/pause/linux/pause.c"
  install "$work/etcd/usr/bin/etcd" "$folder/"
  (cd "$work/src/_output/bin" && install "${programs[@]:1}" "$folder/")
  rm -rf "$work"
}

# Boot, number and begin of a process.
identity_of() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  echo "$(cat /proc/sys/kernel/random/boot_id) $1 $(cut -d' ' -f20 <<< "$stat")"
}

# Whether what was started here under a name still runs.
runs() {
  local boot pid begin
  [ -f "$state/$1.started" ] && read -r boot pid begin < "$state/$1.started" || return 1
  [ "$(identity_of "$pid")" = "$boot $pid $begin" ]
}

launch() {
  run_as "$1" "$folder/$1" "${@:2}"
}

# run_as NAME COMMAND…
run_as() {
  "${@:2}" > "$state/$1.log" 2>&1 7>&- 8>&- &
  identity_of $! > "$state/$1.started"
}

stop() {
  [ -d "$state" ] || return 0
  local program pid waited
  # Those that would begin pods anew go first; the node last, as it unmounts what its pods have had.
  for program in dns kube-proxy kube-scheduler kube-controller-manager kubelet kube-apiserver etcd; do
    if runs "$program"; then
      read -r _ pid _ < "$state/$program.started"
      kill "$pid"
      for waited in $(seq 100); do
        runs "$program" || break
        [ "$waited" -lt 100 ] || kill -KILL "$pid"
        sleep 0.1
      done
    fi
    rm -f "$state/$program.started"
  done
  # Containers of this node alone: the kubelet labels them with its pods.
  docker ps -aq --filter label=io.kubernetes.pod.uid | xargs --no-run-if-empty docker rm -f >/dev/null 2>&1 || true
  [ ! -x "$folder/kube-proxy" ] || "$folder/kube-proxy" --cleanup >/dev/null 2>&1 || true
  # What kube-proxy leaves.
  local table chain
  for table in nat mangle filter; do
    for chain in $(iptables -t $table -S 2>/dev/null | sed -n 's/^-N \(KUBE-.*\)/\1/p'); do
      iptables -t $table -F "$chain" && iptables -t $table -X "$chain" || true
    done
  done
  grep -oE " $state/kubelet[^ ]*" /proc/self/mountinfo | tac | xargs --no-run-if-empty umount --lazy 2>/dev/null || true
  rm -rf "$state" /tmp/hostpath_pv
}

# A certificate of our authority: certificate NAME SUBJECT EXTENSIONS
certificate() {
  openssl req -newkey rsa:2048 -nodes -keyout "$state/$1.key" -subj "$2" -out "$state/$1.csr" 2>/dev/null
  openssl x509 -req -in "$state/$1.csr" -CA "$state/ca.crt" -CAkey "$state/ca.key" -CAcreateserial -days 365 \
    -extfile <(printf '%s\n' "$3") -out "$state/$1.crt" 2>/dev/null
}

# kubeconfig NAME USER [GROUP]: somebody with a token of his own
kubeconfig() {
  local token
  token=$(openssl rand -hex 16)
  echo "$token,$2,$2${3:+,\"$3\"}" >> "$state/tokens.csv"
  cat > "$state/$1.conf" <<END
{ "apiVersion": "v1", "kind": "Config", "current-context": "c",
  "clusters": [{ "name": "c", "cluster": { "server": "https://$address:$port", "certificate-authority": "$state/ca.crt" } }],
  "users": [{ "name": "u", "user": { "token": "$token" } }],
  "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }] }
END
}

api() { curl -sf --noproxy '*' --cacert "$state/ca.crt" -H "Authorization: Bearer $(cut -d, -f1 "$state/tokens.csv" | head -n 1)" "$@"; }

start() {
  if runs kube-apiserver && runs kubelet; then
    echo "$state/admin.conf"
    return 0
  fi
  build
  docker version >/dev/null || { say "no Docker engine answers: tests/docker/environment.sh starts one"; return 1; }
  stop
  mkdir -p "$state"
  chmod 700 "$state"
  address=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
  (cd "$folder" && tar -c pause) | docker import --change 'ENTRYPOINT ["/pause"]' - "$pause" >/dev/null

  openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout "$state/ca.key" -out "$state/ca.crt" -subj /CN=manyhands-test 2>/dev/null
  certificate server /CN=kube-apiserver \
    "subjectAltName=IP:$address,IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  certificate client /CN=kube-apiserver "extendedKeyUsage=clientAuth"
  openssl genrsa -out "$state/accounts.key" 2048 2>/dev/null
  kubeconfig admin admin system:masters
  kubeconfig manager system:kube-controller-manager
  kubeconfig scheduler system:kube-scheduler
  kubeconfig node system:node:node-1 system:nodes
  kubeconfig proxy system:kube-proxy
  trap 'stop' EXIT
  launch etcd --data-dir "$state/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$((etcd_port + 1))"
  launch kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_port" --bind-address "$address" --advertise-address "$address" \
    --secure-port "$port" --service-cluster-ip-range 10.96.0.0/16 --authorization-mode Node,RBAC --allow-privileged \
    --token-auth-file "$state/tokens.csv" --client-ca-file "$state/ca.crt" \
    --tls-cert-file "$state/server.crt" --tls-private-key-file "$state/server.key" \
    --service-account-key-file "$state/accounts.key" --service-account-signing-key-file "$state/accounts.key" \
    --service-account-issuer https://kubernetes.default.svc \
    --kubelet-client-certificate "$state/client.crt" --kubelet-client-key "$state/client.key" --kubelet-preferred-address-types InternalIP
  await "the API server" api "https://$address:$port/readyz"
  # For folders of volumes.
  umask 000
  launch kube-controller-manager --kubeconfig "$state/manager.conf" --service-account-private-key-file "$state/accounts.key" \
    --root-ca-file "$state/ca.crt" --use-service-account-credentials --enable-hostpath-provisioner --leader-elect=false \
    --port 0 --secure-port 0
  umask 022
  launch kube-scheduler --kubeconfig "$state/scheduler.conf" --leader-elect=false --port 0 --secure-port 0
  run_as dns python3 dns.py "$state/admin.conf" "$address"
  launch kubelet --kubeconfig "$state/node.conf" --hostname-override node-1 --root-dir "$state/kubelet" --cert-dir "$state/kubelet/pki" \
    --volume-plugin-dir "$state/kubelet/plugins" --pod-infra-container-image "$pause" --cgroup-driver cgroupfs \
    --cgroups-per-qos=false --enforce-node-allocatable= --fail-swap-on=false --make-iptables-util-chains=false \
    --node-ip "$address" --address "$address" --read-only-port 0 --healthz-port 0 --client-ca-file "$state/ca.crt" \
    --anonymous-auth=false --authorization-mode AlwaysAllow \
    --image-gc-high-threshold 100 --eviction-hard 'memory.available<100Mi,nodefs.available<1%' --max-pods 60 \
    --cluster-dns "$address" --cluster-domain cluster.local
  launch kube-proxy --kubeconfig "$state/proxy.conf" --hostname-override node-1 --proxy-mode iptables --masquerade-all \
    --bind-address "$address" --healthz-bind-address 127.0.0.1:10256 --metrics-bind-address 127.0.0.1:10249 \
    --conntrack-max-per-core 0
  api -X POST -H content-type:application/json "https://$address:$port/apis/storage.k8s.io/v1/storageclasses" -o /dev/null -d '{
    "metadata": { "name": "standard", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
    "provisioner": "kubernetes.io/host-path", "reclaimPolicy": "Delete" }'
  await "the node" node_is_ready
  trap - EXIT
  echo "$state/admin.conf"
}

node_is_ready() {
  api "https://$address:$port/api/v1/nodes/node-1" | tr -d ' \n' | grep -q '"type":"Ready","status":"True"'
}

await() {
  local what=$1
  for _ in $(seq 300); do
    "${@:2}" >/dev/null 2>&1 && return 0
    sleep 0.2
  done
  say "$what does not come up:"
  tail -n 5 "$state"/*.log >&2
  return 1
}

users=$cache/.kubernetes-users
mkdir -p "$folder"
case ${1:-start} in
  cached) is_cached; exit ;;
  users) echo "$users"; exit ;;
  build | start | stop) ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$(basename "${BASH_SOURCE[0]}")" >&2; exit 64 ;;
esac
exec 8>"$cache/.kubernetes-cluster-lock"
flock 8
if [ "${1:-start}" = stop ]; then
  exec 7>"$users"
  flock --nonblock 7 || { say "others use the cluster: it goes on"; exit 0; }
fi
"${1:-start}"
