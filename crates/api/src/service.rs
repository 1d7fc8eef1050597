//! The untyped door of a service, and the pieces that generated dispatch is made of.

use crate::{Access, AccessPoint, AsyncCx, Background, Body, Cx, Error, NamedPolicy};
use base::{AccountId, Region};
use policy::ResourceRole;
use smithy::model::{Operation, ServiceModel};
use smithy::{Headers, Struct};
use std::any::Any;
use std::borrow::Cow;
use std::pin::Pin;
use store::{Jobs, Tx};

/// What an operation gives back, untyped.
pub type Answer = Result<Box<dyn Struct>, Error>;
/// A running async operation.
pub type Started<'a> =
    Pin<Box<dyn Future<Output = Result<Reply<Box<dyn Struct>>, Error>> + Send + 'a>>;

/// A service as the gateway sees it. Generated for every implementation of a service trait.
pub trait Service: Send + Sync + 'static {
    fn model(&self) -> &'static ServiceModel;
    fn hooks(&self) -> &dyn Hooks;
    fn read(&self, operation: u16, tx: &Tx, cx: &Cx, input: &dyn Struct) -> Answer;
    fn write(&self, operation: u16, tx: &mut Tx, cx: &Cx, input: &dyn Struct) -> Answer;
    fn start<'a>(&'a self, operation: u16, cx: &'a AsyncCx, input: &'a dyn Struct) -> Started<'a>;
    /// The list for operations whose overlay says `auth = "code"`.
    fn authorize(&self, operation: u16, cx: &Cx, input: &dyn Struct) -> Result<Vec<Ask>, Error>;
}

/// One thing that must be allowed: an action on a resource.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `s3:GetObject`.
    pub action: Cow<'static, str>,
    /// An ARN, or `*` for actions without a resource.
    pub resource: String,
    pub context: AskContext,
}

/// Condition keys of one ask beyond those of the request: lower-case names and their values.
pub type AskContext = Vec<(Cow<'static, str>, Vec<String>)>;

impl Ask {
    pub fn new(action: impl Into<Cow<'static, str>>, resource: impl Into<String>) -> Ask {
        Ask { action: action.into(), resource: resource.into(), context: Vec::new() }
    }

    /// Adds a condition key (lower-case) where there is a value for it.
    pub fn key(mut self, name: &'static str, value: Option<impl Into<String>>) -> Ask {
        if let Some(value) = value {
            self.context.push((name.into(), vec![value.into()]));
        }
        self
    }
}

/// What the resource itself says about who may use it. Build it with `..Grants::default()`.
#[derive(Clone, Default, Debug)]
pub struct Grants {
    /// The account that owns the resource; `None` for what belongs to the caller's own.
    pub owner: Option<AccountId>,
    /// The resource-based policy.
    pub policy: Option<NamedPolicy>,
    /// Whether that policy adds to what identities are allowed (a bucket's), or nothing goes without
    /// it (a role's trust policy, a key's).
    pub role: ResourceRole,
    /// The resource's true ARN, where the input could not tell it: the path of an IAM user. It is
    /// what policies are held against and what a refusal names.
    pub resource: Option<String>,
    /// Condition keys that only the resource knows, its tags above all.
    pub context: AskContext,
    /// Where the request came through an access point.
    pub through: Option<Through>,
}

/// An access point on the way to a resource. Callers and their policies are held against it; the
/// resource's own policy may then still refuse, and must allow where the resource is another account's.
#[derive(Clone, Debug)]
pub struct Through {
    /// The resource's ARN as seen through the access point.
    pub resource: String,
    pub owner: AccountId,
    pub policy: Option<NamedPolicy>,
}

/// What a page of another origin asks for: its origin, the method, and in a preflight the names of
/// the headers that it wants to send.
#[derive(Clone, Copy, Debug)]
pub struct CrossOrigin<'a> {
    pub origin: &'a str,
    pub method: &'a str,
    pub headers: &'a [&'a str],
}

/// What the rules of a bucket say to that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OriginAnswer {
    NoBucket,
    NoRules,
    /// There are rules, and none lets it.
    NoneFits,
    Rule(OriginRule),
}

/// The rule that lets it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OriginRule {
    /// `*` where the rule is for every origin; else the origin, which may then send credentials.
    pub origin: String,
    pub methods: Vec<String>,
    /// Of the headers asked for, all of which are allowed.
    pub headers: Vec<String>,
    pub exposed: Vec<String>,
    pub max_age_secs: Option<i32>,
}

/// A request to a website host.
#[derive(Clone, Copy, Debug)]
pub struct WebRequest<'a> {
    pub bucket: &'a str,
    /// The path without its first slash, decoded.
    pub key: &'a str,
    /// As on the wire.
    pub query: &'a str,
    /// As the client named it, with the port.
    pub host: &'a str,
    pub secure: bool,
}

/// What a website host does about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WebAnswer {
    /// Shows the object; if there is none and `folder` is one, the client goes to the folder.
    Object {
        key: String,
        folder: Option<String>,
    },
    Redirect {
        status: u16,
        location: String,
    },
}

/// What a website host shows where an object could not be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WebFailure {
    Redirect {
        status: u16,
        location: String,
    },
    /// The object of that key, with the status of the failure.
    Document {
        key: String,
    },
    /// A page that says what went wrong.
    Plain,
}

/// What an endpoint does before it looks at who asks for what.
#[derive(Clone, Copy, Default, Debug)]
pub struct DoorRules {
    /// A plain `GET /` is answered with `healthy: ` and the name that was asked.
    pub greets: bool,
    /// Request line and headers together may be no larger each; 400 otherwise.
    pub head_bytes_max: Option<usize>,
}

/// What a service adds to what the gateway does for all: to authorisation, and to the checks of a body.
pub trait Hooks: Send + Sync {
    /// Whether anything of the service is done. One that is known by its model alone answers 501 to
    /// each operation, and nobody is told that it is there.
    fn is_there(&self) -> bool {
        true
    }

    /// Looked up in the operation's own snapshot. May answer that the resource does not exist, where
    /// the original service says so before it says that access is denied.
    #[allow(unused_variables)]
    fn grants(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<Grants, Error> {
        Ok(Grants::default())
    }

    /// Whether an access control list allows it (S3). Asked only where no policy decides: it counts
    /// like an allow in a resource policy, and an explicit deny beats it.
    #[allow(unused_variables)]
    fn acl_allows(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<bool, Error> {
        Ok(false)
    }

    /// Holds a body that is read whole against what its request declares of it in headers, or after it
    /// in trailers, before it is decoded.
    #[allow(unused_variables)]
    fn check_body(
        &self,
        operation: &'static Operation,
        headers: &dyn Headers,
        body: &[u8],
        trailers: &[(String, String)],
    ) -> Result<(), Error> {
        Ok(())
    }

    /// What the service's endpoint does before it looks at a request.
    fn door_rules(&self) -> DoorRules {
        DoorRules::default()
    }

    /// What the rules of a bucket (S3) let a page of another origin do with it.
    #[allow(unused_variables)]
    fn cross_origin(
        &self,
        tx: &Tx,
        bucket: &str,
        asked: &CrossOrigin<'_>,
    ) -> Result<OriginAnswer, Error> {
        Ok(OriginAnswer::NoRules)
    }

    /// What a website host (S3) answers: where to look, or where to go instead.
    #[allow(unused_variables)]
    fn website(&self, tx: &Tx, asked: &WebRequest<'_>) -> Result<WebAnswer, Error> {
        Err(Error::with_code("NoSuchWebsiteConfiguration", 404, "There are no websites here"))
    }

    /// What it shows where that could not be had.
    #[allow(unused_variables)]
    fn website_failed(
        &self,
        tx: &Tx,
        asked: &WebRequest<'_>,
        status: u16,
    ) -> Result<WebFailure, Error> {
        Ok(WebFailure::Plain)
    }

    /// Says how the service's jobs are done: called once, when the cloud starts.
    #[allow(unused_variables)]
    fn jobs(&self, jobs: &mut Jobs, with: &Background) {}

    /// Part of the transaction that empties an account: removes what stands elsewhere than in the
    /// account's own scopes. All in those goes with that commit, but for rows of the tables whose numbers
    /// are given back: those the service's jobs take away, since they refer to bytes.
    #[allow(unused_variables)]
    fn forget_account(&self, tx: &mut Tx, account: AccountId) -> Result<Vec<u16>, Error> {
        Ok(Vec::new())
    }

    /// The access point (S3) that is meant by what stands where a bucket's name would; `None` if it is
    /// a bucket's name after all.
    #[allow(unused_variables)]
    fn access_point(
        &self,
        tx: &Tx,
        given: &str,
        region: &Region,
    ) -> Result<Option<AccessPoint>, Error> {
        Ok(None)
    }

    /// Whether a bucket (S3) keeps a log of its requests. Asked only of those that were refused: the
    /// others note it themselves ([`Cx::touch`]).
    #[allow(unused_variables)]
    fn logs_accesses(&self, tx: &Tx, bucket: &str) -> bool {
        false
    }

    /// Keeps requests for the logs of their buckets (S3).
    #[allow(unused_variables)]
    fn log_accesses(&self, tx: &mut Tx, accesses: &[Access]) -> Result<(), Error> {
        Ok(())
    }

    /// Condition keys that an operation's input gives, for rules in the overlay.
    #[allow(unused_variables)]
    fn context(&self, operation: &str, cx: &Cx, input: &dyn Struct, ask: &mut Ask) {}

    /// Whether the service has given out that host name (a distribution's, an environment's), which
    /// then leads here.
    #[allow(unused_variables)]
    fn has_host(&self, tx: &Tx, name: &str) -> bool {
        false
    }
}

/// The output of an async operation with the body that flows.
#[derive(Debug)]
pub struct Reply<T> {
    pub output: T,
    pub body: Body,
    /// In place of the operation's usual status: 206 for a range.
    pub status: Option<u16>,
}

impl<T> Reply<T> {
    pub fn new(output: T) -> Reply<T> {
        Reply { output, body: Body::Empty, status: None }
    }

    pub fn with_body(output: T, body: Body) -> Reply<T> {
        Reply { output, body, status: None }
    }
}

/// The typed input behind the untyped one. Generated code alone calls it, with the operation's own
/// type; anything else is a bug.
pub fn cast<T: Struct>(input: &dyn Struct) -> &T {
    (input as &dyn Any).downcast_ref().expect("the input type of the operation")
}

pub fn answer<T: Struct>(result: Result<T, Error>) -> Answer {
    result.map(|output| Box::new(output) as Box<dyn Struct>)
}

/// The end of an async operation. Not a wrapper around its future: that would hold it twice, and it
/// is moved for each request.
pub fn started<T: Struct>(
    result: Result<Reply<T>, Error>,
) -> Result<Reply<Box<dyn Struct>>, Error> {
    let Reply { output, body, status } = result?;
    Ok(Reply { output: Box::new(output) as Box<dyn Struct>, body, status })
}

pub fn not_started<'a>(operation: u16) -> Started<'a> {
    Box::pin(async move { Err(Error::wrong_kind(operation)) })
}
