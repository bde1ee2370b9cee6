# What the scripts of this folder share: a stack under measurement on core 0, and the generator on core 1.
# Sourced; the caller has set `bin` to the folder of the release builds.

dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT

# field EXPRESSION: prints a field of the last JSON line of its input.
field() { node -p "JSON.parse(require('fs').readFileSync(0, 'utf8').trim().split('\n').pop())$1"; }

# event NAME: prints the newest event of this name.
event() { grep "\"event\":\"$1\"" "$dir/events" | tail -1; }

# await EVENT SECONDS: waits until the stack has told of it.
await() {
  for _ in $(seq $((20 * $2))); do
    [ -n "$(event "$1")" ] && return
    sleep 0.05
  done
  echo "no event '$1' within $2 s; the stack said:" >&2
  cat "$dir/log" >&2
  return 1
}

# start [MANIFEST]: starts a stack on a fresh or the same directory; sets server, url and ready_ms.
start() {
  : >"$dir/events"
  taskset -c 0 "$bin/chatctl" local --json -f "${1:-examples/benchmark.yaml}" --data-dir "$dir/data" --port 0 \
    >>"$dir/events" 2>"$dir/log" &
  server=$!
  await ready 30
  url=$(event ready | field .url)
  ready_ms=$(event ready | field .after_ms)
}

stop() {
  kill -INT "$server" && wait "$server" || true
  server=
  rm -rf "$dir/data"
}

# connections: prints how many all gateways hold.
connections() {
  "$bin/chatctl" gateways list --json --data-dir "$dir/data" |
    node -p "require('fs').readFileSync(0, 'utf8').trim().split('\n').reduce((n, line) => n + JSON.parse(line).connections, 0)"
}

# connected N: waits until the gateways hold N connections, a minute at most.
connected() {
  for _ in $(seq 120); do
    [ "$(connections)" -eq "$1" ] && return
    sleep 0.5
  done
  echo "$(connections) of $1 connections within a minute" >&2
  return 1
}

# Hundredths of a second of processor time that the server has used.
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }

# KiB of memory that are the server's own share.
pss() { awk '/^Pss:/ { print $2 }' "/proc/$server/smaps_rollup"; }

# generate ARGUMENTS...: runs the generator; prints its report, one JSON object.
generate() { taskset -c 1 "$bin/chatctl" load --json --url "$url" --data-dir "$dir/data" "$@" 2>/dev/null | tail -1; }

# told NAME CORE: prints what a report on its input says, one line.
told() {
  node -e '
    const r = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const ms = (q) => q ? `p50 ${q.p50.toFixed(2)} p99 ${q.p99.toFixed(2)} p99.9 ${q.p999.toFixed(2)}` : "-";
    console.log(`${process.argv[1]}: acked ${r.acked}, ${Math.round(r.deliveries_per_s)} deliveries/s, ack ms ${ms(r.ack_ms)}, ` +
      `delivery ms ${ms(r.delivery_ms)}, lost ${r.lost} duplicated ${r.duplicated} misordered ${r.misordered}` +
      `${r.void ? ", VOID " + r.void_reason : ""}, server ${process.argv[2]} core`);' "$1" "$2"
}

# load NAME ARGUMENTS...: runs the generator and prints what it saw, and how much of its core the server used.
load() {
  local name=$1 begun ticks report core
  shift
  ticks=$(cpu_ticks) begun=$(date +%s%N)
  report=$(generate "$@") || true
  core=$(awk -v t="$(($(cpu_ticks) - ticks))" -v n="$(($(date +%s%N) - begun))" 'BEGIN { printf "%.2f", t / 100 / (n / 1e9) }')
  told "$name" "$core" <<<"$report"
}

machine() { echo "$(nproc) cores, $(uname -r), load before: $(cut -d' ' -f1-3 /proc/loadavg)"; }
