//! The arguments of `chatctl size`.

use std::path::PathBuf;

use clap::Args;

use super::load::{Load, Mix, number};
use super::plan::Pods;

/// Arguments of `chatctl size`.
#[derive(Debug, Args)]
#[command(
    after_help = "Gateways, partitions and sequencers come from unit costs that `chatctl load` measured (date and \
machine are printed). What was not measured has a load and no number; measure it and give it with --costs.

Examples:
  chatctl size --users 500M --messages-a-day 10B
  chatctl size --users 2M --online 300k --messages-a-day 40M --mix 60%x2,40%x30
  chatctl size --users 500M --messages-a-day 10B --manifest > chatcluster.yaml
  chatctl size --users 500M --messages-a-day 10B --json | jq .plan.first"
)]
pub(crate) struct SizeArgs {
    /// Users there are, as in 500M.
    #[arg(long, value_name = "N", value_parser = number)]
    users: f64,
    /// Messages sent on a day, as in 10B.
    #[arg(long, value_name = "N", value_parser = number)]
    messages_a_day: f64,
    /// Sessions open at the peak. Absent: a tenth of the users.
    #[arg(long, value_name = "N", value_parser = number)]
    online: Option<f64>,
    /// Where messages are sent: shares of them by the members of the chat.
    #[arg(long, value_name = "SHARE%xMEMBERS,…", default_value = "70%x2,28%x20,2%x200")]
    mix: Mix,
    /// How many times the mean the busiest second has.
    #[arg(long, value_name = "FACTOR", value_parser = number, default_value = "3")]
    peak: f64,
    /// Percentage of a chat's other members who are connected when a message comes.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), default_value_t = 50)]
    members_online: u8,
    /// Bytes of content of a message.
    #[arg(long, value_name = "BYTES", value_parser = number, default_value = "200")]
    message_bytes: f64,
    /// Cores of a gateway.
    #[arg(long, value_name = "CORES", value_parser = clap::value_parser!(u8).range(1..=64), default_value_t = 2)]
    gateway_cores: u8,
    /// Cores of a sequencer.
    #[arg(long, value_name = "CORES", value_parser = clap::value_parser!(u8).range(1..=64), default_value_t = 2)]
    sequencer_cores: u8,
    /// Percentage of everything that stays free at the peak.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=90), default_value_t = 30)]
    spare: u8,
    /// Unit costs in place of those this version was measured with: JSON like benches/unit-costs.json.
    #[arg(long, value_name = "FILE")]
    pub(super) costs: Option<PathBuf>,
    /// Print the recommended manifest and nothing else.
    #[arg(long, conflicts_with = "json")]
    pub(super) manifest: bool,
    /// Print one JSON object: load, costs, plan, manifest.
    #[arg(long)]
    pub(super) json: bool,
}

impl SizeArgs {
    /// Returns the load, or what is wrong with it.
    pub(super) fn load(&self) -> Result<Load, String> {
        let online = self.online.unwrap_or(self.users / 10.0);
        if self.peak < 1.0 {
            return Err("--peak is at least 1: the busiest second is not below the mean".to_owned());
        }
        Ok(Load {
            users: self.users,
            online,
            messages_a_day: self.messages_a_day,
            peak: self.peak,
            mix: self.mix.clone(),
            members_online: f64::from(self.members_online) / 100.0,
            message_bytes: self.message_bytes,
        })
    }

    /// Returns how pods are cut.
    pub(super) fn pods(&self) -> Pods {
        Pods {
            gateway_cores: self.gateway_cores.into(),
            sequencer_cores: self.sequencer_cores.into(),
            spare: f64::from(self.spare) / 100.0,
        }
    }
}
