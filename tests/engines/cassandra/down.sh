#!/usr/bin/env bash
# Stops what up.sh started, and forgets its records.
set -euo pipefail
. "$(dirname "$0")/../processes.sh"
work_of cassandra
stop cassandra
rm -rf data cassandra.log
