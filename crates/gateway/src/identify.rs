//! Which service a request is for, and in which protocol it speaks.
//!
//! In this order: the service in the credential scope, the `X-Amz-Target` header, the host name, the
//! path (rpcv2Cbor), the version in a query; S3 for all else, since its paths can be anything.

use crate::encode::HeaderNames;
use crate::head::Head;
use crate::host::{self, HostStyle};
use crate::metrics::OperationMetrics;
use crate::selected;
use api::Service;
use base::{Entropy, percent};
use smithy::model::{Operation, Protocol, ServiceModel};
use smithy::shape::Shape;
use smithy::{Slot, Struct, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How all paths of S3 Control begin.
const S3_CONTROL_PATH: &str = "/v20180820/";

/// What is worked out once for a served operation.
pub(crate) struct Prepared {
    pub metrics: OperationMetrics,
    /// Members of the input that are answered with 501.
    pub refused: Vec<usize>,
    /// Members of the input that get a fresh token where they are left out.
    tokens: Vec<usize>,
    /// The body goes to the operation as it flows.
    pub streams: bool,
    pub header_names: HeaderNames,
}

impl Prepared {
    /// A token that the client left out is a fresh one: the call is like no other.
    pub fn fill_tokens(&self, input: &mut dyn Struct, entropy: &dyn Entropy) {
        for &index in &self.tokens {
            let field = input.field_mut(index);
            if matches!(field.value(), Value::Absent)
                && let Slot::Str(text) = field.slot()
            {
                *text = entropy.uuid();
            }
        }
    }
}

/// A service behind the gateway.
pub(crate) struct Entry {
    pub service: Arc<dyn Service>,
    pub model: &'static ServiceModel,
    pub is_s3: bool,
    /// Of S3: see [`selected`].
    pub selecting: BTreeSet<&'static str>,
    /// S3 and S3 Control: requests are signed, and answers identified, as S3's are.
    pub as_s3: bool,
    /// By [`Operation::index`]; `None` for those that are not served.
    prepared: Vec<Option<Box<Prepared>>>,
}

/// All services, and how to find them.
pub(crate) struct Directory {
    entries: Vec<Entry>,
    by_signing_name: BTreeMap<&'static str, Vec<usize>>,
    by_endpoint: BTreeMap<&'static str, usize>,
    by_target: BTreeMap<&'static str, usize>,
    by_action: BTreeMap<&'static str, usize>,
    s3: Option<usize>,
    s3_control: Option<usize>,
    /// Further names under which this cloud is known.
    pub host_names: Vec<String>,
}

/// What a request turned out to be for.
#[derive(Clone, Copy)]
pub(crate) struct Target<'d, 'h> {
    pub entry: &'d Entry,
    pub host: HostStyle<'h>,
}

fn prepare(operation: &'static Operation) -> Option<Box<Prepared>> {
    let served = operation.served.as_ref()?;
    let place = |name: &&str| served.input.by_name(name).map(|(index, _)| index);
    let streams = served.input.payload.is_some_and(|index| {
        let shape = &served.input.members[usize::from(index)].shape;
        matches!(shape, Shape::Stream | Shape::Events(_))
    });
    let refused = served.refused.iter().filter_map(place).collect();
    let members = served.input.members.iter().enumerate();
    let tokens = members.filter(|(_, member)| member.idempotency_token).map(|(i, _)| i).collect();
    let header_names = HeaderNames::of(served.output);
    let metrics = OperationMetrics::default();
    Some(Box::new(Prepared { metrics, refused, tokens, streams, header_names }))
}

impl Entry {
    pub fn new(service: Arc<dyn Service>) -> Entry {
        let model = service.model();
        let prepared = model.operations.iter().map(prepare).collect();
        let is_s3 = model.name == "s3";
        let selecting = match is_s3 {
            true => selected::selecting(model),
            false => BTreeSet::new(),
        };
        Entry { service, model, is_s3, selecting, as_s3: model.signing_name == "s3", prepared }
    }

    pub fn prepared(&self, operation: &Operation) -> Option<&Prepared> {
        self.prepared.get(usize::from(operation.index))?.as_deref()
    }

    /// Served operations with their metrics.
    pub fn served(&self) -> impl Iterator<Item = (&'static Operation, &Prepared)> {
        self.model.operations.iter().filter_map(|op| Some((op, self.prepared(op)?)))
    }

    /// The protocol that this request speaks, among those of the service.
    pub fn protocol(&self, head: &Head<'_>) -> Protocol {
        use Protocol::{AwsJson10, AwsJson11, AwsQuery, Ec2Query, RpcV2Cbor};
        let all = self.model.protocols;
        let first = all.first().copied().unwrap_or(Protocol::RestXml);
        if all.len() < 2 {
            return first;
        }
        let pick = |wanted: &[Protocol]| all.iter().copied().find(|p| wanted.contains(p));
        let found = if head.text("smithy-protocol") == Some("rpc-v2-cbor") {
            pick(&[RpcV2Cbor])
        } else if head.header("x-amz-target").is_some() {
            let older = head.has_media_type("application/x-amz-json-1.0");
            pick(if older { &[AwsJson10] } else { &[AwsJson11] }).or(pick(&[AwsJson10, AwsJson11]))
        } else if head.is_form() || head.query_value("Action").is_some() {
            pick(&[AwsQuery, Ec2Query])
        } else {
            None
        };
        found.unwrap_or(first)
    }
}

impl Directory {
    /// Of two services with the same name the first is found.
    pub fn new(services: Vec<Arc<dyn Service>>, host_names: Vec<String>) -> Directory {
        let entries: Vec<Entry> = services.into_iter().map(Entry::new).collect();
        let mut own = Directory {
            by_signing_name: BTreeMap::new(),
            by_endpoint: BTreeMap::new(),
            by_target: BTreeMap::new(),
            by_action: BTreeMap::new(),
            s3: entries.iter().position(|e| e.is_s3),
            s3_control: entries.iter().position(|e| e.as_s3 && !e.is_s3),
            host_names,
            entries: Vec::new(),
        };
        for (index, entry) in entries.iter().enumerate() {
            let model = entry.model;
            own.by_signing_name.entry(model.signing_name).or_default().push(index);
            own.by_endpoint.entry(model.endpoint_prefix).or_insert(index);
            own.by_action.entry(model.action_prefix).or_insert(index);
            if let Some(prefix) = model.target_prefix {
                own.by_target.entry(prefix).or_insert(index);
            }
        }
        own.entries = entries;
        own
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn by_name(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.model.name == name)
    }

    pub fn by_model(&self, model: &'static ServiceModel) -> Option<&Entry> {
        self.entries.iter().find(|entry| std::ptr::eq(entry.model, model))
    }

    /// Whether a service is reached by that first part of a host name.
    pub fn has_endpoint(&self, prefix: &str) -> bool {
        self.by_endpoint.contains_key(prefix)
    }

    /// The service whose actions begin so.
    pub fn by_action_prefix(&self, prefix: &str) -> Option<&Entry> {
        self.by_action.get(prefix).map(|index| &self.entries[*index])
    }

    /// `None`: no service here is meant. `scope_service` is what the credential scope names.
    pub fn identify<'d, 'h>(
        &'d self,
        head: &'h Head<'_>,
        scope_service: Option<&str>,
    ) -> Option<Target<'d, 'h>> {
        let host = host::parse(&head.host, &self.host_names);
        // Its host names begin with an account, which could be a bucket; S3 has no such header.
        let is_control = head.path.starts_with(S3_CONTROL_PATH)
            && head.header("x-amz-account-id").is_some()
            && scope_service.is_none_or(|name| name == "s3");
        if let Some(index) = self.s3_control.filter(|_| is_control) {
            return Some(Target { entry: &self.entries[index], host: HostStyle::Plain });
        }
        let index = match scope_service {
            Some(name) => self.by_scope(name, head, host),
            None => self.by_look(head, host).or(self.s3),
        }?;
        let entry = &self.entries[index];
        let host = if entry.is_s3 { as_bucket(host, &head.host) } else { host };
        Some(Target { entry, host })
    }

    fn by_scope(&self, name: &str, head: &Head<'_>, host: HostStyle<'_>) -> Option<usize> {
        match self.by_signing_name.get(name)?.as_slice() {
            [only] => Some(*only),
            several => {
                let looks = self.by_look(head, host).filter(|index| several.contains(index));
                looks.or(several.first().copied())
            }
        }
    }

    fn by_look(&self, head: &Head<'_>, host: HostStyle<'_>) -> Option<usize> {
        if let Some((prefix, _)) = head.text("x-amz-target").and_then(|t| t.rsplit_once('.')) {
            return self.by_target.get(prefix).copied();
        }
        match host {
            HostStyle::Bucket { .. } | HostStyle::Website { .. } => return self.s3,
            HostStyle::Service { prefix, .. } => {
                if let Some(index) = self.by_endpoint.get(prefix) {
                    return Some(*index);
                }
            }
            HostStyle::Plain | HostStyle::Foreign => {}
        }
        if let Some(rest) = head.path.strip_prefix("/service/")
            && head.text("smithy-protocol") == Some("rpc-v2-cbor")
        {
            let id = rest.split('/').next().unwrap_or("");
            let id = String::from_utf8_lossy(&percent::decode(id)).into_owned();
            return self.entries.iter().position(|e| e.model.service_id == id);
        }
        let version = head.query_value("Version").filter(|_| head.query_value("Action").is_some());
        version.and_then(|version| self.by_version(version))
    }

    /// The query service of that API version: what an anonymous form is for.
    pub fn by_version(&self, version: &str) -> Option<usize> {
        self.entries.iter().position(|entry| {
            let model = entry.model;
            let query = [Protocol::AwsQuery, Protocol::Ec2Query];
            model.api_version == version && query.iter().any(|p| model.protocols.contains(p))
        })
    }

    pub fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }
}

/// Below `localhost` a first label that names no service of ours is a bucket, even if it could be an
/// endpoint's: the credential scope has said that S3 is meant.
fn as_bucket<'h>(style: HostStyle<'h>, host: &'h str) -> HostStyle<'h> {
    match style {
        HostStyle::Service { prefix, region: None }
            if prefix != "s3" && host.ends_with(".localhost") =>
        {
            HostStyle::Bucket { bucket: prefix, region: None }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SeededEntropy;

    #[test]
    fn tokens_that_are_left_out() {
        let operation = gen_ec2::MODEL.operation("RunInstances").unwrap();
        let prepared = prepare(operation).unwrap();
        let entropy = SeededEntropy::new(3);
        let fill = |given: Option<&str>| {
            let mut input = gen_ec2::RunInstancesInput {
                client_token: given.map(str::to_owned),
                ..gen_ec2::RunInstancesInput::default()
            };
            prepared.fill_tokens(&mut input, &entropy);
            (input.client_token.unwrap(), input.additional_info)
        };
        let (first, second) = (fill(None).0, fill(None).0);
        assert_eq!((first.len(), second.len()), (36, 36));
        assert_ne!(first, second);
        assert_eq!(fill(Some("mine")), ("mine".to_owned(), None));
        assert_eq!(fill(Some("")), (String::new(), None));
    }
}
