//! Types, rules and offline validation of the `ChatCluster` custom resource, and the operator that reconciles it.
//!
//! [`crd`] holds the API `chatcluster.dev/v1alpha1`: types with every field documented and bounded, cross-field rules in
//! CEL, and the `CustomResourceDefinition` made from them. [`manifest`] checks a YAML manifest against that same
//! definition the way the API server does, so `chatctl local`, `plan` and `lint` refuse what a cluster would refuse.
//!
//! [`validate`] turns a manifest and what it refers to into a cluster that can be built, or says what is wrong with it.
//! [`build`](mod@build) makes of it the objects that there should be, [`plan`] says where those that are there differ,
//! and [`status`](mod@status) what people are told. [`redis`] decides which move leads a managed Redis Cluster to what is
//! wanted, and [`scaling`] how many gateways there should be, for the operator and for `chatctl local` alike. All of
//! this is pure.
//!
//! [`controller`] and [`inspect`] talk to a cluster. They are behind the feature `cluster`; without it no Kubernetes client is compiled.

pub mod build;
pub mod children;
#[cfg(feature = "cluster")]
pub mod controller;
mod count;
pub mod crd;
pub mod fleet;
#[cfg(feature = "cluster")]
pub mod inspect;
pub mod install;
pub mod manifest;
pub mod plan;
pub mod rbac;
mod reasons;
pub mod redis;
pub mod scaling;
pub mod settings;
pub mod status;
pub mod validate;
pub mod workload;
