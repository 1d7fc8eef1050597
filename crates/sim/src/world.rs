//! Lives of the cloud between crashes, on one disk.

use crate::bugs::{Bug, Buggy, BuggyDisk};
use crate::client::{self, BUCKETS, Client, Shared};
use crate::executor::Executor;
use crate::history;
use crate::items::{self, Counter};
use crate::request::{Request, send};
use crate::table_stream::Reader;
use crate::transfers::{self, Transfers};
use api::Service;
use base::{Clock, Entropy, ManualClock, SeededEntropy, Timestamp};
use bytes::Bytes;
use directory::Directory;
use gateway::{AccessRules, Gateway, GatewayParts};
use http::Method;
use service_dynamodb::{DynamoDb, Streams};
use service_s3::S3;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use store::blobs::Blocking;
use store::disk::{Disk, FaultyDisk};
use store::engine::Step;
use store::{Drivers, Durability, Index, Store, StoreOptions};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    pub operations: u64,
    pub crashes: u64,
    pub clients: usize,
    pub bug: Option<Bug>,
}

impl Options {
    pub fn new(seed: u64) -> Options {
        Options { seed, operations: 1_000, crashes: 3, clients: 4, bug: None }
    }
}

/// What a clean run did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub operations: u64,
    pub crashes: u64,
    pub disk_calls: u64,
    pub syncs: u64,
    /// The same for every run of a seed.
    pub digest: u64,
}

/// Blocking work of blobs waits here for its turn.
#[derive(Default)]
struct Waiting(Mutex<VecDeque<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

impl Blocking for Waiting {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
    }
}

impl Waiting {
    fn step(&self, dice: &SeededEntropy) -> bool {
        let job = {
            let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let len = jobs.len() as u64;
            if len == 0 {
                return false;
            }
            jobs.remove(dice.below(len) as usize)
        };
        job.into_iter().for_each(|job| job());
        true
    }
}

/// One life of the cloud.
struct Life {
    store: Store,
    drivers: Drivers,
    gateway: Arc<Gateway>,
    /// Whether jobs are done at all, and errands.
    jobs: bool,
    errands: bool,
    waiting: Arc<Waiting>,
    /// The errand under way; the power takes it too.
    errand: Executor<'static>,
    /// There was none that is due.
    idle: Rc<Cell<bool>>,
}

struct World {
    options: Options,
    disk: FaultyDisk,
    clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    dice: SeededEntropy,
}

impl World {
    fn new(options: Options) -> World {
        let disk = FaultyDisk::new();
        if options.bug == Some(Bug::NoSync) {
            disk.skip_syncs(true);
        }
        World {
            options,
            disk,
            clock: Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000))),
            entropy: Arc::new(SeededEntropy::new(options.seed ^ 0x5eed)),
            dice: SeededEntropy::new(options.seed),
        }
    }

    /// Small limits everywhere, so that a short run meets flushes, merges and new segments.
    fn store_options(&self, waiting: &Arc<Waiting>) -> StoreOptions {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let entropy = Arc::clone(&self.entropy) as Arc<dyn Entropy>;
        let tree = store::lsm::Options {
            memtable_bytes: 64 << 10,
            table_bytes: 64 << 10,
            ..store::lsm::Options::default()
        };
        StoreOptions {
            index: Index::Tree(tree),
            durability: match self.options.bug {
                Some(Bug::EarlyAnswer) => Durability::Relaxed,
                _ => Durability::Synced,
            },
            log_segment_bytes: 12 << 20,
            log_zero_fill: false,
            space_floor_bytes: 1 << 20,
            hot_bytes: 1 << 20,
            retry_one_in: 10,
            blocking: Arc::clone(waiting) as Arc<dyn Blocking>,
            blob_segment_bytes: 1 << 20,
            ..StoreOptions::new(clock, entropy)
        }
    }

    fn start(&self, number: u64) -> Result<(Life, Arc<Gateway>), String> {
        let waiting = Arc::new(Waiting::default());
        let disk: Arc<dyn Disk> = match self.options.bug {
            Some(bug) => Arc::new(BuggyDisk { inner: Arc::new(self.disk.clone()), bug }),
            None => Arc::new(self.disk.clone()),
        };
        let opened = Store::open(disk, self.store_options(&waiting));
        let (store, drivers) = opened.map_err(|e| format!("cannot start again: {e}"))?;
        let all: [Arc<dyn Service>; 3] = [
            Arc::new(gen_s3::Handler(S3::new())),
            Arc::new(gen_dynamodb::Handler(DynamoDb::default())),
            Arc::new(gen_dynamodbstreams::Handler(Streams)),
        ];
        let services = all.into_iter().map(|inner| match self.options.bug {
            Some(bug) => {
                let dice = SeededEntropy::new(self.options.seed);
                Arc::new(Buggy { inner, bug, dice }) as Arc<dyn Service>
            }
            None => inner,
        });
        let parts = GatewayParts {
            store: store.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&self.entropy) as Arc<dyn Entropy>,
            services: services.collect(),
            identities: Arc::new(Directory::default()),
            access: AccessRules::default(),
        };
        let gateway = Gateway::new(parts).map_err(|e| format!("cannot start again: {e:?}"))?;
        while gateway.jobs().retry_parked().map_err(|e| format!("cannot start again: {e}"))? {}
        let gateway = Arc::new(gateway);
        let jobs = self.options.bug != Some(Bug::NoJobs);
        let errands = jobs && (number == 0 || self.options.bug != Some(Bug::NoErrands));
        Ok((
            Life {
                store,
                drivers,
                gateway: gateway.clone(),
                jobs,
                errands,
                waiting,
                errand: Executor::default(),
                idle: Rc::default(),
            },
            gateway,
        ))
    }
}

impl Drop for Life {
    /// Jobs that never got their turn hold on to the store, which holds on to their queue.
    fn drop(&mut self) {
        self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Life {
    /// Lets one of all those that are not clients do something; false if none has anything to do.
    fn step(&mut self, dice: &SeededEntropy) -> bool {
        let first = dice.below(6);
        (0..6).any(|i| match (first + i) % 6 {
            0 => self.drivers.log.step() == Step::Worked,
            1 => self.drivers.maintenance.step() == Step::Worked,
            2 => matches!(self.drivers.blobs.step(), Ok(Step::Worked)),
            3 => self.waiting.step(dice),
            4 => self.errands && self.step_errand(dice),
            _ => self.jobs && self.gateway.jobs().step() == Step::Worked,
        })
    }

    /// Goes on with the errand under way, or begins one that is due.
    fn step_errand(&mut self, dice: &SeededEntropy) -> bool {
        if self.errand.is_empty() {
            let (gateway, idle) = (Arc::clone(&self.gateway), Rc::clone(&self.idle));
            self.errand.spawn(async move {
                idle.set(gateway.jobs().errand().await == Step::Idle);
            });
        }
        self.errand.step(dice) && !(self.errand.is_empty() && self.idle.get())
    }
}

/// Runs tasks and all else in turns until the tasks are done or the power goes.
fn drive(world: &World, life: &mut Life, tasks: &mut Executor<'_>, end: impl Fn() -> bool) {
    let dice = &world.dice;
    while !tasks.is_empty() && !end() && life.store.stopped().is_none() {
        let worked = match dice.below(3) {
            0 => life.step(dice) || tasks.step(dice),
            _ => tasks.step(dice) || life.step(dice),
        };
        if dice.below(50) == 0 {
            world.clock.advance_ms(dice.below(2_000) as u32);
        }
        if dice.below(20_000) == 0 {
            // A night goes by: rules and locks come due.
            world.clock.advance_ms(3_600_000 * (1 + dice.below(30)) as u32);
        }
        if dice.below(5_000) == 0 {
            // A clock that an operator or NTP sets, within what signatures allow.
            let now = world.clock.now();
            world.clock.jump_to(now.plus_millis(dice.below(600_000) as i64 - 300_000));
        }
        if !worked {
            // Whatever is left waits for time, or for nothing at all.
            world.clock.advance_ms(100);
        }
    }
}

/// What goes wrong during one life.
enum Fate {
    /// Nothing: the last life ends in peace.
    Peace,
    /// The power goes at that call of the disk.
    PowerCut(u64),
    /// The process is killed, the machine runs on.
    Kill(u64),
    /// The disk refuses a call.
    Failure(u64),
    /// For a while the disk is full.
    Full(u64),
}

fn fate(dice: &SeededEntropy, last: bool) -> Fate {
    let at = 1 + dice.below(600);
    match (last, dice.below(10)) {
        (true, _) => Fate::Peace,
        (_, 0..=5) => Fate::PowerCut(at),
        (_, 6 | 7) => Fate::Kill(at),
        (_, 8) => Fate::Failure(at),
        (_, _) => Fate::Full(at),
    }
}

/// Runs a seed. `Err` says what was found wrong.
pub fn run(options: Options) -> Result<Report, String> {
    let world = World::new(options);
    let left = Cell::new(0);
    let (trace, troubled) = (Cell::new(0xcbf2_9ce4_8422_2325), Cell::new(false));
    let (failure, won) = (RefCell::new(None), RefCell::new(BTreeMap::new()));
    let doubtful = RefCell::new(BTreeMap::new());
    let (counter, reader) = (RefCell::new(Counter::default()), RefCell::new(Reader::default()));
    let transfers = RefCell::new(Transfers::default());
    let clients: Vec<RefCell<Client>> = (0..options.clients)
        .map(|number| RefCell::new(Client { number, ..Client::default() }))
        .collect();
    let per_life = options.operations / (options.crashes + 1);
    for number in 0..=options.crashes {
        let (mut life, gateway) = world.start(number)?;
        let shared = Shared {
            gateway: &gateway,
            clock: &world.clock,
            dice: &world.dice,
            left: &left,
            failure: &failure,
            won: &won,
            doubtful: &doubtful,
            counter: &counter,
            reader: &reader,
            transfers: &transfers,
            trace: &trace,
            troubled: &troubled,
        };
        troubled.set(false);
        let mut tasks = Executor::default();
        match number {
            0 => tasks.spawn(make_buckets(&shared)),
            _ => tasks.spawn(client::verify(&shared, &clients)),
        }
        drive(&world, &mut life, &mut tasks, || failure.borrow().is_some());
        if let Some(message) = failure.take() {
            return Err(message);
        }
        left.set(per_life);
        live(&world, &mut life, &shared, &clients, number == options.crashes);
        if let Some(message) = failure.take() {
            return Err(message);
        }
        if number < options.crashes {
            drop(tasks);
            drop(gateway);
            drop(life);
            for client in &clients {
                client.borrow_mut().unknown();
            }
            continue;
        }
        finish(&world, &mut life, &shared, &clients)?;
    }
    Ok(Report {
        operations: per_life * (options.crashes + 1),
        crashes: options.crashes,
        disk_calls: world.disk.calls(),
        syncs: world.disk.syncs(),
        digest: trace.get(),
    })
}

/// The clients at work, until they are done or something happens to the cloud.
fn live(
    world: &World,
    life: &mut Life,
    shared: &Shared<'_>,
    clients: &[RefCell<Client>],
    last: bool,
) {
    let dice = &world.dice;
    let mut tasks = Executor::default();
    for client in clients {
        tasks.spawn(client::work(shared, client));
    }
    let calls = world.disk.calls();
    let fate = fate(dice, last);
    match fate {
        Fate::PowerCut(at) => {
            shared.troubled.set(true);
            world.disk.power_off_in(at);
        }
        Fate::Failure(at) => {
            shared.troubled.set(true);
            let kinds = [ErrorKind::StorageFull, ErrorKind::Other];
            world.disk.fail_in(at, kinds[dice.below(2) as usize]);
        }
        Fate::Full(_) => shared.troubled.set(true),
        Fate::Kill(_) | Fate::Peace => {}
    }
    let failed = || shared.failure.borrow().is_some();
    match fate {
        Fate::Kill(at) => {
            drive(world, life, &mut tasks, || failed() || world.disk.calls() > calls + at);
        }
        Fate::Full(at) => {
            drive(world, life, &mut tasks, || failed() || world.disk.calls() > calls + at);
            world.disk.set_capacity(Some(world.disk.used_bytes() + dice.below(200_000)));
            let until = shared.left.get() / 2;
            drive(world, life, &mut tasks, || failed() || shared.left.get() <= until);
            world.disk.set_capacity(None);
            drive(world, life, &mut tasks, failed);
        }
        _ => drive(world, life, &mut tasks, failed),
    }
    drop(tasks);
    match fate {
        Fate::Kill(_) => world.disk.kill(),
        Fate::Peace => {}
        _ => world.disk.crash(dice.next_u64()),
    }
}

async fn make_buckets(shared: &Shared<'_>) {
    if let Err(message) = items::make_table(shared).await {
        return shared.fail(message);
    }
    if let Err(message) = transfers::make(shared).await {
        return shared.fail(message);
    }
    for (number, bucket) in BUCKETS.iter().copied().chain([history::BUCKET]).enumerate() {
        let path = format!("/{bucket}");
        let versions =
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        let mut requests = vec![("", Bytes::new())];
        let mut lock = None;
        match number {
            1 => requests.push(("versioning=", versions.into())),
            2 => {
                lock = Some(("x-amz-bucket-object-lock-enabled", "true".to_owned()));
                requests.push(("lifecycle=", history::RULES.into()));
            }
            _ => {}
        }
        for (query, body) in requests {
            loop {
                let headers = lock.clone().into_iter().filter(|_| query.is_empty()).collect();
                let body = body.clone();
                let request = Request { query, headers, body, ..Request::new(Method::PUT, &path) };
                let now = shared.clock.now();
                match send(shared.gateway, shared.dice, now, request).await {
                    Ok(answer) if answer.status.is_success() => break,
                    // A signature that is wrong on purpose: once more.
                    Ok(answer) if answer.status == http::StatusCode::FORBIDDEN => {}
                    Ok(answer) => return shared.fail(format!("{path}?{query}: {answer:?}")),
                    Err(message) => return shared.fail(message),
                }
            }
        }
    }
}

/// Lets everybody but the clients do what they have to do.
fn come_to_rest(world: &World, life: &mut Life) {
    let mut idle = 0;
    for _ in 0..10_000 {
        world.clock.advance_ms(1_000);
        // Some wait for a moment, as the log does for commits that could join the one at hand.
        idle = if life.step(&world.dice) { 0 } else { idle + 1 };
        if idle == 4 {
            break;
        }
    }
}

/// At the end: all is as it must be, and nothing is left over.
fn finish(
    world: &World,
    life: &mut Life,
    shared: &Shared<'_>,
    clients: &[RefCell<Client>],
) -> Result<(), String> {
    let mut tasks = Executor::default();
    tasks.spawn(client::verify(shared, clients));
    drive(world, life, &mut tasks, || shared.failure.borrow().is_some());
    drop(tasks);
    if let Some(message) = shared.failure.take() {
        return Err(message);
    }
    let mut tasks = Executor::default();
    tasks.spawn(async {
        if let Err(message) = items::verify_stream(shared, clients).await {
            shared.fail(format!("at the end, {}: {message}", items::TABLE));
        }
    });
    drive(world, life, &mut tasks, || shared.failure.borrow().is_some());
    drop(tasks);
    if let Some(message) = shared.failure.take() {
        return Err(message);
    }
    for _ in 0..7 {
        world.clock.advance_ms(86_400_000);
        come_to_rest(world, life);
    }
    nothing_failed(life)?;
    let mut tasks = Executor::default();
    tasks.spawn(client::verify_rest(shared, clients));
    tasks.spawn(async {
        if let Err(message) = transfers::verify(shared).await {
            shared.fail(format!("at the end: {message}"));
        }
    });
    drive(world, life, &mut tasks, || shared.failure.borrow().is_some());
    drop(tasks);
    if let Some(message) = shared.failure.take() {
        return Err(message);
    }
    come_to_rest(world, life);
    nothing_failed(life)?;
    let found = life.store.blobs().check(&life.store);
    let found = found.map_err(|e| format!("the check failed: {e}"))?;
    if !found.problems.is_empty() {
        return Err(format!("blobs: {:?}", found.problems));
    }
    if !found.leftovers.is_empty() {
        return Err(format!("blobs that nothing refers to: {:?}", found.leftovers));
    }
    Ok(())
}

fn nothing_failed(life: &Life) -> Result<(), String> {
    let parked = life.store.read(|tx| life.gateway.jobs().parked(tx, 10));
    match parked.map_err(|e| format!("the jobs are unreadable: {e}"))? {
        none if none.is_empty() => Ok(()),
        parked => Err(format!("jobs that failed too often: {parked:?}")),
    }
}
