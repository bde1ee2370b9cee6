#!/usr/bin/env bash
# Stops what up.sh started, and forgets its records.
set -euo pipefail
. "$(dirname "$0")/../processes.sh"
work_of kafka
stop kafka
rm -rf data kafka.log
