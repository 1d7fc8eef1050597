//! Faults on purpose, put in by whoever runs the cloud: errors and delays of an operation, to see what a
//! client does about them.
//!
//! They come after authorisation, so nobody learns anything by them, and before the operation, which has
//! then not happened. An error is one that the service really has, with its status and in the caller's
//! protocol, and one of many operations strikes those alone that have its error; `x-cumulet-fault` in the answer says which fault it was, and the audit trail says so too. Rows
//! keep them: a restart does not end them, a reset of the cloud does. How often one has struck is counted
//! from the start of the process. Without an account they strike the requests of all.
//!
//! A partition is a fault of another kind: two containers do not reach each other while it is there.

mod codes;
mod partition;

pub use partition::Partitions;

use crate::encode::Response;
use crate::gateway::Gateway;
use crate::head::Head;
use crate::identify::Entry;
use crate::pages::page;
use api::{Cx, Error, Tx};
use base::{AccountId, Entropy, SeededEntropy, Timestamp};
use parking_lot::RwLock;
use smithy::json::Writer;
use smithy::model::{Operation, ServiceModel};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use store::{Scope, Store, StoreError, Table, row};

const FAULTS: Table<u64, FaultRow> = Table::new(0xf004, "gateway.fault");
/// So many at a time.
const FAULTS_MAX: usize = 100;
const LATENCY_MS_MAX: u64 = 300_000;
/// What every reader of JSON understands.
const NUMBER_MAX: u64 = i64::MAX as u64;
/// A rate of 1.
const ALWAYS_PPM: u64 = 1_000_000;
/// Any name, or any end of one.
const ANY: char = '*';

row! {
    struct FaultRow {
        1 => service: String,
        2 => operation: String,
        /// Empty where it is only slow.
        3 => error: String,
        4 => status: u16,
        5 => rate_ppm: u64,
        6 => latency_ms: u64,
        /// How often at most; 0 is without end.
        7 => times: u64,
        8 => seed: Option<u64>,
        9 => created: Timestamp,
        /// Two containers that do not reach each other; then all else is empty.
        10 => between: Vec<String>,
        /// Whose requests; `None` for everybody's.
        11 => account: Option<AccountId>,
    }
}

/// A request, as far as it decides which faults are about it.
#[derive(Clone, Copy)]
pub(crate) struct Struck<'a> {
    pub model: &'a ServiceModel,
    pub operation: &'a Operation,
    /// The caller's.
    pub account: Option<AccountId>,
}

/// Waits. Whoever owns the gateway has a clock that can.
pub trait Timer: Send + Sync {
    fn wait(&self, ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

struct Active {
    id: u64,
    row: FaultRow,
    /// For one with a seed: the same requests meet it each time.
    own: Option<SeededEntropy>,
    struck: AtomicU64,
}

impl Active {
    fn new(id: u64, row: FaultRow) -> Active {
        let own = row.seed.map(SeededEntropy::new);
        Active { id, row, own, struck: AtomicU64::new(0) }
    }

    fn is_about(&self, of: &Struck<'_>) -> bool {
        let Struck { model, operation, account } = of;
        let FaultRow { error, account: own, .. } = &self.row;
        self.row.service == model.name
            && fits(&self.row.operation, operation.name)
            && (own.is_none() || own == account)
            && (error.is_empty() || codes::has(model, operation, error))
    }

    fn strikes(&self, chance: &dyn Entropy) -> bool {
        let dice = match &self.own {
            Some(own) => own.below(ALWAYS_PPM),
            None => chance.below(ALWAYS_PPM),
        };
        if dice >= self.row.rate_ppm {
            return false;
        }
        let most = if self.row.times == 0 { u64::MAX } else { self.row.times };
        let next = |struck| (struck < most).then(|| struck + 1);
        self.struck.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

fn fits(pattern: &str, operation: &str) -> bool {
    match pattern.strip_suffix(ANY) {
        Some(stem) => operation.starts_with(stem),
        None => pattern == operation,
    }
}

/// Those in force. Where there are none, a request pays one load for it.
#[derive(Default)]
pub(crate) struct Faults {
    any: AtomicBool,
    all: RwLock<Vec<Arc<Active>>>,
}

impl Faults {
    pub fn read(store: &Store) -> Result<Faults, Error> {
        let faults = Faults::default();
        faults.read_again(store)?;
        Ok(faults)
    }

    /// As rows say; those that were there go on counting.
    pub fn read_again(&self, store: &Store) -> Result<(), StoreError> {
        let mut all = self.all.write();
        let rows = store
            .read(|tx| tx.scan(&FAULTS, &Scope::Global).collect::<Result<Vec<_>, StoreError>>())?;
        let old = std::mem::take(&mut *all);
        *all = rows
            .into_iter()
            .map(|(id, row)| match old.iter().find(|fault| fault.id == id) {
                Some(known) => known.clone(),
                None => Arc::new(Active::new(id, row)),
            })
            .collect();
        self.any.store(!all.is_empty(), Relaxed);
        Ok(())
    }

    pub fn are_about(&self, of: &Struck<'_>) -> bool {
        self.any.load(Relaxed) && self.all.read().iter().any(|fault| fault.is_about(of))
    }

    /// Those that strike now, in the order in which they were made.
    fn striking(&self, of: &Struck<'_>, chance: &dyn Entropy) -> Vec<Arc<Active>> {
        let all = self.all.read();
        let about = all.iter().filter(|fault| fault.is_about(of));
        about.filter(|fault| fault.strikes(chance)).cloned().collect()
    }
}

/// What is asked for.
struct Wanted(FaultRow);

fn bad(text: String) -> Error {
    Error::with_code("ValidationException", 400, text)
}

impl Wanted {
    fn read(
        gateway: &Gateway,
        head: &Head<'_>,
        account: Option<AccountId>,
        now: Timestamp,
    ) -> Result<Wanted, Error> {
        let given = |name: &str| head.query_value(name).filter(|value| !value.is_empty());
        if let Some(pair) = given("partition") {
            return Ok(Wanted(partition::read(gateway, head, pair, now)?));
        }
        let number = |name: &str, most: u64| match given(name) {
            None => Ok(0),
            Some(text) => match text.parse() {
                Ok(n) if n <= most => Ok(n),
                _ => Err(bad(format!("{name} is {text}: it must be a number up to {most}"))),
            },
        };
        let (service, operation) =
            (given("service").unwrap_or(""), given("operation").unwrap_or(""));
        let entry = service_of(gateway, service)?;
        let operations = operations_of(entry, operation)?;
        let error = given("error").unwrap_or("");
        let status = match error {
            "" => 0,
            code => codes::status(entry.model, &operations, code).map_err(bad)?,
        };
        let latency_ms = number("latency_ms", LATENCY_MS_MAX)?;
        if error.is_empty() && latency_ms == 0 {
            return Err(bad("give an error, a latency, or both".to_owned()));
        }
        if latency_ms > 0 && gateway.timer.is_none() {
            return Err(Error::with_code("InvalidState", 409, "This cloud cannot wait."));
        }
        let seed = given("seed").map(|_| number("seed", NUMBER_MAX)).transpose()?;
        Ok(Wanted(FaultRow {
            service: entry.model.name.to_owned(),
            operation: operation.to_owned(),
            error: error.to_owned(),
            status,
            rate_ppm: rate(given("rate").unwrap_or("1"))?,
            latency_ms,
            times: number("times", NUMBER_MAX)?,
            seed,
            created: now,
            between: Vec::new(),
            account,
        }))
    }
}

fn rate(text: &str) -> Result<u64, Error> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    let ppm = share.map(|share| (share * ALWAYS_PPM as f64).round() as u64);
    ppm.filter(|ppm| *ppm > 0).ok_or_else(|| {
        bad(format!("rate is {text}: it must be a number above 0 and up to 1, as 0.2"))
    })
}

fn service_of<'g>(gateway: &'g Gateway, name: &str) -> Result<&'g Entry, Error> {
    let known = gateway.guard.directory.by_name(name);
    known.filter(|entry| entry.service.hooks().is_there()).ok_or_else(|| {
        let all = gateway.services().join(", ");
        bad(format!("there is no service {name:?} here; there are {all}"))
    })
}

/// Those that a selector is about, all served.
fn operations_of(entry: &Entry, pattern: &str) -> Result<Vec<&'static Operation>, Error> {
    let name = entry.model.name;
    let found: Vec<_> =
        entry.served().map(|(op, _)| op).filter(|op| fits(pattern, op.name)).collect();
    if !found.is_empty() && pattern.matches(ANY).count() <= 1 {
        return Ok(found);
    }
    if entry.model.operation(pattern).is_some() {
        return Err(bad(format!(
            "{name}:{pattern} is not served here, so nothing can go wrong with it"
        )));
    }
    let near = entry.served().map(|(op, _)| op.name).filter(|op| op.eq_ignore_ascii_case(pattern));
    let hint = near.last().map_or_else(String::new, |op| format!("; did you mean {name}:{op}?"));
    Err(bad(format!("{name} has no operation {pattern:?}{hint}")))
}

/// Those that strike the requests of this account alone go with it.
pub(crate) fn forget_account(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    let rows = tx.scan(&FAULTS, &Scope::Global).collect::<Result<Vec<_>, StoreError>>()?;
    for (id, _) in rows.into_iter().filter(|(_, row)| row.account == Some(account)) {
        tx.delete(&FAULTS, &Scope::Global, &id)?;
    }
    Ok(())
}

impl Gateway {
    /// Lets faults make requests slow.
    pub fn with_timer(mut self, timer: Arc<dyn Timer>) -> Gateway {
        self.timer = Some(timer);
        self
    }

    /// What was put in the way of this request, once it is known that it may be made.
    pub(crate) async fn suffer(&self, of: &Struck<'_>) -> Result<(), Error> {
        for fault in self.faults.striking(of, &*self.entropy) {
            let row = &fault.row;
            if let Some(timer) = self.timer.as_ref().filter(|_| row.latency_ms > 0) {
                timer.wait(row.latency_ms).await;
            }
            if !row.error.is_empty() {
                let text = codes::text(of.model, &row.error);
                return Err(Error::with_code(row.error.clone(), row.status, text)
                    .header("x-cumulet-fault", fault.id.to_string())
                    .because(format!("fault {} was put in its way", fault.id)));
            }
        }
        Ok(())
    }

    pub(crate) async fn create_fault(
        &self,
        head: &Head<'_>,
        account: Option<AccountId>,
        cx: &Cx,
    ) -> Result<Response, Error> {
        let Wanted(row) = Wanted::read(self, head, account, self.clock.now())?;
        let commit = self.store.write(|tx| {
            if tx.scan(&FAULTS, &Scope::Global).keys().take(FAULTS_MAX).count() == FAULTS_MAX {
                return Err(bad(format!("there are {FAULTS_MAX} faults already; remove some")));
            }
            let id = tx.version() + 1;
            tx.put(&FAULTS, &Scope::Global, &id, &row)?;
            self.guard.audit.record_with(tx, cx, shown(&[(id, &row, None)]))
        });
        commit.await?;
        self.faults.read_again(&self.store)?;
        self.part().await?;
        Ok(self.fault_page())
    }

    pub(crate) async fn delete_fault(&self, head: &Head<'_>, cx: &Cx) -> Result<Response, Error> {
        let given = head.query_value("id").unwrap_or("");
        let id = match given {
            "all" => None,
            text => Some(
                text.parse::<u64>().map_err(|_| bad(format!("{text:?} is no fault's number")))?,
            ),
        };
        let commit = self.store.write(|tx| {
            let known: Vec<u64> =
                tx.scan(&FAULTS, &Scope::Global).keys().collect::<Result<_, StoreError>>()?;
            let gone: Vec<u64> =
                known.into_iter().filter(|known| id.is_none_or(|id| id == *known)).collect();
            if id.is_some() && gone.is_empty() {
                let text = format!("There is no fault {given}.");
                return Err(Error::with_code("ResourceNotFoundException", 404, text));
            }
            for id in gone {
                tx.delete(&FAULTS, &Scope::Global, &id)?;
            }
            let mut out = Writer::with_capacity(32);
            out.open('{');
            out.key("id");
            out.string(given);
            out.close('}');
            self.guard.audit.record_with(tx, cx, out.finish())
        });
        commit.await?;
        self.faults.read_again(&self.store)?;
        self.part().await?;
        Ok(self.fault_page())
    }

    pub(crate) fn fault_page(&self) -> Response {
        let all = self.faults.all.read();
        let all: Vec<_> =
            all.iter().map(|one| (one.id, &one.row, Some(one.struck.load(Relaxed)))).collect();
        page("application/json", shown(&all))
    }
}

/// In JSON: number, what it is, and how often it has struck.
fn shown(all: &[(u64, &FaultRow, Option<u64>)]) -> String {
    let mut out = Writer::with_capacity(256);
    out.open('{');
    out.key("faults");
    out.open('[');
    for (id, row, struck) in all {
        out.open('{');
        out.key("id");
        out.string(&id.to_string());
        if let [one, other] = row.between.as_slice() {
            out.key("partition");
            out.string(&format!("{one},{other}"));
        } else {
            out.key("selector");
            out.string(&format!("{}:{}", row.service, row.operation));
        }
        if let Some(account) = row.account {
            out.key("account");
            out.string(&account.to_string());
        }
        if !row.error.is_empty() {
            out.key("error");
            out.string(&row.error);
            out.key("status");
            out.integer(row.status.into());
        }
        if row.between.is_empty() {
            out.key("rate");
            out.string(&(row.rate_ppm as f64 / ALWAYS_PPM as f64).to_string());
        }
        let seed = row.seed.map(|seed| seed as i64);
        let numbers = [
            ("latencyMs", Some(row.latency_ms as i64).filter(|ms| *ms > 0)),
            ("times", Some(row.times as i64).filter(|times| *times > 0)),
            ("seed", seed),
            ("struck", struck.map(|n| n as i64).filter(|_| row.between.is_empty())),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                out.key(name);
                out.integer(value);
            }
        }
        out.key("created");
        out.string(&row.created.iso8601_secs());
        out.close('}');
    }
    out.close(']');
    out.close('}');
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(rate_ppm: u64, times: u64, seed: Option<u64>) -> Active {
        let row = FaultRow {
            service: "s3".into(),
            operation: "Get*".into(),
            error: "SlowDown".into(),
            status: 503,
            rate_ppm,
            latency_ms: 0,
            times,
            seed,
            created: Timestamp::EPOCH,
            between: Vec::new(),
            account: None,
        };
        Active::new(1, row)
    }

    fn strikes(fault: &Active, chance: u64) -> Vec<bool> {
        let chance = SeededEntropy::new(chance);
        (0..10_000).map(|_| fault.strikes(&chance)).collect()
    }

    #[test]
    fn selectors() {
        assert!(fits("Get*", "GetObject") && fits("Get*", "GetBucketAcl"));
        assert!(!fits("Get*", "PutObject"));
        assert!(fits("*", "PutObject") && fits("PutObject", "PutObject"));
        assert!(!fits("PutObject", "PutObjectAcl"));
    }

    #[test]
    fn rates_and_counts() {
        let of = |fault: &Active| strikes(fault, 7).iter().filter(|struck| **struck).count();
        assert!((1_800..2_200).contains(&of(&fault(200_000, 0, None))));
        assert_eq!(of(&fault(ALWAYS_PPM, 0, None)), 10_000);
        assert_eq!(of(&fault(200_000, 3, None)), 3);
    }

    #[test]
    fn a_seed_meets_the_same_requests() {
        let seeded = |seed| strikes(&fault(200_000, 0, Some(seed)), 1);
        assert_eq!(seeded(5), strikes(&fault(200_000, 0, Some(5)), 2), "its own chance alone");
        assert_ne!(seeded(5), seeded(6));
        assert_ne!(strikes(&fault(200_000, 0, None), 1), strikes(&fault(200_000, 0, None), 2));
    }

    #[test]
    fn rates_that_are_none() {
        for text in ["0", "-1", "1.1", "NaN", "inf", "", "0.0000001", "a"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!((rate("0.2").unwrap(), rate("1").unwrap()), (200_000, ALWAYS_PPM));
    }
}
