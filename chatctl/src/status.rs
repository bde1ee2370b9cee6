//! `chatctl status`: how clusters on Kubernetes are, and why.

use anyhow::Context as _;
use clap::Args;
use operator::crd::ChatCluster;
use operator::inspect::Cluster;

use crate::output;

/// Arguments of `chatctl status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  chatctl status
  chatctl status demo --namespace chat
  chatctl status demo --json | jq .status.url")]
pub(crate) struct StatusArgs {
    /// Name of the ChatCluster. Absent: all of the namespace, a line each.
    name: Option<String>,
    /// Namespace. Absent: that of the kubeconfig.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Print one JSON object a cluster, as the API server has it.
    #[arg(long)]
    json: bool,
}

/// Prints the status.
pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<()> {
    let cluster = Cluster::find(args.namespace.as_deref()).await?;
    let Some(name) = &args.name else {
        let all = cluster.list().await?;
        if args.json {
            return all.iter().try_for_each(output::json);
        }
        return list(&all);
    };
    let found = cluster.get(name).await?;
    let namespace = cluster.namespace();
    let found = found.with_context(|| {
        format!("there is no ChatCluster {name} in namespace {namespace}; name another with --namespace")
    })?;
    if args.json { output::json(&found) } else { show(&found) }
}

fn list(clusters: &[ChatCluster]) -> anyhow::Result<()> {
    let rows: Vec<_> = clusters
        .iter()
        .map(|cluster| {
            let status = cluster.status.as_ref();
            let ready = status.and_then(|status| status.conditions.iter().find(|it| it.type_ == "Ready"));
            [
                cluster.metadata.name.clone().unwrap_or_default(),
                ready.map_or_else(|| "Unknown".to_owned(), |ready| ready.status.clone()),
                ready.map(|ready| ready.reason.clone()).unwrap_or_default(),
                cluster.spec.version.clone(),
                status.and_then(|status| status.url.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    output::table(["NAME", "READY", "REASON", "VERSION", "URL"], &rows)
}

fn show(cluster: &ChatCluster) -> anyhow::Result<()> {
    let Some(status) = &cluster.status else {
        return output::line("no operator has seen it yet; does one run for this namespace?");
    };
    let generation = cluster.metadata.generation;
    if status.observed_generation != generation {
        output::warning("the operator has not seen the newest manifest yet; what follows is about the one before");
    }
    if let Some(url) = &status.url {
        output::line(&format!("clients connect to {url}\n"))?;
    }
    let rows: Vec<_> = status
        .conditions
        .iter()
        .map(|it| [it.type_.clone(), it.status.clone(), it.reason.clone(), it.message.clone()])
        .collect();
    output::table(["CONDITION", "STATUS", "REASON", "MESSAGE"], &rows)?;
    if !status.pending.is_empty() {
        output::line("\nwaits until `paused` is false:")?;
        status.pending.iter().try_for_each(|change| output::line(&format!("  {change}")))?;
    }
    Ok(())
}
