#!/usr/bin/env bash
# Stops what three.sh started, and forgets its records.
set -euo pipefail
. "$(dirname "$0")/../processes.sh"
work_of kafka
for n in 1 2 3; do stop "broker-$n"; done
rm -rf data-[123] broker-[123].log broker-[123].properties
