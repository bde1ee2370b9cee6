#!/usr/bin/env bash
# Stops what up.sh started, and forgets the cluster; the programs stay built.
set -euo pipefail
. "$(dirname "$0")/../engines/processes.sh"
work_of kubernetes
for name in kube-controller-manager kube-apiserver etcd; do stop "$name"; done
rm -rf etcd ./*.log ./*.conf ./*.crt ./*.csr ./*.key ./*.pub ./*.srl audit.yaml
