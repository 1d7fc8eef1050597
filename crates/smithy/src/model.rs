//! The static description of a service: its operations, how requests find them, and what each must
//! be allowed to do.

pub use crate::route::Routes;
use crate::shape::{ErrorShape, StructShape};
use crate::value::Struct;

/// A wire protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Protocol {
    AwsJson10,
    AwsJson11,
    AwsQuery,
    Ec2Query,
    RestJson1,
    RestXml,
    RpcV2Cbor,
}

/// One service, as generated from its model and overlay.
#[derive(Debug)]
pub struct ServiceModel {
    /// The folder name here: `s3`, `iam`.
    pub name: &'static str,
    /// The service id of the model: `S3`, `DynamoDB`; rpcv2Cbor paths carry it.
    pub service_id: &'static str,
    /// What a credential scope calls it.
    pub signing_name: &'static str,
    /// First labels of its host names: `s3`, `monitoring`.
    pub endpoint_prefix: &'static str,
    /// The prefix of its IAM actions.
    pub action_prefix: &'static str,
    pub api_version: &'static str,
    /// `X-Amz-Target` values begin with this and a dot.
    pub target_prefix: Option<&'static str>,
    pub xml_namespace: Option<&'static str>,
    /// All protocols that are served, the preferred one first.
    pub protocols: &'static [Protocol],
    /// A JSON service that once spoke query: errors carry `x-amzn-query-error`.
    pub query_compatible: bool,
    /// Responses carry the CRC-32 of their body in `x-amz-crc32`.
    pub crc32: bool,
    /// Times in query responses have no fraction of a second (IAM, STS).
    pub whole_seconds: bool,
    /// Whether constraints of the model are checked in the gateway, with the generic texts. S3 words
    /// each of its own.
    pub validate: bool,
    /// Every operation of the model, served or not, sorted by name.
    pub operations: &'static [Operation],
    /// Made from the operations when first used: `Routes::new()`.
    pub routes: Routes,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    pub name: &'static str,
    /// Its place in [`ServiceModel::operations`].
    pub index: u16,
    pub http: HttpRule,
    /// `None`: not served, answered 501 with its name.
    pub served: Option<Served>,
}

/// What is generated for a served operation alone.
#[derive(Debug)]
pub struct Served {
    pub kind: Kind,
    pub input: &'static StructShape,
    pub output: &'static StructShape,
    pub new_input: fn() -> Box<dyn Struct>,
    pub errors: &'static [&'static ErrorShape],
    /// The element around an awsQuery result.
    pub result_wrapper: Option<&'static str>,
    /// HTTP status of a success where it is not 200.
    pub status: u16,
    pub auth: Auth,
    /// Members of the input that the service refuses with 501, by name.
    pub refused: &'static [&'static str],
    /// Members that are kept and given back but change nothing, by name. All others are acted on.
    pub stored: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A function over a snapshot.
    Read,
    /// A function over a transaction.
    Write,
    /// Bodies or waits: async, opens its own transactions through its context.
    Async,
}

/// What must be allowed before an operation runs.
#[derive(Debug)]
pub enum Auth {
    /// Filled from the input: every rule must be allowed.
    Rules(&'static [AuthRule]),
    /// The service derives the list from the input in `authorize_<operation>`.
    Code,
    /// Nobody needs a permission for it: `sts:GetCallerIdentity`.
    Open,
    /// Not even a signature: what the request carries proves who asks, and the operation itself finds
    /// that out and asks for permission (`sts:AssumeRoleWithWebIdentity`).
    Unsigned,
}

impl Auth {
    /// Whether nothing must be allowed before the operation runs.
    pub fn is_open(&self) -> bool {
        matches!(self, Auth::Open | Auth::Unsigned)
    }
}

/// One action on one resource.
#[derive(Debug)]
pub struct AuthRule {
    pub action: &'static str,
    pub resource: &'static [Piece],
}

/// A piece of a resource template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    Text(&'static str),
    /// The input member with that index, as text.
    Member(u16),
    Partition,
    Region,
    Account,
}

/// Method, path and what else picks an operation in the REST protocols.
#[derive(Debug)]
pub struct HttpRule {
    pub method: &'static str,
    pub path: &'static [Segment],
    /// Query parameters that must be there, with a value if one is given.
    pub query: &'static [(&'static str, Option<&'static str>)],
    /// Headers that must be there (lower-case).
    pub headers: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segment {
    Text(&'static str),
    Label(&'static str),
    /// The rest of the path, slashes included; at least one character.
    Greedy(&'static str),
}

impl ServiceModel {
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        let at = self.operations.binary_search_by(|o| o.name.cmp(name)).ok()?;
        Some(&self.operations[at])
    }
}
