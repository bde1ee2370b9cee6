//! Types, rules and offline validation of the `ChatCluster` custom resource, and the operator that reconciles it.
//!
//! [`crd`] holds the API `chatcluster.dev/v1alpha1`: types with every field documented and bounded, cross-field rules in
//! CEL, and the `CustomResourceDefinition` made from them. [`manifest`] checks a YAML manifest against that same
//! definition the way the API server does, so `chatctl local`, `plan` and `lint` refuse what a cluster would refuse.
//!
//! [`validate`] turns a manifest and what it refers to into a cluster that can be built, or says what is wrong with it.
//! [`redis`] decides which move leads a managed Redis Cluster to what is wanted.
//! [`scaling`] decides how many gateways there should be, for the operator and for `chatctl local` alike.
//!
//! Nothing here talks to a cluster: the default features compile no Kubernetes client.

mod count;
pub mod crd;
pub mod manifest;
mod reasons;
pub mod redis;
pub mod scaling;
pub mod validate;
