#!/usr/bin/env bash
# Starts a Redis Cluster of three primaries on 127.0.0.1, or finds it running.
# REDIS_PORT (17001) and the next two; their bus ports are 100 above.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../processes.sh"
work_of redis
first=${REDIS_PORT:-17001}
need redis-server redis-server redis-cli redis-tools

addresses=()
for PORT in "$first" $((first + 1)) $((first + 2)); do
  addresses+=("127.0.0.1:$PORT")
  runs "redis-$PORT" && continue
  BUS_PORT=$((PORT + 100))
  free_ports "$PORT" "$BUS_PORT"
  mkdir -p "data/$PORT"
  render "$here/node.conf.in" >"$PORT.conf"
  start "redis-$PORT" redis-server "$PORT.conf"
done
for address in "${addresses[@]}"; do
  await 10 "redis-${address#*:}" redis-cli -p "${address#*:}" PING
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
say "Redis Cluster answers on ports $first to $((first + 2))"
printf 'export REDIS_CLUSTER_URLS=%s\n' "$(IFS=, && printf '%s' "${addresses[*]/#/redis://}")"
