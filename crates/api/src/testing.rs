//! A world for tests of a service: a store in memory that drives itself, a clock that stands still, a
//! door that allows all but what a test forbids. No runtime, no sockets.

use crate::{
    Ask, AsyncCx, Background, Body, Caller, Cx, CxParts, Door, Error, HttpInfo, Reply, RequestBody,
    Service,
};
use base::{AccountId, Clock, Entropy, ManualClock, Partition, Region, SeededEntropy, Timestamp};
use bytes::Bytes;
use smithy::Struct;
use smithy::model::{Auth, Kind, Piece};
use smithy::value::Value;
use std::any::Any;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use store::blobs::block_on;
use store::engine::Step;
use store::{Jobs, Store, Tx};

/// What an operation gave, with its body.
#[derive(Debug)]
pub struct Outcome<O> {
    pub output: O,
    pub body: Bytes,
    pub status: Option<u16>,
}

#[derive(Debug)]
pub struct World {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub entropy: Arc<SeededEntropy>,
    pub door: Arc<TestDoor>,
    /// Who calls from now on.
    pub account: AccountId,
}

impl Default for World {
    fn default() -> World {
        World::new(1)
    }
}

/// A reply, and the status that the operation asked for.
type Answered = (Reply<Box<dyn Struct>>, Option<u16>);

impl World {
    pub fn new(seed: u64) -> World {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let store = Store::memory(
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&entropy) as Arc<dyn Entropy>,
        );
        World { store, clock, entropy, door: Arc::default(), account: AccountId::DEFAULT }
    }

    /// One in which of so many transactions one is run a second time, as the store may do with any.
    pub fn running_again(one_in: u64) -> World {
        let mut world = World::new(1);
        world.store = Store::memory_running_again(
            Arc::clone(&world.clock) as Arc<dyn Clock>,
            Arc::clone(&world.entropy) as Arc<dyn Entropy>,
            one_in,
        );
        world
    }

    /// The context of a call by the root of [`World::account`].
    pub fn cx(&self, service: &dyn Service, operation: &str) -> Cx {
        let model = service.model();
        let operation = model.operation(operation).expect("an operation of the model");
        let caller =
            Caller { access_key_id: "test".into(), ..Caller::root(Partition::Aws, self.account) };
        Cx::new(CxParts {
            request_id: self.entropy.uuid().into(),
            caller: Arc::new(caller),
            account: self.account,
            region: Region::us_east_1(),
            http: HttpInfo { host: "localhost".into(), ..HttpInfo::default() },
            service: model,
            operation,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&self.entropy) as Arc<dyn Entropy>,
            door: Arc::clone(&self.door) as Arc<dyn Door>,
        })
    }

    /// Does all jobs of a service that are due, and says how many attempts that took.
    pub fn run_jobs(&self, service: &dyn Service) -> usize {
        let mut jobs = Jobs::new(self.store.clone());
        let with = Background {
            entropy: Arc::clone(&self.entropy) as Arc<dyn Entropy>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            door: Arc::clone(&self.door) as Arc<dyn Door>,
            store: self.store.clone(),
        };
        service.hooks().jobs(&mut jobs, &with);
        let worked = |_: &usize| {
            let step = jobs.step();
            let errand = block_on(jobs.errand());
            step == Step::Worked || errand == Step::Worked
        };
        let attempts = (0..).take_while(worked).count();
        let parked = self.store.read(|tx| jobs.parked(tx, 1)).expect("rows decode");
        assert!(parked.is_empty(), "a job failed: {parked:?}");
        attempts
    }

    /// Calls an operation without a body.
    pub fn call<O: Struct>(
        &self,
        service: &dyn Service,
        operation: &str,
        input: &dyn Struct,
    ) -> Result<O, Error> {
        self.send(service, operation, input, Bytes::new()).map(|outcome| outcome.output)
    }

    /// Calls an operation with a body, as the gateway does.
    pub fn send<O: Struct>(
        &self,
        service: &dyn Service,
        operation: &str,
        input: &dyn Struct,
        body: Bytes,
    ) -> Result<Outcome<O>, Error> {
        let (reply, status) = self.run(service, operation, input, body)?;
        let Reply { output, body, .. } = reply;
        let output = (output as Box<dyn Any>).downcast::<O>().expect("the operation's output");
        Ok(Outcome { output: *output, body: collect(body)?, status })
    }

    /// The same for an operation of which it is not known what it gives.
    pub(crate) fn run(
        &self,
        service: &dyn Service,
        operation: &str,
        input: &dyn Struct,
        body: Bytes,
    ) -> Result<Answered, Error> {
        let cx = self.cx(service, operation);
        let index = cx.operation.index;
        let served = cx.operation.served.as_ref().expect("a served operation");
        let asks = match &served.auth {
            Auth::Open | Auth::Unsigned => Vec::new(),
            Auth::Code => service.authorize(index, &cx, input)?,
            Auth::Rules(rules) => {
                let ask = |r: &smithy::model::AuthRule| {
                    Ask::new(r.action, resource(&cx, r.resource, input))
                };
                rules.iter().map(ask).collect()
            }
        };
        Ok(match served.kind {
            Kind::Async => {
                let cx = AsyncCx::new(cx, self.store.clone(), asks, RequestBody::from_bytes(body));
                let reply = block_on(service.start(index, &cx, input))?;
                let status = reply.status;
                (reply, status)
            }
            Kind::Read => {
                let output = self.store.read(|tx| {
                    asks.iter().try_for_each(|ask| cx.authorize(tx, ask))?;
                    service.read(index, tx, &cx, input)
                })?;
                (Reply::new(output), cx.take_status())
            }
            Kind::Write => {
                let output = block_on(self.store.write(|tx| {
                    asks.iter().try_for_each(|ask| cx.authorize(tx, ask))?;
                    service.write(index, tx, &cx, input)
                }))?;
                (Reply::new(output), cx.take_status())
            }
        })
    }
}

fn resource(cx: &Cx, pieces: &[Piece], input: &dyn Struct) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => (*text).to_owned(),
        Piece::Partition => cx.partition().as_str().to_owned(),
        Piece::Region => cx.region.to_string(),
        Piece::Account => cx.account.to_string(),
        Piece::Member(index) => match input.field(usize::from(*index)).value() {
            Value::Str(text) => text.to_owned(),
            _ => String::new(),
        },
    };
    pieces.iter().map(piece).collect()
}

fn collect(body: Body) -> Result<Bytes, Error> {
    match body {
        Body::Empty => Ok(Bytes::new()),
        Body::Bytes(bytes) => Ok(bytes),
        Body::Stream(_, mut stream) => block_on(async {
            let mut all = Vec::new();
            while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                all.extend_from_slice(&piece?);
            }
            Ok(all.into())
        }),
    }
}

/// Allows all but the actions that a test forbids, and remembers what was asked.
#[derive(Debug, Default)]
pub struct TestDoor {
    pub forbidden: Mutex<BTreeSet<&'static str>>,
    pub asked: Mutex<Vec<Ask>>,
}

impl Door for TestDoor {
    fn authorize(&self, _: &Tx, _: &Cx, ask: &Ask) -> Result<(), Error> {
        self.asked.lock().expect("no panic while held").push(ask.clone());
        if self.forbidden.lock().expect("no panic while held").contains(&*ask.action) {
            return Err(Error::with_code("AccessDenied", 403, "Access Denied"));
        }
        Ok(())
    }

    fn audit(
        &self,
        _: &mut Tx,
        _: &Cx,
        _: &dyn Struct,
        _: Option<&dyn Struct>,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn seal_token(&self, context: &str, place: &str) -> String {
        base::hex::encode(format!("{context}\n{place}").as_bytes())
    }

    fn open_token(&self, context: &str, token: &str) -> Option<String> {
        let text = String::from_utf8(base::hex::decode(token.as_bytes())?).ok()?;
        text.strip_prefix(context)?.strip_prefix('\n').map(str::to_owned)
    }

    fn call(
        &self,
        _: &mut Tx,
        _: &Cx,
        _: Arc<Caller>,
        service: &str,
        operation: &str,
        _: &dyn Struct,
    ) -> Result<Box<dyn Struct>, Error> {
        Err(Error::internal(format!("no {service}:{operation} in this world")))
    }
}
