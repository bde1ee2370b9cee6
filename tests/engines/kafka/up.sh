#!/usr/bin/env bash
# Starts one Kafka node, broker and controller in one process, on 127.0.0.1, or finds it running.
# KAFKA_PORT (19092), the two ports after it for SASL over TLS and for the controller.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../processes.sh"
. "$here/node.sh"
work_of kafka
KAFKA_PORT=${KAFKA_PORT:-19092}
KAFKA_SASL_PORT=$((KAFKA_PORT + 1)) CONTROLLER_PORT=$((KAFKA_PORT + 2))

if ! runs kafka; then
  prepare
  NODE_ID=1 DATA=data COPIES=1 VOTERS=1@127.0.0.1:$CONTROLLER_PORT
  serve kafka chatclusterTestsOfOneA
fi
await 90 kafka python3 "$here/ready.py" "$KAFKA_PORT"
say "Kafka answers on port $KAFKA_PORT"
printf 'export KAFKA_BOOTSTRAP=127.0.0.1:%s KAFKA_SASL_BOOTSTRAP=127.0.0.1:%s\n' "$KAFKA_PORT" "$KAFKA_SASL_PORT"
printf 'export KAFKA_CA=%q KAFKA_USERNAME_FILE=%q KAFKA_PASSWORD_FILE=%q\n' "$WORK/ca.crt" "$WORK/username" "$WORK/password"
