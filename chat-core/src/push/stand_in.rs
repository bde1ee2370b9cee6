//! Stand-ins of Apple's and Google's services, for tests: real HTTP over real TLS, under generated certificates.
//!
//! They are written from what the vendors publish, and refuse what the vendors refuse. A test says what they answer for
//! a device, which faults the next requests meet, and sees what arrived.

#![expect(clippy::missing_panics_doc, reason = "a stand-in that cannot do its part fails the test")]

mod apns;
mod fcm;
mod server;
mod tls;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use apns::{ApnsStandIn, KEY_ID, TEAM_ID, TOPIC};
pub use fcm::{FcmStandIn, PROJECT};
pub use server::{Fault, Reply, Server};
pub use tls::Authority;

use super::PushSender;
use super::contract::{Received, Subject};
use super::vendors::{Endpoints, Vendors};
use super::{Device, Platform, PushAnswer};
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::config::{ApnsConfig, ApnsEnvironment, FcmConfig, PushConfig, PushContent};

/// Both services, the credentials they take, and a sender that uses them.
#[derive(Debug)]
pub struct StandIns {
    /// Apple's service.
    pub apns: ApnsStandIn,
    /// Google's service.
    pub fcm: FcmStandIn,
    /// The clock of both services and of the sender.
    pub clock: ManualClock,
    arrived: Arrivals,
    credentials: tempfile::TempDir,
    sender: Arc<Vendors>,
}

/// What arrived at both services, oldest first.
#[derive(Debug, Clone, Default)]
struct Arrivals(Arc<Mutex<Vec<Received>>>);

impl Arrivals {
    fn all(&self) -> MutexGuard<'_, Vec<Received>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StandIns {
    /// Starts both services on loopback, in the runtime of the caller.
    pub fn start() -> Self {
        let clock = ManualClock::at(SystemClock.now());
        let (authority, arrived) = (Authority::new(), Arrivals::default());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let apns = ApnsStandIn::start(&authority, Arc::clone(&shared), arrived.clone());
        let fcm = FcmStandIn::start(&authority, shared, arrived.clone());
        let credentials = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(credentials.path().join("key.p8"), apns.new_key(KEY_ID)).expect("a key");
        std::fs::write(credentials.path().join("account.json"), fcm.new_account()).expect("an account");
        let endpoints = Endpoints { apns: Some(apns.endpoint()), fcm: Some(fcm.endpoint()) };
        let sender = vendors(&config(credentials.path()), &endpoints, &clock);
        Self { apns, fcm, clock, arrived, credentials, sender: Arc::new(sender) }
    }

    /// Returns the settings of the sender. Its files can be written anew.
    pub fn config(&self) -> PushConfig {
        config(self.credentials.path())
    }

    /// Returns where the services are.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints { apns: Some(self.apns.endpoint()), fcm: Some(self.fcm.endpoint()) }
    }

    /// Makes another sender, by other settings.
    pub fn sender_by(&self, config: &PushConfig, endpoints: &Endpoints) -> Vendors {
        vendors(config, endpoints, &self.clock)
    }
}

fn config(credentials: &std::path::Path) -> PushConfig {
    PushConfig {
        content: PushContent::Text,
        apns: Some(ApnsConfig {
            key_file: credentials.join("key.p8"),
            key_id: KEY_ID.to_owned(),
            team_id: TEAM_ID.to_owned(),
            topic: TOPIC.to_owned(),
            environment: ApnsEnvironment::Production,
        }),
        fcm: Some(FcmConfig { service_account_file: credentials.join("account.json") }),
    }
}

fn vendors(config: &PushConfig, endpoints: &Endpoints, clock: &ManualClock) -> Vendors {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    Vendors::at(config, endpoints, &clock).expect("credentials that can be used")
}

impl Subject for StandIns {
    fn sender(&self) -> Arc<dyn PushSender> {
        Arc::clone(&self.sender) as Arc<dyn PushSender>
    }

    fn answer(&self, device: &Device, answer: PushAnswer) {
        match device.platform {
            Platform::Apns => self.apns.reply(&device.token, apns::reply_that_says(answer)),
            Platform::Fcm => self.fcm.reply(&device.token, fcm::reply_that_says(answer)),
        }
    }

    fn received(&self) -> Vec<Received> {
        self.arrived.all().clone()
    }
}
