#!/usr/bin/env bash
# Starts one Elasticsearch node on 127.0.0.1, or finds it running: the server out of Maven artifacts, which lacks x-pack.
# What x-pack would do, TLS and passwords, does a proxy before it, with a certificate of its own making.
# ES_PORT (19200), the next one for TLS, and the one 100 above for the node's own traffic.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../processes.sh"
work_of elasticsearch
export ES_PORT=${ES_PORT:-19200}
TRANSPORT_PORT=$((ES_PORT + 100)) TLS_PORT=$((ES_PORT + 1))

# build JAVA: lays out home/ as the distribution would, once for each pom.xml: a class path and two modules.
build() {
  local bin
  bin=$(dirname "$1")
  cmp -s "$here/pom.xml" pom.xml && [ -e home/.complete ] && return
  need mvn maven
  say "fetching Elasticsearch"
  rm -rf target home
  cp "$here/pom.xml" .
  mvn -q -B process-resources >maven.log 2>&1 || lack "what Maven could not fetch: $(tail -n 3 maven.log)"
  "$bin/javac" -nowarn -cp 'target/lib/*' -d target/classes "$here/Launcher.java"
  "$bin/javac" -nowarn -cp 'target/lib/*' -d target/root "$here/RootPlugin.java"
  # The module's descriptor is inside its jar. Without the line "modulename" it is loaded as plain jars; with it, it
  # would need the server on the module path.
  mkdir -p target/meta home/modules/rest-root home/plugins home/config
  (cd target/meta && "$bin/jar" xf ../netty4/transport-netty4-*.jar META-INF/es-plugins)
  mv target/netty4 home/modules/transport-netty4
  local descriptor=home/modules/transport-netty4/plugin-descriptor.properties
  grep -v '^modulename=' target/meta/META-INF/es-plugins/transport-netty4/plugin-descriptor.properties >"$descriptor"
  "$bin/jar" cf home/modules/rest-root/rest-root.jar -C target/root .
  {
    grep -E '^(version|elasticsearch\.version|java\.version)=' "$descriptor"
    printf 'name=rest-root\ndescription=GET / for tests\nclassname=RootPlugin\n'
  } >home/modules/rest-root/plugin-descriptor.properties
  touch home/.complete
}

if ! runs elasticsearch; then
  need java openjdk-17-jdk-headless python3 python3 openssl openssl curl curl
  java=$(java_17)
  build "$java"
  free_ports "$ES_PORT" "$TRANSPORT_PORT"
  render "$here/elasticsearch.yml.in" >home/config/elasticsearch.yml
  cp "$here/log4j2.properties" home/config/
  start elasticsearch "$java" -Xms256m -Xmx"${ES_HEAP:-512m}" -XX:+UseSerialGC \
    -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true \
    -Dio.netty.noUnsafe=true -Dio.netty.recycler.maxCapacityPerThread=0 \
    -cp 'target/classes:target/lib/*' Launcher home
fi
if ! runs proxy; then
  free_ports "$TLS_PORT"
  (umask 077 && { [ -s password ] || openssl rand -hex 16 >password; })
  echo chat >username
  (umask 077 && certificates elasticsearch) >certificates.log 2>&1 || die "no certificates: $(tail -n 1 certificates.log)"
  start proxy python3 "$here/secured.py" "$TLS_PORT" "$ES_PORT"
fi
answers() { curl -sf --max-time 5 "http://127.0.0.1:$ES_PORT/_cluster/health?wait_for_status=yellow&timeout=3s"; }
await 120 elasticsearch answers
over_tls() {
  curl -sf --max-time 5 --cacert ca.crt -K <(printf 'user = "chat:%s"' "$(<password)") "https://127.0.0.1:$TLS_PORT/"
}
await 20 proxy over_tls
say "Elasticsearch answers on port $ES_PORT, over TLS on $TLS_PORT"
printf 'export ELASTICSEARCH_URL=http://127.0.0.1:%s ELASTICSEARCH_TLS_URL=https://127.0.0.1:%s\n' "$ES_PORT" "$TLS_PORT"
printf 'export ELASTICSEARCH_WORK=%q\n' "$WORK"
