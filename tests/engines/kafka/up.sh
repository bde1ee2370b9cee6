#!/usr/bin/env bash
# Starts one Kafka node, broker and controller in one process, on 127.0.0.1, or finds it running.
# KAFKA_PORT (19092), the two ports after it for SASL over TLS and for the controller.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../processes.sh"
work_of kafka
export KAFKA_PORT=${KAFKA_PORT:-19092}
export KAFKA_SASL_PORT=$((KAFKA_PORT + 1)) CONTROLLER_PORT=$((KAFKA_PORT + 2))

# certificates: an authority, and a certificate of it for the broker.
certificates() {
  [ -s server.pem ] && openssl x509 -checkend 86400 -noout -in server.pem >/dev/null && return
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=chat-tests -keyout ca.key -out ca.crt
  openssl req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr
  printf 'subjectAltName=IP:127.0.0.1' >server.ext
  openssl x509 -req -days 30 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile server.ext -out server.crt
  openssl pkcs8 -topk8 -nocrypt -in server.key | cat - server.crt ca.crt >server.pem
}

if ! runs kafka; then
  need java openjdk-17-jdk-headless python3 python3 openssl openssl
  java=$(java_17)
  jars "$here/pom.xml"
  free_ports "$KAFKA_PORT" "$KAFKA_SASL_PORT" "$CONTROLLER_PORT"
  (umask 077 && { [ -s password ] || openssl rand -hex 16 >password; })
  echo chat >username
  (umask 077 && certificates) >certificates.log 2>&1 || die "no certificates: $(tail -n 1 certificates.log)"
  KAFKA_PASSWORD=$(<password)
  (umask 077 && render "$here/server.properties.in" >server.properties)
  if [ ! -e data/meta.properties ]; then
    id=$("$java" -cp 'lib/*' kafka.tools.StorageTool random-uuid 2>/dev/null)
    "$java" -cp 'lib/*' kafka.tools.StorageTool format -t "$id" -c server.properties >>kafka.log 2>&1
  fi
  start kafka "$java" -Xms256m -Xmx"${KAFKA_HEAP:-384m}" -XX:+UseSerialGC \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp 'lib/*' kafka.Kafka server.properties
fi
await 90 kafka python3 "$here/ready.py" "$KAFKA_PORT"
say "Kafka answers on port $KAFKA_PORT"
printf 'export KAFKA_BOOTSTRAP=127.0.0.1:%s KAFKA_SASL_BOOTSTRAP=127.0.0.1:%s\n' "$KAFKA_PORT" "$KAFKA_SASL_PORT"
printf 'export KAFKA_CA=%q KAFKA_USERNAME_FILE=%q KAFKA_PASSWORD_FILE=%q\n' "$WORK/ca.crt" "$WORK/username" "$WORK/password"
