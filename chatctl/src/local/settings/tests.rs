use chat_core::config::{Algorithm, Limits, Rate};

use super::*;

const SIX_LINES: &str = "
apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  version: VERSION
  engines: {embedded: {}}
";

const EXTERNAL: &str = "
apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  version: 9.9.9
  retention: {messages: 30d}
  telemetry: {logLevel: debug, otlp: {endpoint: 'http://collector:4318', headersSecretRef: {name: otlp}}}
  redis: {managed: {shards: 3}}
  kafka: {external: {bootstrapServers: ['kafka:9092']}}
  cassandra: {external: {contactPoints: ['cassandra:9042'], localDatacenter: dc1}}
  search: {disabled: {}}
  gateways:
    autoscaling: {mode: Fixed}
    replicas: 0
    maxConnections: 20000
    allowedOrigins: ['https://app.example.com']
    drain: {deadlineSeconds: 60, reconnectsPerSecond: 50, settleSeconds: 20}
    limits: {frameBytes: 131072, sendsPerUser: {perSecond: 5}}
    tls: {secretName: cert}
    auth:
      verifiers:
        - {name: idp, jwks: {url: 'https://id.example.com/keys', caSecretRef: {name: ca}}}
        - {name: mine, userClaim: uid, issuer: us, audience: chat, hs256: {secretRef: {name: jwt}}}
  push:
    apns: {keySecretRef: {name: apns}, keyId: ABCDE12345, teamId: ABCDE12345, topic: com.example.app}
";

fn choices(gateways: Option<usize>, listen: &str) -> Choices<'static> {
    Choices {
        data_dir: Path::new("./.chatcluster"),
        front_door: SocketAddr::new(listen.parse().unwrap(), 8080),
        gateways,
        key_file: "./.chatcluster/jwt.key".into(),
        secrets: None,
        admin_token_file: "./.chatcluster/admin.token".into(),
    }
}

fn settings(manifest: &str, choices: &Choices<'_>) -> Settings {
    let manifest = manifest.replace("VERSION", env!("CARGO_PKG_VERSION"));
    Settings::new(&operator::manifest::parse(&manifest).unwrap().spec, choices)
}

#[test]
fn a_six_line_manifest_runs_with_the_protocols_defaults() {
    let settings = settings(SIX_LINES, &choices(None, "127.0.0.1"));
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert_eq!((settings.gateways, settings.search, settings.push), (2, true, None));
    assert_eq!(settings.claims, Some(Claims::default()));

    let gateway = settings.gateway("gateway-0");
    assert_eq!(gateway.name, "gateway-0");
    assert_eq!(gateway.limits, Limits::default());
    assert_eq!(gateway.allowed_origins, ["*"]);
    assert_eq!(gateway.max_connections, 15_000);
    assert!(gateway.listen.ip().is_loopback() && gateway.admin_listen.ip().is_loopback());
    let [verifier] = &gateway.auth.verifiers[..] else { panic!("one verifier, not {:?}", gateway.auth) };
    assert_eq!(verifier.keys, KeySource::Hs256File("./.chatcluster/jwt.key".into()));
    assert_eq!(verifier.algorithms, [Algorithm::HS256]);
}

#[test]
fn what_the_manifest_says_of_gateways_is_honoured() {
    let settings = settings(EXTERNAL, &choices(None, "127.0.0.1"));
    let gateway = settings.gateway("gateway-0");
    assert_eq!((settings.search, settings.push), (false, Some(PushContent::None)));
    assert_eq!(gateway.max_connections, 20_000);
    assert_eq!(gateway.allowed_origins, ["https://app.example.com"]);
    assert_eq!(gateway.limits.frame_bytes, 131_072);
    assert_eq!(gateway.limits.sends_per_user, Rate::new(5, 10));
    assert_eq!((gateway.drain.deadline_seconds, gateway.drain.reconnects_per_second), (60, 50));
    assert_eq!(gateway.drain.settle_seconds, 0, "nothing outside has to notice");
}

#[test]
fn a_secret_becomes_the_local_key_and_a_key_set_stays() {
    let settings = settings(EXTERNAL, &choices(None, "127.0.0.1"));
    let verifiers = settings.gateway("gateway-0").auth.verifiers;
    assert_eq!(verifiers[0].keys, KeySource::Jwks { url: "https://id.example.com/keys".into(), ca_file: None });
    assert_eq!(verifiers[1].keys, KeySource::Hs256File("./.chatcluster/jwt.key".into()));
    let claims = Claims { user_claim: "uid".into(), issuer: Some("us".into()), audience: Some("chat".into()) };
    assert_eq!(settings.claims, Some(claims), "a local token must be taken");
}

#[test]
fn secrets_that_are_there_are_read_and_no_token_is_made_here() {
    let choices = Choices { secrets: Some(Path::new("/secrets")), ..choices(None, "0.0.0.0") };
    let settings = settings(EXTERNAL, &choices);
    let verifiers = settings.gateway("gateway-0").auth.verifiers;
    let ca_file = Some("/secrets/ca/ca.crt".into());
    assert_eq!(verifiers[0].keys, KeySource::Jwks { url: "https://id.example.com/keys".into(), ca_file });
    assert_eq!(verifiers[1].keys, KeySource::Hs256File("/secrets/jwt/key".into()));
    assert_eq!(settings.claims, None);
    let replaced = |part: &str| settings.replaced.iter().any(|replacement| replacement.part.contains(part));
    assert!(!replaced("verifiers") && !replaced("headers"), "{:?}", settings.replaced);
    assert_eq!(settings.traces.unwrap().headers_file, Some("/secrets/otlp/headers".into()));
    assert!(settings.warnings.iter().all(|warning| !warning.contains("JWKS")), "{:?}", settings.warnings);
}

#[test]
fn each_replaced_part_is_named_once() {
    let settings = settings(EXTERNAL, &choices(None, "127.0.0.1"));
    let parts: Vec<&str> = settings.replaced.iter().map(|replacement| replacement.part.as_str()).collect();
    let expected = [
        "telemetry.otlp.headersSecretRef",
        "redis.managed",
        "kafka.external",
        "cassandra.external",
        "gateways.tls",
        "gateways.auth.verifiers[mine].hs256",
        "push.apns",
    ];
    assert_eq!(parts, expected);
    assert_eq!(settings.replaced[2].by, "embedded log in ./.chatcluster, 8 partitions");
}

#[test]
fn surprises_are_told() {
    let warnings = settings(EXTERNAL, &choices(None, "0.0.0.0")).warnings;
    let about = ["version 9.9.9", "--listen 0.0.0.0", "no gateway", "caSecretRef"];
    assert_eq!(warnings.len(), about.len(), "{warnings:?}");
    for (warning, about) in warnings.iter().zip(about) {
        assert!(warning.contains(about), "{warning:?} is not about {about}");
    }
}

#[test]
fn the_command_line_decides_the_number_of_gateways() {
    for (manifest, asked, expected) in
        [(SIX_LINES, Some(5), 5), (SIX_LINES, None, 2), (EXTERNAL, None, 1), (EXTERNAL, Some(3), 3)]
    {
        assert_eq!(settings(manifest, &choices(asked, "127.0.0.1")).gateways, expected);
    }
}

#[test]
fn a_verifier_without_a_local_key_leaves_no_tokens_to_make() {
    let manifest = SIX_LINES.to_owned()
        + "  gateways: {auth: {verifiers: [{name: idp, jwks: {url: 'https://id.example.com/keys'}}]}}\n";
    let settings = settings(&manifest, &choices(None, "127.0.0.1"));
    assert_eq!(settings.claims, None);
    assert!(settings.warnings[0].contains("JWKS"), "{:?}", settings.warnings);
}
