//! `chatctl lint`: what is wrong with a manifest, and what may surprise in it, without asking any cluster.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use operator::crd::ChatCluster;
use operator::validate::{Fault, References, ValidatedCluster, Version, Warning, lint, validate};

use crate::failure::Refused;
use crate::local::manifest;
use crate::output;

/// Arguments of `chatctl lint`.
#[derive(Debug, Args)]
#[command(after_help = "A warning is no error: the exit code is 2 only for what a cluster would refuse.

Examples:
  chatctl lint -f examples/chatcluster.yaml
  chatctl lint -f chatcluster.yaml --json | jq -r .path")]
pub(crate) struct LintArgs {
    /// Manifest of the ChatCluster.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object a warning: path, reason, message.
    #[arg(long)]
    json: bool,
}

/// Checks the manifest and prints its warnings.
pub(crate) fn run(args: &LintArgs) -> anyhow::Result<()> {
    let warnings = warnings(&manifest::load(&args.file)?)?;
    if args.json {
        return warnings.iter().try_for_each(output::json);
    }
    if warnings.is_empty() {
        return output::line(&format!("{}: nothing to warn of", args.file.display()));
    }
    warnings.iter().try_for_each(|warning| output::line(&warning.to_string()))
}

/// Returns the warnings, or refuses what the operator of this version would refuse.
fn warnings(cluster: &ChatCluster) -> anyhow::Result<Vec<Warning>> {
    Ok(lint(&valid(cluster)?))
}

/// Checks a cluster as the operator of this version does; what it refers to is not looked for.
pub(crate) fn valid(cluster: &ChatCluster) -> anyhow::Result<ValidatedCluster> {
    let own: Version = env!("CARGO_PKG_VERSION").parse().context("cannot read the version of this program")?;
    let refused = |faults: Vec<Fault>| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Refused(format!("the operator would refuse this ChatCluster:\n  {}", lines.join("\n  ")))
    };
    Ok(validate(cluster, &References::default(), &own).map_err(refused)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(fields: &str) -> anyhow::Result<Vec<String>> {
        let manifest = format!(
            "apiVersion: chatcluster.dev/v1alpha1\nkind: ChatCluster\nmetadata: {{name: demo}}\nspec:\n  {fields}\n"
        );
        let cluster = operator::manifest::parse(&manifest).unwrap();
        Ok(warnings(&cluster)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_surprise_is_told_with_its_field_and_reason() {
        let found = warned("{version: 0.1.0, engines: {embedded: {}}, deletionPolicy: Delete}").unwrap();
        assert_eq!(
            found,
            ["spec.deletionPolicy: data is kept until there is the annotation \
                 `chatcluster.dev/confirm-delete: demo` (NotConfirmed)"]
        );
        assert!(warned("{version: 0.1.0, engines: {embedded: {}}}").unwrap().is_empty());
    }

    #[test]
    fn what_the_operator_would_refuse_is_refused() {
        let error = warned("{version: 9.9.9, engines: {embedded: {}}}").unwrap_err();
        assert!(error.is::<Refused>() && error.to_string().contains("spec.version"), "{error}");
    }
}
