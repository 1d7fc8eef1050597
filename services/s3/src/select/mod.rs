//! SelectObjectContent: a query in SQL on one object, answered as a stream of events.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_SelectObjectContent.html>
//!
//! What goes wrong before the first records is an error like any other; later it is a message in the stream.

mod answer;
mod asked;

use crate::content::Content;
use crate::{customer_key, get_object};
use answer::Answering;
use api::{AsyncCx, Body, Error, Reply};
use gen_s3::{SelectObjectContentInput, SelectObjectContentOutput, errors as e};
use select::{RECORD_BYTES_MAX, Run, SelectError};
use std::ops::Range;

fn refused(error: SelectError) -> Error {
    Error::with_code(error.code, 400, error.message)
}

/// Classes of which nothing is read at once, and the one that is made for nothing else than its price.
fn check_class(class: &str) -> Result<(), Error> {
    if matches!(class, "GLACIER" | "DEEP_ARCHIVE" | "REDUCED_REDUNDANCY") {
        let text = "We encountered an unsupported storage class. Only STANDARD, STANDARD_IA, and ONEZONE_IA storage classes are supported.";
        return Err(Error::with_code("UnsupportedStorageClass", 400, text));
    }
    Ok(())
}

pub async fn run(
    cx: &AsyncCx,
    input: &SelectObjectContentInput,
) -> Result<Reply<SelectObjectContentOutput>, Error> {
    if cx.caller.account.is_none() {
        return Err(Error::new(&e::ACCESS_DENIED, "Access Denied"));
    }
    let customer = customer_key::given!(input).read(cx)?;
    let (content, size) = cx.read(|tx| {
        let owner = &input.expected_bucket_owner;
        let row =
            get_object::newest(tx, cx, (&input.bucket, &input.key), owner, customer.as_ref())?;
        check_class(&row.meta.storage_class)?;
        let content = match row.size_bytes {
            0 => None,
            _ => Some(Content::of(tx, cx, &row, customer.as_ref())?),
        };
        Ok((content, row.size_bytes))
    })?;
    let asked = asked::read(input, size)?;
    let range = asked.range;
    let mut run =
        Run::new(asked.query, asked.input, asked.compression, asked.output, cx.now(), range)
            .map_err(refused)?;
    if let Some(content) = content.as_ref().filter(|_| run.wants_header()) {
        show_header(&mut run, content, size).await?;
    }
    let mut answering = Answering::new(run, content, size, cx.service, asked.progress);
    answering.begin().await?;
    let body = Body::Stream(None, Box::pin(answering));
    Ok(Reply::with_body(SelectObjectContentOutput::default(), body))
}

/// Reads the beginning of an object of which a range is asked for that begins later.
async fn show_header(run: &mut Run, content: &Content, size: u64) -> Result<(), Error> {
    // A record and what ends it.
    let beginning: Range<u64> = 0..size.min(RECORD_BYTES_MAX as u64 + 16);
    let mut seen = Vec::new();
    let mut source = content.stream(beginning);
    while run.wants_header() {
        let piece = source.next().await.transpose()?;
        let last = piece.is_none();
        seen.extend_from_slice(&piece.unwrap_or_default());
        run.push_header(&seen, last).map_err(refused)?;
    }
    Ok(())
}
