#!/usr/bin/env bash
# Measures what sessions cost and how they survive, for docs/benchmarks.md: server on core 0, generator on core 1.
#
#   cargo build --release -p chatctl && benches/sessions.sh [target/release]
#
# Needs two cores with nothing else on them, a C compiler, and 20 000 open files a process. SOAK is the length of the
# soak (default 5m).
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${1:-${CARGO_TARGET_DIR:-target}/release}
. benches/stack.sh
machine

# Idle sessions: memory and processor time of each.
sessions=18000
start
before=$(pss)
generate --idle --users "$sessions" --duration 60s >/dev/null &
idle=$!
connected "$sessions"
sleep 5
ticks=$(cpu_ticks)
sleep 10
echo "$sessions idle sessions: $(awk -v a="$before" -v b="$(pss)" -v n="$sessions" 'BEGIN { printf "%.2f", (b - a) / n }') KiB PSS each, $(awk -v t="$(($(cpu_ticks) - ticks))" 'BEGIN { printf "%.3f", t / 100 / 10 }') core in all"
wait "$idle" || true
stop

# All sessions cut at once.
start
report=$(generate --users 5000 --rate 500 --duration 20s --cut 8s) || true
told "5000 sessions cut at once" - <<<"$report"
echo "$report" | node -e '
  const { back_ms: q } = JSON.parse(require("fs").readFileSync(0, "utf8"));
  console.log(`caught up after ms: p50 ${q.p50.toFixed(0)} p99 ${q.p99.toFixed(0)} max ${q.max.toFixed(0)}`);'
stop

# A drain keeps its pace.
rate=200
sed "s/^    replicas: 1/    replicas: 2\n    drain: {settleSeconds: 0, reconnectsPerSecond: $rate}/" \
  examples/benchmark.yaml >"$dir/two.yaml"
start "$dir/two.yaml"
generate --idle --users 8000 --duration 60s >/dev/null &
idle=$!
connected 8000
"$bin/chatctl" gateways drain gateway-1 --data-dir "$dir/data" >/dev/null
await drained 60
node -e '
  const [from, to, asked] = [JSON.parse(process.argv[1]), JSON.parse(process.argv[2]), Number(process.argv[3])];
  const pace = (from.connections - to.left) / (to.after_ms / 1000);
  console.log(`drain of ${from.connections} connections in ${to.after_ms} ms: ${pace.toFixed(0)}/s, ` +
    `${((pace / asked - 1) * 100).toFixed(1)} % off the ${asked}/s that were asked for`);' \
  "$(event draining)" "$(event drained)" "$rate"
wait "$idle" || true
stop

# Allocations of the server for each delivery: the difference of two runs of a group of 500.
cc -O2 -shared -fPIC -o "$dir/allocations.so" benches/allocations.c
export ALLOCATIONS="$dir/allocations"
allocated() { od -An -tu8 -N8 "$ALLOCATIONS" | tr -d ' '; }
LD_PRELOAD="$dir/allocations.so" start
counts=()
for seconds in 10 20; do
  before=$(allocated)
  report=$(generate --users 500 --groups 1x500 --rate 100 --duration "${seconds}s" --scan seq) || true
  counts+=("$(($(allocated) - before))" "$(echo "$report" | field .delivered)")
done
node -e '
  const [a, n, b, m] = process.argv.slice(1).map(Number);
  console.log(`allocations a delivery: ${((b - a) / (m - n)).toFixed(3)}`);' "${counts[@]}"
stop

# A soak: memory stays where it is.
start
generate --users 500 --groups 20x25 --rate 500 --duration "${SOAK:-5m}" >"$dir/soak" &
soak=$!
while kill -0 "$soak" 2>/dev/null; do
  sleep 30
  [ -d "/proc/$server" ] && echo "soak: $(pss) KiB PSS, $(ls "/proc/$server/fd" | wc -l) open files"
done
told "soak of ${SOAK:-5m}" - <"$dir/soak"
stop
