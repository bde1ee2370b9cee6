#!/usr/bin/env bash
# Kills the API server that up.sh started, and starts it again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../engines/processes.sh"
work_of kubernetes
read -r pid _ <kube-apiserver.pid
kill -9 "$pid"
while runs kube-apiserver; do sleep 0.1; done
exec "$here/up.sh"
