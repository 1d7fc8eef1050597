//! What the query of a request to S3 selects: at most one part of a bucket or an object, which the operation
//! must be about. One that was found without it would do something else: `DELETE /bucket?acl` is no
//! DeleteBucket, `PUT /bucket/key?versionId=x` no PutObject, and a listing that goes on by the other
//! listing's marker would begin anew for ever.

use crate::head::Pair;
use api::Error;
use smithy::model::{Operation, ServiceModel};
use smithy::shape::Location;
use std::collections::BTreeSet;

/// They say more about what is selected, or about an object, and select nothing by themselves.
const PARAMETERS: [&str; 4] = ["annotationName", "id", "partNumber", "uploadId"];

/// What S3 says of parameters that an operation does not take; of the last three only to listings.
const REFUSED: [(&str, &str); 6] = [
    ("versionId", "This operation does not accept a version-id."),
    ("partNumber", "This operation does not accept partNumber without uploadId"),
    ("uploadId", "This operation does not accept uploadId without partNumber"),
    ("marker", "Marker unsupported with REST.GET.BUCKET in list-type=2"),
    ("continuation-token", "continuation-token only supported in REST.GET.BUCKET with list-type=2"),
    ("start-after", "startAfter only supported in REST.GET.BUCKET with list-type=2"),
];
const OF_LISTINGS: usize = 3;

fn invalid(text: impl Into<String>, name: &str) -> Error {
    Error::with_code("InvalidArgument", 400, text).detail("ArgumentName", name)
}

/// Names by each of which alone, in the query, some operation is found.
pub(crate) fn selecting(model: &ServiceModel) -> BTreeSet<&'static str> {
    let all = model.operations.iter().flat_map(|operation| operation.http.query);
    let alone = all.filter(|(_, value)| value.is_none()).map(|(name, _)| *name);
    alone.filter(|name| !PARAMETERS.contains(name)).collect()
}

/// Refuses a query that asks for more than the operation does.
pub(crate) fn check(
    selecting: &BTreeSet<&'static str>,
    operation: &Operation,
    query: &[Pair<'_>],
) -> Result<(), Error> {
    if query.len() <= operation.http.query.len() {
        return Ok(());
    }
    let mut selected: Vec<&str> =
        query.iter().map(|(name, _)| &**name).filter(|name| selecting.contains(name)).collect();
    selected.sort_unstable();
    selected.dedup();
    if let [first, _, ..] = selected[..] {
        let text = format!("Conflicting query string parameters: {}", selected.join(", "));
        return Err(invalid(text, "ResourceType").detail("ArgumentValue", first));
    }
    if selected.first().is_some_and(|one| !takes(operation, one)) {
        let text = "The specified method is not allowed against this resource.";
        return Err(
            Error::with_code("MethodNotAllowed", 405, text).detail("Method", operation.http.method)
        );
    }
    let lists = matches!(operation.name, "ListObjects" | "ListObjectsV2");
    for (nth, (name, text)) in REFUSED.into_iter().enumerate() {
        let Some((_, value)) = query.iter().find(|(own, _)| own == name) else { continue };
        let of_listings = nth >= OF_LISTINGS;
        if (of_listings && !lists) || takes(operation, name) {
            continue;
        }
        let error = invalid(text, name);
        return Err(if of_listings { error } else { error.detail("ArgumentValue", &**value) });
    }
    Ok(())
}

/// Whether the operation is found by that name in the query, or has a member that stands there.
fn takes(operation: &Operation, name: &str) -> bool {
    let members = operation.served.as_ref().map_or(&[][..], |served| served.input.members);
    let is = |location: &Location| matches!(location, Location::Query(own) if *own == name);
    operation.http.query.iter().any(|(own, _)| *own == name)
        || members.iter().any(|member| is(&member.location))
}
