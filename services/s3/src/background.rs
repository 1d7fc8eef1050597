//! The context in which a job of S3 asks for permission, as a service or as a role that it may act for.

use crate::rows::BucketRow;
use api::{Ask, Background, Caller, Cx, CxParts, Error, HttpInfo, Tx};
use base::Region;
use std::sync::Arc;

/// Of a job for that bucket, which does what `operation` does.
pub fn context(
    with: &Background,
    caller: Caller,
    bucket: &BucketRow,
    operation: &'static str,
) -> Result<Cx, Error> {
    let known = gen_s3::MODEL.operation(operation);
    Ok(Cx::new(CxParts {
        request_id: with.entropy.uuid().into(),
        caller: Arc::new(caller),
        account: bucket.owner,
        region: Region::parse(&bucket.region).unwrap_or_else(Region::us_east_1),
        // What a service does for its customers comes over TLS.
        http: HttpInfo { secure: true, ..HttpInfo::default() },
        service: &gen_s3::MODEL,
        operation: known.ok_or_else(|| Error::not_implemented(operation))?,
        clock: with.clock.clone(),
        entropy: with.entropy.clone(),
        door: with.door.clone(),
    }))
}

/// Whether it is allowed. What is not known because something failed is an error.
pub fn may(tx: &Tx, cx: &Cx, ask: &Ask) -> Result<bool, Error> {
    match cx.authorize(tx, ask) {
        Ok(()) => Ok(true),
        Err(error) if error.status() < 500 => Ok(false),
        Err(error) => Err(error),
    }
}
