#!/usr/bin/env bash
# Stops what up.sh started, and forgets the cluster.
set -euo pipefail
. "$(dirname "$0")/../processes.sh"
work_of redis
for file in redis-*.pid; do
  [ -e "$file" ] && stop "${file%.pid}"
done
rm -rf data ./*.log
