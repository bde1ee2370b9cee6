//! `chatctl size`: what a load needs, from unit costs that were measured.
//!
//! `load` is what is asked for, `costs` what was measured, `plan` the arithmetic between them, `manifest` the plan as a
//! `ChatCluster`. Nothing is guessed: a part whose cost was not measured is told with its load and without a number.

mod args;
mod costs;
mod load;
mod manifest;
mod plan;
mod report;

use anyhow::Context as _;

pub(crate) use args::SizeArgs;

use crate::failure::Refused;
use crate::output;
use costs::UnitCosts;

/// Prints what the load of the arguments needs.
pub(crate) fn run(args: &SizeArgs) -> anyhow::Result<()> {
    let load = args.load().map_err(Refused)?;
    let costs = match &args.costs {
        None => UnitCosts::measured()?,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the unit costs {}", path.display()))?;
            UnitCosts::parse(&text).with_context(|| format!("{} is no file of unit costs", path.display()))?
        }
    };
    let plan = plan::plan(&load, &costs, &args.pods()).map_err(|error| Refused(error.to_string()))?;
    let manifest = manifest::write(&plan, &costs);
    // A recommendation that a cluster would refuse is none.
    if let Err(problems) = operator::manifest::parse(&manifest) {
        anyhow::bail!("the recommended manifest is refused, which is a defect of chatctl: {problems:?}");
    }
    if args.manifest {
        output::line(manifest.trim_end())
    } else if args.json {
        output::json(&report::Report { load: &load, costs: &costs, plan: &plan, manifest: &manifest })
    } else {
        report::for_people(&load, &costs, &plan)
    }
}
