//! Requests signed with Signature Version 2, which S3 alone takes, and only in its old regions.

use crate::authenticate::{Received, Signed, check_token, content_length};
use crate::gateway::{Gateway, Peer, Seen};
use crate::head::Head;
use crate::host::HostStyle;
use crate::identify::Target;
use crate::payload::{Checked, RequestStream, refusal};
use api::Error;
use base::Region;
use sigv4::{AuthError, Cause, ChunkDecoder, Dialect, Payload, v2};

impl Gateway {
    /// The region that the host name says, or the default one.
    pub(crate) fn region_of(&self, target: &Target<'_, '_>) -> Region {
        let named = match target.host {
            HostStyle::Service { region: Some(name), .. }
            | HostStyle::Bucket { region: Some(name), .. } => self.guard.keys.region(name),
            _ => None,
        };
        named.unwrap_or_else(|| self.region.clone())
    }

    pub(crate) fn authenticate_v2<'g>(
        &'g self,
        peer: &Peer,
        head: &Head<'_>,
        target: &Target<'g, '_>,
        body: RequestStream,
        seen: &mut Seen<'g>,
    ) -> Result<Signed, Error> {
        let refused = |error: AuthError| refusal(error, Dialect::S3);
        let signed_head = head.signed();
        let presented = v2::presented(&signed_head).map_err(refused)?;
        let presented = presented.ok_or_else(|| Error::internal("no credentials of Version 2"))?;
        let region = self.region_of(target);
        if !v2::is_accepted_in(region.as_str()) {
            return Err(refused(presented.refuse(Cause::VersionTwo)));
        }
        let reads_object = matches!(head.method, "GET" | "HEAD");
        let known = self.known(peer, head, presented.access_key(), reads_object, |cause| {
            refused(presented.refuse(cause))
        })?;
        seen.caller = Some(known.caller.clone());
        let bucket = match target.host {
            HostStyle::Bucket { bucket, .. } => Some(bucket),
            _ => None,
        };
        let wall = self.clock.wall();
        presented.verify(&signed_head, known.secret(), bucket, wall).map_err(refused)?;
        check_token(&known, presented.token(), self.clock.now())
            .map_err(|cause| refused(presented.refuse(cause)))?;
        // There is nothing to sign chunks with.
        let payload = Payload::anonymous(head.text("x-amz-content-sha256"))
            .map_err(|cause| refused(presented.refuse(cause)))?;
        let mut checked = Checked::new(body, content_length(head)?, payload, Dialect::S3);
        if payload.is_chunked() {
            let decoder = ChunkDecoder::new(&signed_head, payload, None).map_err(refused)?;
            checked = checked.with_decoder(decoder);
        }
        checked.check_empty()?;
        Ok(Signed {
            caller: known.caller.clone(),
            region,
            body: Received::Stream(checked),
            place: Some(presented.place()),
            version_two: true,
            signed_at: presented.time(),
            content_sha256: head.owned("x-amz-content-sha256").map(Into::into),
        })
    }
}
