//! Partitions: two containers that do not reach each other. Who runs containers sees to them.

use super::{FaultRow, bad};
use crate::gateway::Gateway;
use crate::head::Head;
use api::Error;
use base::Timestamp;
use std::pin::Pin;
use std::sync::Arc;

/// Of a pair of containers, whoever runs them.
pub trait Partitions: Send + Sync {
    /// Why two containers, by name or id, cannot be parted, if they cannot.
    fn may(&self, one: &str, other: &str) -> Result<(), String>;

    /// From now on these pairs are parted, and no others.
    fn set(
        &self,
        pairs: Vec<(String, String)>,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// What of a fault is about operations.
const OF_OPERATIONS: [&str; 8] =
    ["service", "operation", "error", "rate", "latency_ms", "times", "seed", "account"];

pub fn read(
    gateway: &Gateway,
    head: &Head<'_>,
    pair: &str,
    now: Timestamp,
) -> Result<FaultRow, Error> {
    let more = OF_OPERATIONS
        .into_iter()
        .find(|name| head.query_value(name).is_some_and(|v| !v.is_empty()));
    if let Some(name) = more {
        return Err(bad(format!("a partition is between containers: it takes no {name}")));
    }
    let both = pair.split_once(',').map(|(one, other)| (one.trim(), other.trim()));
    let both =
        both.filter(|(one, other)| !one.is_empty() && !other.is_empty() && !other.contains(','));
    let (one, other) = both
        .ok_or_else(|| bad(format!("partition is {pair:?}: it must be two containers, as A,B")))?;
    let Some(partitions) = gateway.partitions.get() else {
        return Err(Error::with_code("InvalidState", 409, "This cloud runs no containers."));
    };
    partitions.may(one, other).map_err(bad)?;
    Ok(FaultRow {
        service: String::new(),
        operation: String::new(),
        error: String::new(),
        status: 0,
        rate_ppm: 0,
        latency_ms: 0,
        times: 0,
        seed: None,
        created: now,
        between: vec![one.to_owned(), other.to_owned()],
        account: None,
    })
}

impl Gateway {
    /// Says who sees to partitions, and has those set that rows kept.
    pub async fn see_to_partitions(&self, partitions: Arc<dyn Partitions>) -> Result<(), Error> {
        let _ = self.partitions.set(partitions);
        self.part().await
    }

    /// The containers are parted as the faults in force say.
    pub(crate) async fn part(&self) -> Result<(), Error> {
        let Some(partitions) = self.partitions.get() else { return Ok(()) };
        let set = partitions.set(self.faults.pairs()).await;
        set.map_err(|text| Error::with_code("InternalFailure", 500, text))
    }
}

impl super::Faults {
    fn pairs(&self) -> Vec<(String, String)> {
        let all = self.all.read();
        let pairs = all.iter().filter_map(|fault| match fault.row.between.as_slice() {
            [one, other] => Some((one.clone(), other.clone())),
            _ => None,
        });
        pairs.collect()
    }
}
