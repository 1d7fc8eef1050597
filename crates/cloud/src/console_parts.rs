//! What the web console is given of this process: the labs, and how far they came.

use crate::chance::OsEntropy;
use crate::lab;
use crate::settings::Config;
use base::Clock;
use console::{Console, Parts};
use std::sync::Arc;

pub fn console(config: &Config, clock: Arc<dyn Clock>) -> Arc<Console> {
    let data = config.data.clone();
    Arc::new(Console::new(Parts {
        clock,
        entropy: Arc::new(OsEntropy),
        region: config.region.clone(),
        regions: gateway::names::regions().collect(),
        well_known_pairs: config.well_known_pairs,
        labs: lab::for_console(),
        lab_state: Box::new(move |name| lab::state::read(&data, name)),
    }))
}
