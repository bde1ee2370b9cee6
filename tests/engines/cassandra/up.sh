#!/usr/bin/env bash
# Starts one Cassandra node on 127.0.0.1, or finds it running. CASSANDRA_PORT (19042), the next one for its own traffic.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../processes.sh"
work_of cassandra
export CASSANDRA_PORT=${CASSANDRA_PORT:-19042}
export STORAGE_PORT=$((CASSANDRA_PORT + 1))

if ! runs cassandra; then
  need java openjdk-17-jdk-headless python3 python3
  java=$(java_17)
  jars "$here/pom.xml"
  free_ports "$CASSANDRA_PORT" "$STORAGE_PORT"
  mkdir -p data
  render "$here/cassandra.yaml.in" >cassandra.yaml
  cp "$here/logback.xml" "$here/jvm-modules.options" .
  # A single node has nobody to wait for: no settling of gossip, no ring delay.
  start cassandra "$java" -Xms256m -Xmx"${CASSANDRA_HEAP:-512m}" -XX:+UseSerialGC \
    -Dcassandra.config="file://$WORK/cassandra.yaml" -Dlogback.configurationFile="file://$WORK/logback.xml" \
    -Dcassandra.storagedir="$WORK/data" -Dcassandra-foreground=yes -Djdk.attach.allowAttachSelf=true \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=1 \
    @jvm-modules.options -cp 'lib/*' org.apache.cassandra.service.CassandraDaemon
fi
await 180 cassandra python3 "$here/ready.py" "$CASSANDRA_PORT"
say "Cassandra answers on port $CASSANDRA_PORT"
printf 'export CASSANDRA_CONTACT_POINT=127.0.0.1:%s\n' "$CASSANDRA_PORT"
