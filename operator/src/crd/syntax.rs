//! Patterns of the texts a manifest holds, in the syntax RE2 and the `regex` crate share.

/// `MAJOR.MINOR.PATCH` with an optional pre-release.
pub(super) const VERSION: &str = r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$";
/// Start of names in engines; ends with a separator only if its author writes one.
pub(super) const PREFIX: &str = "^([a-z][a-z0-9_-]*)?$";
/// Whole number and unit.
pub(super) const PERIOD: &str = "^[0-9]+(s|m|h|d)$";
/// Kubernetes quantity: decimal, binary or exponent suffix.
pub(super) const QUANTITY: &str = r"^[0-9]+(\.[0-9]+)?(m|k|[MGTPE]|[KMGTPE]i|[eE][0-9]+)?$";
/// DNS-1123 subdomain: names of Secrets, classes and other objects.
pub(super) const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Key inside a Secret or ConfigMap.
pub(super) const KEY: &str = "^[-._a-zA-Z0-9]+$";
/// Host name a client connects to, with an optional wildcard label.
pub(super) const HOST: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// `host:port`; an IPv6 address in brackets.
pub(super) const HOST_PORT: &str = r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?):[0-9]{1,5}$";
/// `host` or `host:port`.
pub(super) const HOST_OPTIONAL_PORT: &str =
    r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?)(:[0-9]{1,5})?$";
/// Web address, without user information.
pub(super) const HTTP_URL: &str = r"^https?://[^\s/@?#]+(/[^\s]*)?$";
/// Web address over TLS, without user information.
pub(super) const HTTPS_URL: &str = r"^https://[^\s/@?#]+(/[^\s]*)?$";
/// Redis node, over TLS with `rediss`; credentials belong in a Secret.
pub(super) const REDIS_URL: &str = r"^rediss?://[^\s/@?#]+$";
/// Value of an `Origin` header, or `*`.
pub(super) const ORIGIN: &str = r"^(\*|[a-z][a-z0-9+.-]*://[^\s/@?#*]+)$";
/// Image name with optional registry, tag and digest.
pub(super) const IMAGE: &str = r"^[a-z0-9]+([._:/-]+[a-zA-Z0-9_]+([._-]+[a-zA-Z0-9_]+)*)*(@sha256:[a-f0-9]{64})?$";
/// Host, optional port and path that image names are put under.
pub(super) const REGISTRY: &str = "^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?$";
/// Name of an environment variable.
pub(super) const ENV_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// Log level, or several with targets: `info,chat_gateway=debug`.
pub(super) const LOG_FILTER: &str = r"^[a-zA-Z0-9_:=,.\-]+$";
/// Name of a keyspace.
pub(super) const KEYSPACE: &str = "^[a-z][a-z0-9_]*$";
/// Address range, as in `10.0.0.0/8`.
pub(super) const CIDR: &str = "^[0-9a-fA-F:.]+/[0-9]{1,3}$";
/// Apple's ten-character identifiers.
pub(super) const APPLE_ID: &str = "^[A-Z0-9]{10}$";
/// Reverse-DNS application identifier.
pub(super) const BUNDLE_ID: &str = "^[A-Za-z0-9][A-Za-z0-9.-]*$";
/// Claim of a token.
pub(super) const CLAIM: &str = "^[A-Za-z0-9_.:/-]+$";
/// Label of a cluster-wide name: DNS-1035.
pub(super) const LABEL: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
