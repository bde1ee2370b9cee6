#!/usr/bin/env bash
# Measures the figures of docs/benchmarks.md in one run: server on core 0, generator on core 1, one line a figure.
#
#   cargo build --release -p chatctl -p benches && benches/figures.sh [target/release]
#
# Needs two cores with nothing else on them; a run whose generator was late says `void`.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${1:-${CARGO_TARGET_DIR:-target}/release}
. benches/stack.sh

machine
"$bin/ceiling" --users 500 --json

start
echo "ready on an empty directory: $ready_ms ms"
load "direct, 2000/s" --users 400 --rate 2000 --duration 15s
kill -9 "$server" && wait "$server" 2>/dev/null || true
start
echo "ready after kill -9: $ready_ms ms"
stop

for rate in 5000 10000 15000; do
  start
  load "direct, $rate/s" --users 400 --rate "$rate" --duration 10s
  stop
done

for rate in 50 500 1000 2000; do
  start
  load "one group of 500, $rate/s ($((rate * 500)) deliveries/s)" --users 500 --groups 1x500 --rate "$rate" --duration 10s --scan seq
  stop
done
