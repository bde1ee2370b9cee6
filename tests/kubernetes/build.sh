#!/usr/bin/env bash
# Builds programs of Kubernetes from Go modules into $CHAT_CACHE/kubernetes/bin; what is there already is kept.
#
#   tests/kubernetes/build.sh kube-apiserver kube-controller-manager
#
# modules/ has a go.mod with a `tool` line for every program, and its go.sum; also the replacements of the staging
# modules, which the published module leaves to its own workspace. With empty caches on two cores: 8 min.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache="${CHAT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/chatcluster}/kubernetes"
mkdir -p "$cache/bin" "$cache/build"

version=v1.34.3
v=k8s.io/component-base/version c=k8s.io/client-go/pkg/version
flags="-s -w -X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=34 -X $c.gitVersion=$version"

for program; do
  [ -x "$cache/bin/$program" ] && continue
  command -v go >/dev/null || exit 77
  cp "$here/modules"/* "$cache/build/"
  (cd "$cache/build" && CGO_ENABLED=0 go build -ldflags "$flags" -o "$cache/bin/$program.part" "k8s.io/kubernetes/cmd/$program")
  mv "$cache/bin/$program.part" "$cache/bin/$program"
done
