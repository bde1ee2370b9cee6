# shellcheck shell=bash
# What the scripts of Kafka share, beside ../processes.sh: a node is broker and controller in one process.

# certificates: an authority, and a certificate of it for the broker.
certificates() {
  [ -s server.pem ] && openssl x509 -checkend 86400 -noout -in server.pem >/dev/null && return
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=chat-tests -keyout ca.key -out ca.crt
  openssl req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr
  printf 'subjectAltName=IP:127.0.0.1' >server.ext
  openssl x509 -req -days 30 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile server.ext -out server.crt
  openssl pkcs8 -topk8 -nocrypt -in server.key | cat - server.crt ca.crt >server.pem
}

# prepare: fetches what all nodes run, and makes what they prove themselves with.
prepare() {
  need java openjdk-17-jdk-headless python3 python3 openssl openssl
  java=$(java_17)
  jars "$here/pom.xml"
  (umask 077 && { [ -s password ] || openssl rand -hex 16 >password; })
  echo chat >username
  (umask 077 && certificates) >certificates.log 2>&1 || die "no certificates: $(tail -n 1 certificates.log)"
  KAFKA_PASSWORD=$(<password)
}

# serve NAME CLUSTER_ID: starts the node that NODE_ID, DATA, VOTERS, COPIES and the three ports describe.
serve() {
  free_ports "$KAFKA_PORT" "$KAFKA_SASL_PORT" "$CONTROLLER_PORT"
  (umask 077 && render "$here/server.properties.in" >"$1.properties")
  if [ ! -e "$DATA/meta.properties" ]; then
    "$java" -cp 'lib/*' kafka.tools.StorageTool format -t "$2" -c "$1.properties" >>"$1.log" 2>&1
  fi
  start "$1" "$java" -Xms256m -Xmx"${KAFKA_HEAP:-384m}" -XX:+UseSerialGC \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp 'lib/*' kafka.Kafka "$1.properties"
}
