#!/usr/bin/env bash
# Starts etcd, kube-apiserver and kube-controller-manager on 127.0.0.1, or finds them running: a Kubernetes cluster
# without nodes, in which a test says of pods that they run. Needs no root once etcd is installed.
# API_PORT (16443), ETCD_PORT (12379) and the next one, CM_PORT (20257).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../engines/processes.sh"
work_of kubernetes
API_PORT=${API_PORT:-16443} ETCD_PORT=${ETCD_PORT:-12379} CM_PORT=${CM_PORT:-20257}
need etcd etcd-server openssl openssl curl curl
say "building Kubernetes, where it is not built"
built=0
"$here/build.sh" kube-apiserver kube-controller-manager >build.log 2>&1 || built=$?
case $built in
  0) ;;
  77) lack "Go 1.25 or later, which builds the API server" ;;
  *) lack "what Go could not fetch or build: $(tail -n 1 build.log); see $WORK/build.log" ;;
esac
bin=$(cd "$WORK/../../kubernetes/bin" && pwd)
server=https://127.0.0.1:$API_PORT

# certificate NAME SUBJECT SUBJECT-ALT-NAMES: signs NAME.crt.
certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth' "$3") -out "$1.crt" 2>/dev/null
}

# kubeconfig NAME: writes NAME.conf for the user of NAME.crt.
kubeconfig() {
  cat >"$1.conf" <<YAML
apiVersion: v1
kind: Config
current-context: chat
contexts: [{name: chat, context: {cluster: chat, user: $1}}]
clusters: [{name: chat, cluster: {server: "$server", certificate-authority-data: $(base64 -w0 <ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 <"$1.crt"), client-key-data: $(base64 -w0 <"$1.key")}}]
YAML
  chmod 600 "$1.conf"
}

if ! runs kube-apiserver && ! runs etcd; then
  free_ports "$API_PORT" "$CM_PORT" "$ETCD_PORT" $((ETCD_PORT + 1))
  umask 077
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt \
    -subj /CN=chat-ca -days 365 2>/dev/null
  openssl genrsa -out sa.key 2048 2>/dev/null
  openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  certificate apiserver /CN=kube-apiserver DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1
  certificate admin /O=system:masters/CN=admin DNS:admin
  certificate controller-manager /CN=system:kube-controller-manager DNS:controller-manager
  kubeconfig admin
  kubeconfig controller-manager
  # What is written, by whom: tests count it.
  cat >audit.yaml <<YAML
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete]
- level: None
YAML
fi
runs etcd || start etcd etcd --name chat --data-dir "$WORK/etcd" --log-level warn \
  --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
  --listen-peer-urls "http://127.0.0.1:$((ETCD_PORT + 1))" \
  --initial-advertise-peer-urls "http://127.0.0.1:$((ETCD_PORT + 1))" \
  --initial-cluster "chat=http://127.0.0.1:$((ETCD_PORT + 1))"
await 30 etcd curl -sf "http://127.0.0.1:$ETCD_PORT/health"

asks() { curl -sf --cacert ca.crt --cert admin.crt --key admin.key "$server$1"; }
runs kube-apiserver || start kube-apiserver "$bin/kube-apiserver" \
  --etcd-servers="http://127.0.0.1:$ETCD_PORT" --bind-address=127.0.0.1 --secure-port="$API_PORT" \
  --advertise-address=10.243.0.1 --service-cluster-ip-range=10.96.0.0/16 \
  --client-ca-file=ca.crt --tls-cert-file=apiserver.crt --tls-private-key-file=apiserver.key \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.pub \
  --service-account-signing-key-file=sa.key --authorization-mode=RBAC \
  --audit-policy-file=audit.yaml --audit-log-path=audit.log --audit-log-mode=blocking --profiling=false
await 60 kube-apiserver asks /readyz
runs kube-controller-manager || start kube-controller-manager "$bin/kube-controller-manager" \
  --kubeconfig=controller-manager.conf --bind-address=127.0.0.1 --secure-port="$CM_PORT" --leader-elect=false \
  --kube-api-qps=100 --kube-api-burst=200 --use-service-account-credentials=true --root-ca-file=ca.crt \
  --service-account-private-key-file=sa.key --profiling=false
await 30 kube-controller-manager asks /api/v1/namespaces/default/serviceaccounts/default
say "the API server answers on port $API_PORT"
printf 'export KUBECONFIG=%s\nexport AUDIT_LOG=%s\nexport RESTART_API_SERVER=%s\n' \
  "$WORK/admin.conf" "$WORK/audit.log" "$here/restart.sh"
