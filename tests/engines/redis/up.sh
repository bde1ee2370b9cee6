#!/usr/bin/env bash
# Starts three kinds of Redis on 127.0.0.1, or finds them running: a Redis Cluster of three primaries; one Redis without
# cluster mode; and a cluster of one node that asks for a name and password, and speaks TLS only, with a certificate of
# its own making.
# REDIS_PORT (17001) and the next four; the bus ports are 100 above.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../processes.sh"
work_of redis
first=${REDIS_PORT:-17001}
single=$((first + 3)) secured=$((first + 4))
need redis-server redis-server redis-cli redis-tools openssl openssl

# serve PORT TEMPLATE: starts a node, or finds it running.
serve() {
  runs "redis-$1" && return
  PORT=$1 BUS_PORT=$(($1 + 100))
  free_ports "$PORT" "$BUS_PORT"
  mkdir -p "data/$PORT"
  (umask 077 && render "$here/$2" >"$PORT.conf")
  start "redis-$PORT" redis-server "$PORT.conf"
}

addresses=()
for port in "$first" $((first + 1)) $((first + 2)); do
  addresses+=("127.0.0.1:$port")
  serve "$port" node.conf.in
done
serve "$single" single.conf.in
for name in password admin-password; do
  (umask 077 && { [ -s "$name" ] || openssl rand -hex 16 >"$name"; })
done
echo chat >username
(umask 077 && certificates redis) >certificates.log 2>&1 || die "no certificates: $(tail -n 1 certificates.log)"
PASSWORD=$(<password) ADMIN_PASSWORD=$(<admin-password)
serve "$secured" secured.conf.in

for port in "$first" $((first + 1)) $((first + 2)) "$single"; do
  await 10 "redis-$port" redis-cli -p "$port" PING
done
if redis-cli -p "$first" CLUSTER INFO | grep -q '^cluster_known_nodes:1.$'; then
  redis-cli --cluster create "${addresses[@]}" --cluster-replicas 0 --cluster-yes >create.log ||
    die "no cluster: $(tail -n 1 create.log)"
fi
# agreed: every node knows three nodes that serve all slots.
agreed() {
  local address info
  for address in "${addresses[@]}"; do
    info=$(redis-cli -p "${address#*:}" CLUSTER INFO)
    grep -q '^cluster_state:ok' <<<"$info" && grep -q '^cluster_slots_ok:16384' <<<"$info" &&
      grep -q '^cluster_known_nodes:3.$' <<<"$info" || return 1
  done
}
await 30 "redis-$first" agreed

over_tls() { REDISCLI_AUTH=$ADMIN_PASSWORD redis-cli --tls --cacert ca.crt -p "$secured" "$@"; }
serves_all() { over_tls CLUSTER INFO | grep -q '^cluster_slots_ok:16384'; }
await 10 "redis-$secured" over_tls PING
serves_all || over_tls CLUSTER ADDSLOTSRANGE 0 16383 >/dev/null
await 10 "redis-$secured" serves_all

say "Redis Cluster answers on ports $first to $((first + 2)), one Redis on $single, over TLS on $secured"
printf 'export REDIS_CLUSTER_URLS=%s\n' "$(IFS=, && printf '%s' "${addresses[*]/#/redis://}")"
printf 'export REDIS_URL=redis://127.0.0.1:%s REDIS_TLS_URL=rediss://127.0.0.1:%s\n' "$single" "$secured"
printf 'export REDIS_WORK=%q\n' "$WORK"
