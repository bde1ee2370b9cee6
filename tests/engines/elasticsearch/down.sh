#!/usr/bin/env bash
# Stops what up.sh started, and forgets the data.
set -euo pipefail
. "$(dirname "$0")/../processes.sh"
work_of elasticsearch
stop proxy
stop elasticsearch
rm -rf data ./*.log
