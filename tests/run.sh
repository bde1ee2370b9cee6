#!/usr/bin/env bash
# The tests of ChatCluster. Without an argument: what CI runs. With a level: that level whole. See CONTRIBUTING.md.
#
#   tests/run.sh                 unit, local and browser; of operator a smoke, where an API server is built already
#   tests/run.sh unit            format, lints, documents, unit tests, properties, simulation, model check; clients too
#   tests/run.sh clients         the part of unit that is in clients/
#   tests/run.sh local           black-box suites against a release build of `chatctl local`
#   tests/run.sh browser         the demo page of that build in headless Chromium
#   tests/run.sh engines         suites of the engines against real servers: Kafka, Redis Cluster, Cassandra, Elasticsearch;
#                                gateways and workers on them while each part is broken, FAULTS times (2)
#   tests/run.sh operator        the operator against a real API server; needs Go to build that once
#   tests/run.sh --full          every level, simulations and faults repeated more often
#
# Builds and tools are cached outside the tree, in $CHAT_CACHE (default ~/.cache/chatcluster). CHATCTL names a build to
# test in place of one from these sources. With CI=true a missing need is a failure; otherwise it is told and counted
# as skipped. KEEP_ENGINES=1 leaves the servers of `engines` and `operator` running for the next run. The last line is
# `N passed, N failed, N skipped`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

cache="${CHAT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/chatcluster}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
export CARGO_INCREMENTAL=0
export INSTA_UPDATE=no
export npm_config_cache="${npm_config_cache:-$cache/npm}"
mkdir -p "$cache" "$CARGO_TARGET_DIR" || exit 1

passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

say() { printf '\n== %s\n' "$*"; }

# stage NAME COMMAND...: runs a command; counts the tests it reports, or itself as one.
stage() {
  local name=$1 begun=$SECONDS status
  shift
  say "$name"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  local counts p f i
  # The closing lines of cargo test, and of Node's test runner (`#` or, in later versions, `ℹ`).
  counts=$(sed -nE \
    -e 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/\1 \2 \3/p' \
    -e 's/^(#|ℹ) pass ([0-9]+)$/\2 0 0/p' \
    -e 's/^(#|ℹ) (fail|cancelled) ([0-9]+)$/0 \3 0/p' \
    -e 's/^(#|ℹ) (skipped|todo) ([0-9]+)$/0 0 \3/p' "$log" |
    awk '{ p += $1; f += $2; i += $3 } END { print p + 0, f + 0, i + 0 }')
  read -r p f i <<<"$counts"
  if [ $((p + f + i)) -eq 0 ]; then
    [ "$status" -eq 0 ] && p=1 || f=1
  elif [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    f=1
  fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + i))
  printf '%s\n' "-- $name: $([ "$status" -eq 0 ] && echo ok || echo FAILED) after $((SECONDS - begun)) s"
}

# missing NEED LEVEL: tells of a need that this machine lacks.
missing() {
  say "$2 needs $1, which is not here"
  if [ "${CI:-}" = true ]; then failed=$((failed + 1)); else skipped=$((skipped + 1)); fi
}

# need COMMAND PACKAGE: installs a Debian package where that is possible.
need() {
  command -v "$1" >/dev/null && return 0
  if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    (apt-get install -y -qq "$2" || { apt-get update -qq && apt-get install -y -qq "$2"; }) >/dev/null 2>&1
  fi
  command -v "$1" >/dev/null
}

deny() {
  local bin="$cache/tools/bin/cargo-deny"
  if [ ! -x "$bin" ]; then
    CARGO_TARGET_DIR="$cache/tools/target" cargo install --quiet --locked --root "$cache/tools" cargo-deny || return 1
    rm -rf "$cache/tools/target"
  fi
  "$bin" --log-level warn check bans licenses sources
}

in_clients() { (cd clients && "$@"); }

# node_for LEVEL: brings Node and the packages of the clients.
node_for() {
  if ! { need node nodejs && need npm npm && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; }; then
    missing "Node 20 or later" "$1"
    return 1
  fi
  [ clients/node_modules/.package-lock.json -nt clients/package-lock.json ] ||
    stage "packages of the clients" in_clients npm ci --silent
}

clients() {
  node_for clients || return
  stage "format and lints of the clients" in_clients npm run --silent lint
  stage "types of the clients, and the demo page that is embedded" in_clients npm run --silent check
  stage "unit tests and simulation of the clients" in_clients env -u CHATCTL npm test --silent
}

unit() {
  stage "format" cargo fmt --all --check
  stage "lints" cargo clippy --workspace --all-targets --features chatctl/cluster -- -D warnings
  stage "documents of the code" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
  stage "dependencies" deny
  need strace strace || missing strace "the proof that no ack leaves before its sync"
  stage "unit tests, properties, simulation, model check" cargo test --workspace --exclude tests --features chatctl/cluster --no-fail-fast
  stage "invariants of the source" cargo test -p tests --test architecture
  clients
}

# release_build: makes the build that the other levels test, unless CHATCTL names one.
release_build() {
  [ -x "${CHATCTL:-}" ] && return
  stage "release build of chatctl" cargo build --release -p chatctl
  export CHATCTL="$CARGO_TARGET_DIR/release/chatctl"
  [ -x "$CHATCTL" ]
}

local_suites() {
  release_build || return
  stage "black-box suites" cargo test -p tests --no-fail-fast -- --test-threads "${TEST_THREADS:-2}"
  node_for "the client's suite" && stage "the client as a black box" in_clients npm run --silent integration -w js
}

browser() {
  node_for browser || return
  need chromium chromium || { missing Chromium browser; return; }
  release_build || return
  export CHROMIUM="${CHROMIUM:-$(command -v chromium)}" SCREENSHOTS="${SCREENSHOTS:-$cache/screenshots}"
  stage "the demo page in Chromium" in_clients npm run --silent browser
}

# start_engine NAME: starts a server, or finds it running, and learns where it is.
start_engine() {
  local begun=$SECONDS status=0
  say "server of $1"
  "tests/engines/$1/up.sh" >"$log" || status=$?
  case $status in
    0)
      # shellcheck disable=SC1090
      . "$log"
      passed=$((passed + 1))
      ;;
    77) missing "what $1 is made of" engines ;;
    *) failed=$((failed + 1)) ;;
  esac
  printf '%s\n' "-- server of $1: $([ "$status" -eq 0 ] && echo ok || echo "not up") after $((SECONDS - begun)) s"
  return "$status"
}

stop_engines() {
  trap 'rm -f "$log"' EXIT
  [ -z "${KEEP_ENGINES:-}" ] || return 0
  local engine
  for engine in kafka redis cassandra elasticsearch; do "tests/engines/$engine/down.sh"; done
}

# headers PACKAGE DEBIAN_PACKAGE: installs what a C library is compiled with.
headers() {
  pkg-config --exists "$1" && return
  [ "$(id -u)" -eq 0 ] && apt-get install -y -qq "$2" >/dev/null 2>&1
  pkg-config --exists "$1"
}

engines() {
  if ! { need cc gcc && need make make && need pkg-config pkg-config && headers openssl libssl-dev &&
    headers zlib zlib1g-dev; }; then
    missing "a C compiler, make, OpenSSL and zlib" engines
    return
  fi
  local suites=()
  trap 'stop_engines; rm -f "$log"' EXIT
  start_engine kafka && suites+=(kafka)
  start_engine redis && suites+=(redis)
  start_engine cassandra && suites+=(cassandra)
  start_engine elasticsearch && suites+=(elasticsearch)
  # One set of features for all: another would compile everything again.
  local all=kafka,redis,cassandra,elasticsearch
  stage "lints of the engines" cargo clippy -p chat-core --all-targets --features "$all,contract" -- -D warnings
  stage "unit tests of the engines" cargo test -p chat-core --features "$all,contract" --lib -- ${all//,/ }
  local suite
  for suite in "${suites[@]}"; do
    stage "contract of $suite" cargo test -p chat-core --features "$all,contract" --test "$suite"
  done
  case " ${suites[*]} " in
    *" redis "*)
      stage "relay on a Redis Cluster that breaks" cargo test -p chat-core --features "$all,contract" \
        --test redis_faults -- --test-threads 2
      ;;
  esac
  if [ "${#suites[@]}" -eq 4 ] && processes; then
    stage "the stack on real engines, broken on purpose" \
      cargo test -p tests --features engines --test engines -- --test-threads 1
  fi
  stop_engines
}

stop_api_server() {
  trap 'rm -f "$log"' EXIT
  [ -n "${KEEP_ENGINES:-}" ] || tests/kubernetes/down.sh
}

# operator_suites [TEST...]: a real API server without nodes, and the operator as a process with the rights it asks for.
operator_suites() {
  local begun=$SECONDS status=0
  say "API server"
  trap 'stop_api_server; rm -f "$log"' EXIT
  tests/kubernetes/up.sh >"$log" || status=$?
  if [ "$status" -ne 0 ]; then
    if [ "$status" -eq 77 ]; then missing "what an API server is built of" operator; else failed=$((failed + 1)); fi
    stop_api_server
    return
  fi
  # shellcheck disable=SC1090
  . "$log"
  printf '%s\n' "-- API server: ok after $((SECONDS - begun)) s"
  # The features of the unit tests beside those of the suites: others would compile everything again.
  local suites=(--workspace --features chatctl/cluster,tests/operator)
  stage "lints of the operator's suites" cargo clippy "${suites[@]}" --test operator -- -D warnings
  # A test of the operator's own is built for the program that comes with it.
  stage "build of the operator" cargo test "${suites[@]}" --test generated --no-run
  export CHAT_OPERATOR="$CARGO_TARGET_DIR/debug/chat-operator"
  stage "the operator and its API server" cargo test "${suites[@]}" --test operator -- \
    --test-threads "${TEST_THREADS:-4}" "$@"
  stop_api_server
}

# operator_smoke: the part of it that takes seconds, where an API server is built; to build one takes minutes.
operator_smoke() {
  if [ -x "$cache/kubernetes/bin/kube-apiserver" ] && [ -x "$cache/kubernetes/bin/kube-controller-manager" ]; then
    operator_suites convergence::six_lines definition::what_may_not_change
  else
    say "the smoke of operator is left out: no API server is built yet, which \`tests/run.sh operator\` does"
    skipped=$((skipped + 1))
  fi
}

# faketime: finds the library that makes a process's clock jump.
faketime() {
  need faketime faketime || return
  FAKETIME_LIBRARY=$(dpkg -L libfaketime 2>/dev/null | grep -m 1 '/libfaketimeMT\.so\.1$')
  export FAKETIME_LIBRARY
  [ -n "$FAKETIME_LIBRARY" ]
}

# processes: makes the binaries of a cluster, and the load generator, unless variables name them.
processes() {
  faketime || { missing "libfaketime" engines; return 1; }
  if [ ! -x "${GATEWAY_BIN:-}" ] || [ ! -x "${WORKERS_BIN:-}" ]; then
    stage "release build of the processes" cargo build --release -p chat-gateway -p chat-workers \
      --features chat-gateway/process,chat-workers/process
    export GATEWAY_BIN="$CARGO_TARGET_DIR/release/chat-gateway" WORKERS_BIN="$CARGO_TARGET_DIR/release/chat-workers"
  fi
  release_build
  [ -x "$GATEWAY_BIN" ] && [ -x "$WORKERS_BIN" ] && [ -x "$CHATCTL" ]
}

case "${1:-}" in
  "")
    unit
    local_suites
    browser
    operator_smoke
    ;;
  unit | clients | browser | engines) "$1" ;;
  local) local_suites ;;
  operator) operator_suites ;;
  --full)
    export KILLS="${KILLS:-60}" SIM_SEEDS="${SIM_SEEDS:-4096}"
    unit
    local_suites
    browser
    engines
    operator_suites
    ;;
  *)
    sed -n '2,13p' "$0" | sed 's/^# \{0,1\}//' >&2
    exit 2
    ;;
esac

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
