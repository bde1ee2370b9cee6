# shellcheck shell=bash
# Servers as processes: what the scripts of the engines source, after "set -euo pipefail".
#
# $WORK (of one engine) keeps NAME.pid and NAME.log of each server. Progress goes to standard error, so that standard
# output is only the `export NAME=...` lines.

say() { printf '   %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# lack WHAT: ends with 77, which means that this machine lacks something that no test is to blame for.
lack() { say "missing: $*"; exit 77; }

# work_of ENGINE: makes and enters the engine's folder below $CHAT_CACHE/engines.
work_of() {
  WORK="${CHAT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/chatcluster}/engines/$1"
  mkdir -p "$WORK"
  cd "$WORK"
  WORK=$PWD
}

# need COMMAND PACKAGE...: installs the Debian packages whose command is missing.
need() {
  local missing=()
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || lack "${missing[*]}"
  say "installing ${missing[*]}"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  {
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" ||
      { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; }
  } >"$WORK/apt.log" 2>&1 || lack "${missing[*]}: $(tail -n 1 "$WORK/apt.log")"
}

# java_17: prints the path of an installed java of that version.
java_17() {
  local home
  for home in ${JAVA_HOME:+"$JAVA_HOME"} /usr/lib/jvm/*; do
    if [ -x "$home/bin/java" ] && grep -q '^JAVA_VERSION="17[."]' "$home/release" 2>/dev/null; then
      printf '%s\n' "$home/bin/java"
      return
    fi
  done
  lack "Java 17 (openjdk-17-jdk-headless)"
}

# jars POM: fills lib/ with what a pom.xml names, once for each content of it; offline from then on.
jars() {
  cmp -s "$1" pom.xml && [ -e lib/.complete ] && return
  need mvn maven
  say "fetching $(basename "$(dirname "$1")")"
  rm -rf lib
  cp "$1" pom.xml
  mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib -DincludeScope=runtime >maven.log 2>&1 ||
    lack "what Maven could not fetch: $(tail -n 3 maven.log)"
  touch lib/.complete
}

# certificates NAME: makes ca.crt and the server's certificate of this name, and other-ca.crt, which signed nothing.
certificates() {
  [ -s server.crt ] && openssl x509 -checkend 86400 -noout -in server.crt >/dev/null && return
  local name key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  for name in ca other-ca; do
    openssl req -x509 "${key[@]}" -days 30 -subj "/CN=$name" -keyout "$name.key" -out "$name.crt"
  done
  openssl req "${key[@]}" -subj "/CN=$1" -keyout server.key -out server.csr
  openssl x509 -req -days 30 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt \
    -extfile <(echo subjectAltName=IP:127.0.0.1)
}

# render FILE: prints a template with each @NAME@ replaced by the variable NAME.
render() {
  local text name
  text=$(<"$1")
  while [[ $text =~ @([A-Z_]+)@ ]]; do
    name=${BASH_REMATCH[1]}
    text=${text//@"$name"@/"${!name}"}
  done
  printf '%s\n' "$text"
}

# free_ports PORT...: fails when something else listens there already.
free_ports() {
  local port
  for port in "$@"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then die "port $port is in use by something else"; fi
  done
}

# begun PID: prints the start time of a process, which tells it from a later one of the same id.
begun() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# start NAME COMMAND...: runs a server in a session of its own.
start() {
  local name=$1 pid
  shift
  setsid "$@" >>"$name.log" 2>&1 </dev/null &
  pid=$!
  printf '%s %s\n' "$pid" "$(begun "$pid")" >"$name.pid"
}

# runs NAME: succeeds while the server that `start` started is there.
runs() {
  local pid since
  [ -s "$1.pid" ] || return 1
  read -r pid since <"$1.pid"
  [ -n "$since" ] && [ "$(begun "$pid")" = "$since" ]
}

# await SECONDS NAME COMMAND...: repeats a command until it succeeds; fails when the time is up or the server ended.
await() {
  local end=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    runs "$name" || die "$name ended: $(tail -n 3 "$name.log")"
    [ $SECONDS -lt "$end" ] || die "$name is not ready in time; see $WORK/$name.log"
    sleep 0.2
  done
}

# stop NAME: ends a server, by force after 20 s.
stop() {
  local pid _
  if runs "$1"; then
    read -r pid _ <"$1.pid"
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 200); do
      runs "$1" || break
      sleep 0.1
    done
    if runs "$1"; then kill -9 "$pid" 2>/dev/null || true; fi
    say "stopped $1"
  fi
  rm -f "$1.pid"
}
