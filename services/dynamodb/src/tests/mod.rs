//! Operations as a client sees them: JSON in, JSON or an error out, on a store in memory.

mod backups;
mod collections;
mod expire;
mod indexes;
mod items;
mod large;
mod model;
mod partiql;
mod permissions;
mod queries;
mod reference;
mod streams;
mod tables;
mod throttle;
mod transactions;
mod transfer;

use crate::{DynamoDb, Streams};
use api::testing::World;
use api::{Error, Service};
use bytes::Bytes;
use smithy::model::{Kind, Protocol};
use smithy::{Headers, Request, Struct};
use store::blobs::block_on;

struct NoHeaders;

impl Headers for NoHeaders {
    fn get(&self, _: &str) -> Option<&[u8]> {
        None
    }
    fn each(&self, _: &mut dyn FnMut(&str, &[u8])) {}
}

struct Db {
    world: World,
    tables: gen_dynamodb::Handler<DynamoDb>,
    streams: gen_dynamodbstreams::Handler<Streams>,
}

impl Db {
    fn new() -> Db {
        Db {
            world: World::default(),
            tables: gen_dynamodb::Handler(DynamoDb::default()),
            streams: gen_dynamodbstreams::Handler(Streams),
        }
    }

    /// A table `t` with the hash key `p` (S) and, if asked for, the range key `c` (N).
    fn with_table(range: bool) -> Db {
        let db = Db::new();
        let (schema, definition) = match range {
            true => (
                r#",{"AttributeName":"c","KeyType":"RANGE"}"#,
                r#",{"AttributeName":"c","AttributeType":"N"}"#,
            ),
            false => ("", ""),
        };
        db.ok(
            "CreateTable",
            &format!(
                r#"{{"TableName":"tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}}{schema}],
                "AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}}{definition}]}}"#
            ),
        );
        db
    }

    fn run(&self, service: &dyn Service, operation: &str, json: &str) -> Result<String, Error> {
        let model = service.model();
        let served = model.operation(operation).and_then(|o| o.served.as_ref()).expect(operation);
        let mut input = (served.new_input)();
        let body = Bytes::copy_from_slice(json.as_bytes());
        let request = Request { labels: &[], query: &[], headers: &NoHeaders, body: &body };
        smithy::decode_request(Protocol::AwsJson10, model, &request, &mut *input)
            .map_err(|error| Error::with_code("ValidationException", 400, error.to_string()))?;
        let cx = self.world.cx(service, operation);
        let index = cx.operation.index;
        let asks = service.authorize(index, &cx, &*input)?;
        let output: Box<dyn Struct> = match served.kind {
            Kind::Read => self.world.store.read(|tx| {
                asks.iter().try_for_each(|ask| cx.authorize(tx, ask))?;
                service.read(index, tx, &cx, &*input)
            })?,
            Kind::Async => {
                let operation = cx.operation;
                let store = self.world.store.clone();
                let cx = api::AsyncCx::new(cx, store, asks, api::RequestBody::empty());
                let output = block_on(service.start(index, &cx, &*input))?.output;
                let encoded =
                    smithy::encode_response(Protocol::AwsJson10, model, operation, &*output, "");
                return Ok(String::from_utf8(encoded.body.to_vec()).expect("text"));
            }
            _ => block_on(self.world.store.write(|tx| {
                asks.iter().try_for_each(|ask| cx.authorize(tx, ask))?;
                service.write(index, tx, &cx, &*input)
            }))?,
        };
        let encoded =
            smithy::encode_response(Protocol::AwsJson10, model, cx.operation, &*output, "");
        Ok(String::from_utf8(encoded.body.to_vec()).expect("text"))
    }

    fn call(&self, operation: &str, json: &str) -> Result<String, Error> {
        self.run(&self.tables, operation, json)
    }

    fn ok(&self, operation: &str, json: &str) -> String {
        self.call(operation, json).unwrap_or_else(|error| panic!("{operation} {json}: {error}"))
    }

    fn stream(&self, operation: &str, json: &str) -> String {
        let outcome = self.run(&self.streams, operation, json);
        outcome.unwrap_or_else(|error| panic!("{operation} {json}: {error}"))
    }

    /// The answer, or code and text of the error.
    #[track_caller]
    fn check(&self, operation: &str, json: &str, expected: &str) {
        let shown = match self.call(operation, json) {
            Ok(answer) => answer,
            Err(error) => format!("{}: {}", error.code(), error.message()),
        };
        assert_eq!(shown, expected, "{operation} {json}");
    }

    /// A refusal as invalid.
    #[track_caller]
    fn refused(&self, operation: &str, json: &str, text: &str) {
        self.check(operation, json, &format!("ValidationException: {text}"));
    }

    fn put(&self, item: &str) {
        self.ok("PutItem", &format!(r#"{{"TableName":"tab","Item":{item}}}"#));
    }

    /// Makes so many attempts at jobs.
    fn steps(&self, count: usize) {
        let mut jobs = store::Jobs::new(self.world.store.clone());
        let with = api::Background {
            entropy: self.world.entropy.clone(),
            clock: self.world.clock.clone(),
            door: self.world.door.clone(),
            store: self.world.store.clone(),
        };
        self.tables.hooks().jobs(&mut jobs, &with);
        (0..count).for_each(|_| {
            jobs.step();
        });
    }

    /// Does what is due, some time later.
    fn later(&self, millis: i64) {
        self.world.clock.advance_ms(u32::try_from(millis).expect("a short time"));
        self.world.run_jobs(&self.tables);
    }
}

/// The text of a member, up to the next quote.
fn member<'a>(json: &'a str, name: &str) -> &'a str {
    let start = format!("\"{name}\":\"");
    let at = json.find(&start).unwrap_or_else(|| panic!("no {name} in {json}")) + start.len();
    json[at..].split('"').next().unwrap_or("")
}
