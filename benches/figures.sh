#!/usr/bin/env bash
# Measures the figures of docs/benchmarks.md in one run: server on core 0, generator on core 1, one line a figure.
#
#   cargo build --release -p chatctl -p benches && benches/figures.sh [target/release]
#
# Needs two cores with nothing else on them; a run whose generator was late says `void`.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${1:-${CARGO_TARGET_DIR:-target}/release}
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT

field() { node -p "JSON.parse(require('fs').readFileSync(0, 'utf8').trim().split('\n').pop())$1"; }

# start: starts a stack on a fresh or the same directory; sets url and ready_ms.
start() {
  : >"$dir/events"
  taskset -c 0 "$bin/chatctl" local --json -f examples/benchmark.yaml --data-dir "$dir/data" --port 0 >>"$dir/events" 2>"$dir/log" &
  server=$!
  for _ in $(seq 600); do
    grep -q '"event":"ready"' "$dir/events" && break
    sleep 0.05
  done
  url=$(grep '"event":"ready"' "$dir/events" | field .url)
  ready_ms=$(grep '"event":"ready"' "$dir/events" | field .after_ms)
}

stop() {
  kill -INT "$server" && wait "$server" || true
  server=
  rm -rf "$dir/data"
}

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }

# load NAME ARGUMENTS...: runs the generator and prints what it saw, and how much of its core the server used.
load() {
  local name=$1 begun ticks report
  shift
  ticks=$(cpu_ticks) begun=$(date +%s%N)
  report=$(taskset -c 1 "$bin/chatctl" load --json --url "$url" --data-dir "$dir/data" "$@" 2>/dev/null | tail -1) || true
  local core
  core=$(awk -v t="$(($(cpu_ticks) - ticks))" -v n="$(($(date +%s%N) - begun))" 'BEGIN { printf "%.2f", t / 100 / (n / 1e9) }')
  echo "$report" | node -e '
    const r = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const ms = (q) => q ? `p50 ${q.p50.toFixed(2)} p99 ${q.p99.toFixed(2)} p99.9 ${q.p999.toFixed(2)}` : "-";
    console.log(`${process.argv[1]}: acked ${r.acked}, ${Math.round(r.deliveries_per_s)} deliveries/s, ack ms ${ms(r.ack_ms)}, ` +
      `delivery ms ${ms(r.delivery_ms)}, lost ${r.lost} duplicated ${r.duplicated} misordered ${r.misordered}` +
      `${r.void ? ", VOID " + r.void_reason : ""}, server ${process.argv[2]} core`);' "$name" "$core"
}

echo "$(nproc) cores, $(uname -r), load before: $(cut -d' ' -f1-3 /proc/loadavg)"
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

start
before=$(awk '/^Pss:/ { print $2 }' "/proc/$server/smaps_rollup")
taskset -c 1 "$bin/chatctl" load --idle --url "$url" --data-dir "$dir/data" --users 5000 --duration 15s >/dev/null 2>&1 &
idle=$!
sleep 10
ticks=$(cpu_ticks)
sleep 4
pss=$(awk '/^Pss:/ { print $2 }' "/proc/$server/smaps_rollup")
echo "5000 idle sessions: $(awk -v a="$before" -v b="$pss" 'BEGIN { printf "%.2f", (b - a) / 5000 }') KiB PSS each, $(awk -v t="$(($(cpu_ticks) - ticks))" 'BEGIN { printf "%.3f", t / 100 / 4 }') core"
wait "$idle" || true
stop
