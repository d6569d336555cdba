#!/usr/bin/env bash
# Installs the chart on the real cluster of the tests, has `helm test` run a conversation whose worker is a pod, upgrades and uninstalls it.
#   install.sh PROGRAM [CHART]     PROGRAM: `manyhands` with the feature `kubernetes`
# The cluster is older than the chart asks for: its copy here asks for none, and what 1.20 does not know is left out by values
# (budgets, a pause before the end) or dropped by its API server. Says how long each step takes, and fails where something is left.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")"
chart=$(realpath "${2:-../../charts/manyhands}")
sandbox=${MANYHANDS_TEST_IMAGE:-manyhands-test-sandbox}
eval "$(./environment.sh tools)"
nats=$(../nats/environment.sh pinned)
exec 7>"$(./environment.sh cluster users)"
flock --shared 7
KUBECONFIG=$(./environment.sh cluster start)
export KUBECONFIG
namespace=manyhands-install-test
work=$(mktemp -d)
say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
end() {
  "$KUBECTL" delete namespace "$namespace" --ignore-not-found --wait --timeout=120s >/dev/null 2>&1 || true
  docker rmi -f manyhands-test-control:1 manyhands-test-nats:1 manyhands-test-sandbox:1 >/dev/null 2>&1 || true
  rm -rf "$work"
}
failed() {
  "$KUBECTL" -n "$namespace" get pods,pvc -o wide || true
  "$KUBECTL" -n "$namespace" get events --sort-by=.lastTimestamp | tail -n 20 || true
  for pod in $("$KUBECTL" -n "$namespace" get pods -o name); do
    echo "== $pod"
    "$KUBECTL" -n "$namespace" logs "$pod" --all-containers --tail 15 || true
  done
}
trap end EXIT
trap failed ERR

# image NAME FILE…: the sandboxes' image with programs
image() {
  local made
  made=$(docker create "$sandbox" true)
  for file in "${@:2}"; do docker cp -q "$file" "$made:/usr/local/bin/"; done
  docker commit --change 'ENTRYPOINT ["/usr/local/bin/manyhands"]' "$made" "$1" >/dev/null
  docker rm "$made" >/dev/null
}
cp "$program" "$work/manyhands"
image manyhands-test-control:1 "$work/manyhands"
image manyhands-test-nats:1 "$nats"

cp -r "$chart" "$work/chart"
sed -i '/^kubeVersion:/d' "$work/chart/Chart.yaml"
docker tag "$sandbox" manyhands-test-sandbox:1 2>/dev/null || true
cat > "$work/values.yaml" <<END
image: { repository: manyhands-test-control, tag: "1" }
nats: { image: { repository: manyhands-test-nats, tag: "1" }, pdb: { enabled: false } }
sandboxes: { image: { repository: manyhands-test-sandbox, tag: "1" } }
gateway: { drain: { preStopSeconds: 0 }, pdb: { enabled: false } }
supervisor: { pdb: { enabled: false } }
END
helm() { "$HELM_3" -n "$namespace" "$@"; }
values=(-f "$work/chart/ci/small-values.yaml" -f "$work/values.yaml")
"$KUBECTL" delete namespace "$namespace" --ignore-not-found --wait --timeout=120s >/dev/null
SECONDS=0
helm install r "$work/chart" --create-namespace "${values[@]}" --disable-openapi-validation --wait --timeout 5m >/dev/null
say "installed"
helm test r --timeout 5m >/dev/null
say "a conversation has run, whose worker was a pod:"
"$KUBECTL" -n "$namespace" get pods,pvc -l app.kubernetes.io/component=worker --no-headers
keys() { "$KUBECTL" -n "$namespace" get secrets -o json | "$PYTHON" -c "
import json, sys
print(sorted((s['metadata']['name'], s['metadata']['uid'], s['data']) for s in json.load(sys.stdin)['items'] if s['type'] == 'Opaque'))"; }
before=$(keys)
helm upgrade r "$work/chart" "${values[@]}" --set gateway.logLevel=debug --disable-openapi-validation --wait --timeout 5m >/dev/null
[ "$before" = "$(keys)" ] || { echo "an upgrade has changed keys"; exit 1; }
say "upgraded, with the same keys"
helm test r --timeout 5m >/dev/null
say "another conversation has run"
helm uninstall r --wait --timeout 3m >/dev/null
"$KUBECTL" -n "$namespace" wait --for=delete pods --all --timeout=120s >/dev/null
say "uninstalled; what is left:"
"$KUBECTL" -n "$namespace" get pods,services,deployments,statefulsets,jobs,pvc,secrets -o name | grep -v -e default-token -e sh.helm.release
