//! Operations against a store in memory, a fixed clock and a door that lets everybody in; and what
//! each operation asks for.

mod access;
mod account;
mod credentials;
mod groups;
mod managed;
mod providers;
mod roles;
mod simulation;
mod users;

use crate::Iam;
use api::{Ask, AsyncCx, Caller, Cx, CxParts, Door, Error, HttpInfo, Reply, RequestBody, Tx};
use base::{AccountId, ManualClock, Partition, Region, SeededEntropy, Timestamp};
use gen_iam::MODEL;
use policy::Principal;
use smithy::Struct;
use std::sync::Arc;
use store::Store;

pub(crate) const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
pub(crate) const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;

#[derive(Debug)]
struct Open;

impl Door for Open {
    fn authorize(&self, _: &Tx, _: &Cx, _: &Ask) -> Result<(), Error> {
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

    /// Readable, so that tests see what is sealed; still bound to its context.
    fn seal_token(&self, context: &str, place: &str) -> String {
        format!("{context}|{place}")
    }

    fn open_token(&self, context: &str, token: &str) -> Option<String> {
        Some(token.strip_prefix(context)?.strip_prefix('|')?.to_owned())
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
        Err(Error::internal(format!("nobody calls {service}:{operation} here")))
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    pub(crate) iam: Iam,
    pub(crate) account: AccountId,
    pub(crate) caller: Principal,
    name: &'static str,
}

impl World {
    /// As root of the account.
    pub(crate) fn new() -> World {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let entropy = Arc::new(SeededEntropy::new(7));
        let store = Store::memory(clock.clone(), entropy.clone());
        let account = AccountId::parse("111122223333").expect("an account");
        let caller = Principal::root(Partition::Aws, account);
        World { store, clock, entropy, iam: Iam, account, caller, name: "" }
    }

    pub(crate) fn for_user(mut self, name: &'static str) -> World {
        let arn = format!("arn:aws:iam::{}:user/{name}", self.account);
        self.caller = Principal::user(self.account, arn);
        self.name = name;
        self
    }

    pub(crate) fn cx(&self, operation: &str) -> Cx {
        let caller = Caller {
            access_key_id: "AKIA".into(),
            name: self.name.into(),
            ..Caller::bare(self.caller.clone(), Some(self.account), "id")
        };
        Cx::new(CxParts {
            request_id: "r".into(),
            caller: Arc::new(caller),
            account: self.account,
            region: Region::us_east_1(),
            http: HttpInfo::default(),
            service: &MODEL,
            operation: MODEL.operation(operation).expect("an operation of IAM"),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            door: Arc::new(Open),
        })
    }

    pub(crate) fn write<R>(
        &self,
        operation: &str,
        run: impl Fn(&Iam, &mut Tx, &Cx) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let cx = self.cx(operation);
        let mut commit = std::pin::pin!(self.store.write(|tx| run(&self.iam, tx, &cx)));
        let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
        match commit.as_mut().poll(&mut waker) {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => panic!("a store in memory does not wait"),
        }
    }

    /// For an async operation.
    pub(crate) fn async_cx(&self, operation: &str) -> AsyncCx {
        let asks = vec![Ask::new("iam:Any", "*")];
        AsyncCx::new(self.cx(operation), self.store.clone(), asks, RequestBody::empty())
    }

    pub(crate) fn read<R>(
        &self,
        operation: &str,
        run: impl Fn(&Iam, &Tx, &Cx) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let cx = self.cx(operation);
        self.store.read(|tx| run(&self.iam, tx, &cx))
    }
}

/// Runs an operation of the service: `call!(world write create_user CreateUser { user_name: .. })`.
macro_rules! call {
    ($world:ident $kind:ident $method:ident $input:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let name = stringify!($input).strip_suffix("Input").expect("an input");
        #[allow(clippy::needless_update, reason = "some inputs have no other members")]
        let input = gen_iam::$input { $($field: $value.into(),)* ..Default::default() };
        $world.$kind(name, |iam, tx, cx| gen_iam::IAMApi::$method(iam, tx, cx, &input))
    }};
}
pub(crate) use call;

/// What an async operation answers.
pub(crate) fn finish<R>(future: impl Future<Output = Result<Reply<R>, Error>>) -> Result<R, Error> {
    let mut future = std::pin::pin!(future);
    let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut waker) {
        std::task::Poll::Ready(result) => result.map(|reply| reply.output),
        std::task::Poll::Pending => panic!("a store in memory does not wait"),
    }
}

/// The refusal's code and message.
#[track_caller]
pub(crate) fn refused<R>(result: Result<R, Error>, code: &str, message: &str) {
    match result {
        Ok(_) => panic!("went through, but should be {code}: {message}"),
        Err(error) => assert_eq!((error.code(), error.message()), (code, message)),
    }
}

#[track_caller]
pub(crate) fn fine<R>(result: Result<R, Error>) -> R {
    result.unwrap_or_else(|error| panic!("{error:?}"))
}
