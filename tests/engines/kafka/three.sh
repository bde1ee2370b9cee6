#!/usr/bin/env bash
# Starts three Kafka nodes on 127.0.0.1 of which one may be lost, or those of them that do not run; prints where they
# are, and the folder of their process ids. KAFKA_THREE_PORT (19192): a node has three ports, the next one's are 10 above.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../processes.sh"
. "$here/node.sh"
work_of kafka
first=${KAFKA_THREE_PORT:-19192}
COPIES=3 VOTERS='' bootstrap=''
for n in 1 2 3; do
  port=$((first + 10 * (n - 1)))
  VOTERS+=${VOTERS:+,}$n@127.0.0.1:$((port + 2))
  bootstrap+=${bootstrap:+,}127.0.0.1:$port
done
for n in 1 2 3; do
  runs "broker-$n" && continue
  [ -n "${java:-}" ] || prepare
  KAFKA_PORT=$((first + 10 * (n - 1)))
  KAFKA_SASL_PORT=$((KAFKA_PORT + 1)) CONTROLLER_PORT=$((KAFKA_PORT + 2))
  NODE_ID=$n DATA=data-$n
  serve "broker-$n" chatclusterTestsThreeA
done
for n in 1 2 3; do
  await 90 "broker-$n" python3 "$here/ready.py" $((first + 10 * (n - 1)))
done
printf '%s\n' "$bootstrap" "$WORK"
