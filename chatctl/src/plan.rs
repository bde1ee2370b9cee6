//! `chatctl plan`: what the operator would make of a manifest, and what that would change.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use operator::build::{Object, Running, build, unsupported};
use operator::crd::ChatCluster;
use operator::inspect::{Action, Cluster, Planned};
use serde::Serialize;

use crate::failure::Refused;
use crate::local::manifest;
use crate::{lint, output};

/// Fields of one object that are shown; the rest is counted.
const SHOWN: usize = 5;

/// Arguments of `chatctl plan`.
#[derive(Debug, Args)]
#[command(after_help = "Reads only, with your own rights. Without a Kubernetes cluster it lists what would be made.

Examples:
  chatctl plan -f examples/chatcluster.yaml
  chatctl plan -f examples/chatcluster.yaml --namespace chat --json
  chatctl plan -f examples/chatcluster.yaml --offline --yaml")]
pub(crate) struct PlanArgs {
    /// Manifest of the ChatCluster.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Namespace. Absent: the manifest's, else that of the kubeconfig.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Ask no cluster.
    #[arg(long)]
    offline: bool,
    /// Print the objects themselves, as YAML.
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    /// Print one JSON object an object: kind, name, action, changes.
    #[arg(long)]
    json: bool,
}

/// An object that was compared with nothing.
#[derive(Serialize)]
struct Listed<'a> {
    kind: &'a str,
    name: &'a str,
}

/// Prints the plan.
pub(crate) async fn run(args: PlanArgs) -> anyhow::Result<()> {
    let mut wanted = manifest::load(&args.file)?;
    let namespace = args.namespace.clone().or_else(|| wanted.metadata.namespace.clone());
    let found = if args.offline { None } else { reach(namespace.as_deref(), &wanted).await };
    wanted.metadata.namespace = found.as_ref().map(|(cluster, _)| cluster.namespace().to_owned()).or(namespace);
    // What is there decides whom its objects belong to.
    let live = found.as_ref().and_then(|(_, live)| live.clone());
    wanted.metadata.uid = live.and_then(|live| live.metadata.uid);
    let objects = objects(&wanted)?;
    if args.yaml {
        let texts: Result<Vec<String>, _> = objects.iter().map(serde_yaml::to_string).collect();
        return output::line(texts.context("cannot write the objects as YAML")?.join("---\n").trim_end());
    }
    match found {
        Some((cluster, _)) => show(&cluster.plan(&objects).await?, args.json),
        None => list(&objects, args.json),
    }
}

/// Builds what a manifest asks for, or refuses what the operator of this version would refuse.
fn objects(cluster: &ChatCluster) -> anyhow::Result<Vec<Object>> {
    let valid = lint::valid(cluster)?;
    match unsupported(&valid) {
        Some(why) => Err(Refused(why).into()),
        None => Ok(build(&valid, &Running::first(&valid))),
    }
}

/// Finds the API server and the cluster as it is there; says why not, and goes on without.
async fn reach(namespace: Option<&str>, wanted: &ChatCluster) -> Option<(Cluster, Option<ChatCluster>)> {
    let found = async {
        let cluster = Cluster::find(namespace).await?;
        let live = cluster.get(wanted.metadata.name.as_deref().unwrap_or_default()).await?;
        Ok::<_, operator::inspect::InspectError>((cluster, live))
    };
    match found.await {
        Ok(found) => Some(found),
        Err(error) => {
            output::warning(&format!("nothing is compared: {error}"));
            None
        }
    }
}

fn list(objects: &[Object], json: bool) -> anyhow::Result<()> {
    let listed = objects.iter().map(|object| Listed { kind: object.kind(), name: object.name() });
    if json {
        return listed.into_iter().try_for_each(|object| output::json(&object));
    }
    let rows: Vec<_> = listed.map(|object| [object.kind.to_owned(), object.name.to_owned()]).collect();
    output::table(["KIND", "NAME"], &rows)
}

fn show(planned: &[Planned], json: bool) -> anyhow::Result<()> {
    if json {
        return planned.iter().try_for_each(output::json);
    }
    let rows: Vec<_> =
        planned.iter().map(|object| [object.kind.clone(), object.name.clone(), what(&object.action)]).collect();
    output::table(["KIND", "NAME", "WHAT HAPPENS"], &rows)
}

fn what(action: &Action) -> String {
    let Action::Change { changes, restarts_pods } = action else {
        return if *action == Action::Create { "is made" } else { "stays as it is" }.to_owned();
    };
    let mut shown: Vec<String> = changes
        .iter()
        .take(SHOWN)
        .map(|change| {
            let from = change.from.as_ref().map_or_else(|| "nothing".to_owned(), brief);
            format!("{}: {from} becomes {}", change.path, brief(&change.to))
        })
        .collect();
    if changes.len() > SHOWN {
        shown.push(format!("and {} more", changes.len() - SHOWN));
    }
    format!("{}{}", if *restarts_pods { "restarts its pods: " } else { "" }, shown.join("; "))
}

/// A value in few words.
fn brief(value: &serde_json::Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { text } else { text.chars().take(39).collect::<String>() + "…" }
}

#[cfg(test)]
mod tests {
    use operator::plan::Change;

    use super::*;

    #[test]
    fn a_plan_says_what_happens_in_words() {
        assert_eq!(what(&Action::Create), "is made");
        assert_eq!(what(&Action::Keep), "stays as it is");
        let change = |path: &str| Change { path: path.to_owned(), from: None, to: "b".into() };
        let action = Action::Change { changes: vec![change("spec.type")], restarts_pods: false };
        assert_eq!(what(&action), "spec.type: nothing becomes \"b\"");
        let many = Action::Change { changes: (0..7).map(|_| change("a")).collect(), restarts_pods: true };
        assert!(what(&many).starts_with("restarts its pods: a: "), "{}", what(&many));
        assert!(what(&many).ends_with("; and 2 more"), "{}", what(&many));
    }

    #[test]
    fn what_the_operator_does_not_run_is_refused() {
        let manifest = include_str!("../../examples/external/chatcluster.yaml");
        let error = objects(&operator::manifest::parse(manifest).unwrap()).unwrap_err();
        assert!(error.is::<Refused>() && error.to_string().contains("spec.redis.managed"), "{error}");
    }
}
