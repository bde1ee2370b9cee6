#!/usr/bin/env bash
# Starts one Cassandra node on 127.0.0.1, or finds it running. CASSANDRA_PORT (19042), the next one for its own traffic.
# It asks for a password and offers TLS, with a certificate of its own making.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../processes.sh"
work_of cassandra
export CASSANDRA_PORT=${CASSANDRA_PORT:-19042}
export STORAGE_PORT=$((CASSANDRA_PORT + 1))

# certificates: makes an authority and the server's certificate, and another authority that signed nothing, once.
certificates() {
  [ -s server.p12 ] && return
  local name
  for name in ca other-ca; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$name" \
      -keyout "$name.key" -out "$name.pem" 2>>openssl.log
  done
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=cassandra \
    -keyout server.key -out server.csr 2>>openssl.log
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out server.pem \
    -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost") 2>>openssl.log
  openssl pkcs12 -export -in server.pem -inkey server.key -passout pass:changeit -out server.p12.new
  mv server.p12.new server.p12
}

if ! runs cassandra; then
  need java openjdk-17-jdk-headless python3 python3 openssl openssl
  java=$(java_17)
  jars "$here/pom.xml"
  free_ports "$CASSANDRA_PORT" "$STORAGE_PORT"
  mkdir -p data
  render "$here/cassandra.yaml.in" >cassandra.yaml
  certificates
  cp "$here/logback.xml" "$here/jvm-modules.options" .
  # A single node has nobody to wait for: no settling of gossip, no ring delay.
  start cassandra "$java" -Xms256m -Xmx"${CASSANDRA_HEAP:-512m}" -XX:+UseSerialGC \
    -Dcassandra.config="file://$WORK/cassandra.yaml" -Dlogback.configurationFile="file://$WORK/logback.xml" \
    -Dcassandra.storagedir="$WORK/data" -Dcassandra-foreground=yes -Djdk.attach.allowAttachSelf=true \
    -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=1 \
    @jvm-modules.options -cp 'lib/*' org.apache.cassandra.service.CassandraDaemon
fi
await 180 cassandra python3 "$here/ready.py" "$CASSANDRA_PORT"
say "Cassandra answers on port $CASSANDRA_PORT"
printf 'export CASSANDRA_CONTACT_POINT=127.0.0.1:%s CASSANDRA_WORK=%q\n' "$CASSANDRA_PORT" "$WORK"
