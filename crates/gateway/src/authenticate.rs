//! Who asks: the signature, the key behind it, and whether this peer may use that key.

use crate::encode::Ids;
use crate::gateway::{Gateway, Peer, Seen};
use crate::head::Head;
use crate::host::HostStyle;
use crate::identify::{Entry, Target};
use crate::keys;
use crate::payload::{Checked, RequestStream, refusal};
use crate::refuse;
use api::{Caller, Error};
use base::Region;
use base::limits::REQUEST_BODY_BYTES_MAX;
use bytes::Bytes;
use sigv4::{
    AuthError, Cause, ChunkDecoder, Expect, Payload, Place, Presented, Rules, SKEW_GENERAL_S,
    SKEW_S3_S,
};
use smithy::model::{Auth, Protocol};
use std::borrow::Cow;
use std::sync::Arc;

/// The most that is read of a body that nobody signed, outside of S3.
const UNSIGNED_BYTES_MAX: usize = 256 << 10;

/// Who asks, where, and with what body.
pub(crate) struct Signed {
    pub caller: Arc<Caller>,
    pub region: Region,
    pub body: Received,
    pub place: Option<Place>,
    /// With Signature Version 2.
    pub version_two: bool,
    pub signed_at: Option<base::Timestamp>,
    pub content_sha256: Option<Cow<'static, str>>,
}

/// The body as far as it had to be read to check the signature.
#[allow(clippy::large_enum_variant, reason = "one for each request, moved once or twice")]
pub(crate) enum Received {
    Whole(Bytes),
    Stream(Checked),
}

impl Gateway {
    /// Finds out who asks. For S3 the head says all; elsewhere the body is part of what was signed,
    /// and is read once the key is known to exist.
    pub(crate) async fn authenticate<'g>(
        &'g self,
        peer: &Peer,
        head: &Head<'_>,
        target: &mut Target<'g, '_>,
        presented: Option<Presented<'_>>,
        body: RequestStream,
        seen: &mut Seen<'g>,
    ) -> Result<Signed, Error> {
        let entry = target.entry;
        let protocol = entry.protocol(head);
        let dialect = refuse::dialect(entry, protocol);
        let refused = |error: AuthError| refusal(error, dialect);
        let length = content_length(head)?;
        let Some(presented) = presented else {
            return Box::pin(self.anonymous(head, target, body, length, seen)).await;
        };
        let reads_object = entry.is_s3 && matches!(head.method, "GET" | "HEAD");
        let known = self.known(peer, head, presented.access_key(), reads_object, |cause| {
            refused(presented.refuse(cause))
        })?;
        seen.caller = Some(known.caller.clone());
        let scoped = known.scoped(presented.date(), presented.region(), presented.service());
        let scoped = scoped.ok_or_else(|| {
            let (given, expected) = (presented.region().to_owned(), self.region.to_string());
            refused(presented.refuse(Cause::Region { credential: String::new(), given, expected }))
        })?;
        let mut checked = Checked::new(body, length, Payload::Unsigned, dialect);
        let (rules, whole) = if entry.as_s3 {
            (Rules::S3, None)
        } else {
            let whole = checked.into_bytes(REQUEST_BODY_BYTES_MAX, self.share(seen)).await?;
            checked = Checked::new(RequestStream::Empty, None, Payload::Unsigned, dialect);
            let body_sha256 = match whole.is_empty() {
                true => sigv4::EMPTY_SHA256,
                false => sigv4::sha256(&whole),
            };
            (Rules::General { body_sha256 }, Some(whole))
        };
        let signed_head = head.signed();
        let expect = Expect {
            rules,
            service: entry.model.signing_name,
            region: None,
            skew_s: match entry.as_s3 || protocol == Protocol::AwsQuery {
                true => SKEW_S3_S,
                false => SKEW_GENERAL_S,
            },
            now: self.clock.wall(),
        };
        presented.verify(&signed_head, &scoped.key, &expect).map_err(refused)?;
        let now = self.clock.now();
        check_token(&known, presented.token(), now)
            .map_err(|cause| refused(presented.refuse(cause)))?;
        let service = entry.model.action_prefix;
        self.uses.note(&known.noted, &known.caller, service, &scoped.region, now);
        let body = match whole {
            Some(whole) => Received::Whole(whole),
            None => {
                let payload = presented.payload(rules);
                checked = checked.with_payload(payload);
                if payload.is_chunked() {
                    let with = Some((&presented, &scoped.key));
                    let decoder =
                        ChunkDecoder::new(&signed_head, payload, with).map_err(refused)?;
                    checked = checked.with_decoder(decoder);
                }
                checked.check_empty()?;
                Received::Stream(checked)
            }
        };
        // Of a presigned URL it is what was signed, whatever the request says beside it.
        let content_sha256 = match presented.place() {
            Place::Query if entry.as_s3 => Some(presented.payload(rules).text()),
            _ => content_sha256(head),
        };
        Ok(Signed {
            caller: known.caller.clone(),
            region: scoped.region.clone(),
            body,
            place: Some(presented.place()),
            version_two: false,
            signed_at: Some(presented.time()),
            content_sha256,
        })
    }

    /// Nobody signed it. Only S3, and few operations elsewhere, take that.
    async fn anonymous<'g>(
        &'g self,
        head: &Head<'_>,
        target: &mut Target<'g, '_>,
        body: RequestStream,
        length: Option<u64>,
        seen: &mut Seen<'g>,
    ) -> Result<Signed, Error> {
        // A form without credentials may be for a service that only its version names.
        let mut received = Err(body);
        if head.method == "POST" && head.path == "/" && head.is_form() {
            let dialect = refuse::dialect(target.entry, Protocol::AwsQuery);
            let body = received.err().unwrap_or_default();
            let checked = Checked::new(body, length, Payload::Unsigned, dialect);
            // A bucket in the host name has a path that looks the same.
            let limit = match target.host {
                HostStyle::Bucket { .. } => REQUEST_BODY_BYTES_MAX,
                _ => UNSIGNED_BYTES_MAX,
            };
            let bytes = checked.into_bytes(limit, self.share(seen)).await?;
            let form = smithy::query::parse_form(&bytes).unwrap_or_default();
            let version = form.iter().find(|(key, _)| key == "Version").map(|(_, value)| value);
            if let Some(index) = version.and_then(|v| self.guard.directory.by_version(v)) {
                target.entry = self.guard.directory.entry(index);
                seen.entry = Some(target.entry);
                seen.protocol = Some(target.entry.protocol(head));
                seen.ids = Some(Ids::new(&*self.entropy, target.entry.is_s3));
            }
            drop(form);
            received = Ok(bytes);
        }
        let entry = target.entry;
        let dialect = refuse::dialect(entry, entry.protocol(head));
        let refused = |cause| refusal(AuthError::new(Place::Header, cause), dialect);
        if !entry.is_s3 {
            if !is_unsigned(entry, head, received.as_deref().unwrap_or_default()) {
                return Err(refused(Cause::NoCredentials));
            }
            if let Err(body) = received {
                let checked = Checked::new(body, length, Payload::Unsigned, dialect);
                received = Ok(checked.into_bytes(UNSIGNED_BYTES_MAX, self.share(seen)).await?);
            }
        }
        let body = match received {
            Ok(whole) => Received::Whole(whole),
            Err(body) => {
                let payload = Payload::anonymous(head.text("x-amz-content-sha256"));
                let payload = payload.map_err(refused)?;
                let mut checked = Checked::new(body, length, payload, dialect);
                if payload.is_chunked() {
                    let decoder = ChunkDecoder::new(&head.signed(), payload, None);
                    checked = checked.with_decoder(decoder.map_err(|e| refusal(e, dialect))?);
                }
                checked.check_empty()?;
                Received::Stream(checked)
            }
        };
        Ok(Signed {
            caller: self.guard.keys.anonymous(),
            region: self.region_of(target),
            body,
            place: None,
            version_two: false,
            signed_at: None,
            content_sha256: content_sha256(head),
        })
    }

    /// The key that was presented, if it may be used by this peer.
    pub(crate) fn known(
        &self,
        peer: &Peer,
        head: &Head<'_>,
        id: &str,
        reads_object: bool,
        refused: impl Fn(Cause) -> Error,
    ) -> Result<Arc<keys::Known>, Error> {
        let known = match self.guard.keys.cached(id) {
            Some(known) => Some(known),
            None => self.store.read(|tx| self.guard.keys.find(tx, id))?,
        };
        let unknown = |hint: &str| {
            let error = refused(Cause::UnknownKey(id.to_owned()));
            let text = format!("{} {hint}", error.message());
            error.with_message(text)
        };
        let Some(known) = known else {
            return Err(unknown(match self.strict {
                true => keys::UNKNOWN_KEY_HINT_STRICT,
                false => keys::UNKNOWN_KEY_HINT,
            }));
        };
        if known.is_well_known {
            self.local.check(peer.address, head, reads_object).map_err(|why| {
                unknown(&format!(
                    "The well-known pair {id}/test is good on this machine only, and was refused \
                     because {why}. Use a pair given with --root-key ID:SECRET, or a key made with IAM."
                ))
            })?;
        }
        Ok(known)
    }
}

/// What the request says of its body; what most say of it costs no copy.
fn content_sha256(head: &Head<'_>) -> Option<Cow<'static, str>> {
    Some(match head.text("x-amz-content-sha256")? {
        sigv4::EMPTY_SHA256_HEX => Cow::Borrowed(sigv4::EMPTY_SHA256_HEX),
        other => Cow::Owned(other.to_owned()),
    })
}

/// Whether the request names an operation that takes no signature.
fn is_unsigned(entry: &Entry, head: &Head<'_>, form: &[u8]) -> bool {
    let served = |name: &str| {
        let operation = entry.model.operation(name)?;
        operation.served.as_ref().map(|served| matches!(served.auth, Auth::Unsigned))
    };
    if let Some((_, name)) = head.text("x-amz-target").and_then(|target| target.rsplit_once('.')) {
        return served(name) == Some(true);
    }
    if let Some(name) = head.query_value("Action") {
        return served(name) == Some(true);
    }
    let form = smithy::query::parse_form(form).unwrap_or_default();
    let action = form.iter().find(|(key, _)| key == "Action");
    action.is_some_and(|(_, name)| served(name) == Some(true))
}

pub(crate) fn content_length(head: &Head<'_>) -> Result<Option<u64>, Error> {
    let Some(text) = head.text("content-length") else { return Ok(None) };
    let bad = || Error::with_code("InvalidArgument", 400, "Invalid Content-Length.");
    text.parse().map(Some).map_err(|_| bad())
}

/// Keys of a session come with its token, all others without.
pub(crate) fn check_token(
    known: &keys::Known,
    given: Option<&str>,
    now: base::Timestamp,
) -> Result<(), Cause> {
    if known.token.as_deref() != given {
        return Err(Cause::TokenInvalid(given.unwrap_or("").to_owned()));
    }
    match known.expires {
        Some(expires) if expires <= now => Err(Cause::TokenExpired(given.unwrap_or("").to_owned())),
        _ => Ok(()),
    }
}
