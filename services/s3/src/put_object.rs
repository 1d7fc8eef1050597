//! PutObject.

use crate::acl::Asked;
use crate::checksum::{self, Declared};
use crate::customer_key::{self, CustomerKey};
use crate::rows::*;
use crate::{
    acl, body, bucket, conditions, encryption, events, lifecycle, lock, meta, names, object,
    public_access, tagging,
};
use api::{Ask, AsyncCx, Cx, Error, Reply, Tx};
use base::AccountId;
use gen_s3::errors as e;
use gen_s3::*;
use store::blobs::ROW_BLOB_BYTES_MAX;

pub fn authorize(cx: &Cx, input: &PutObjectInput) -> Result<Vec<Ask>, Error> {
    let arn = names::object_arn(cx.partition(), &input.bucket, &input.key);
    let put = meta::keys!(input, Ask::new("s3:PutObject", &arn))
        .key("s3:if-none-match", input.if_none_match.as_deref())
        .key("s3:if-match", input.if_match.as_deref());
    let mut put = locked(input).keys(cx, encryption::keys!(input, put));
    put.context.push(names::creates_object(true));
    let mut asks = vec![tagging::with_header(asked(input).keys(put), &input.tagging)];
    if !asked(input).is_empty() {
        let ask = asked(input).keys(Ask::new("s3:PutObjectAcl", &arn));
        asks.push(ask);
    }
    if input.tagging.is_some() {
        let ask = Ask::new("s3:PutObjectTagging", &arn);
        asks.push(tagging::with_header(ask, &input.tagging));
    }
    locked(input).asks(cx, &arn, &mut asks);
    Ok(asks)
}

fn asked(input: &PutObjectInput) -> Asked<'_> {
    Asked {
        canned: &input.acl,
        full_control: &input.grant_full_control,
        read: &input.grant_read,
        write: &None,
        read_acp: &input.grant_read_acp,
        write_acp: &input.grant_write_acp,
    }
}

fn locked(input: &PutObjectInput) -> lock::Asked<'_> {
    lock::Asked {
        mode: &input.object_lock_mode,
        until: input.object_lock_retain_until_date,
        legal_hold: &input.object_lock_legal_hold_status,
    }
}

fn encrypted<'a>(
    input: &'a PutObjectInput,
    customer: &'a Option<CustomerKey>,
) -> encryption::Asked<'a> {
    encryption::Asked {
        algorithm: &input.server_side_encryption,
        kms_key_id: &input.ssekms_key_id,
        bucket_key: input.bucket_key_enabled,
        customer: customer.as_ref(),
    }
}

/// Neither a key of the customer's, nor encryption, nor a lock.
fn asks_nothing_special(input: &PutObjectInput) -> bool {
    input.server_side_encryption.is_none()
        && input.ssekms_key_id.is_none()
        && input.sse_customer_algorithm.is_none()
        && input.sse_customer_key.is_none()
        && input.sse_customer_key_md5.is_none()
        && input.object_lock_mode.is_none()
        && input.object_lock_retain_until_date.is_none()
        && input.object_lock_legal_hold_status.is_none()
}

fn meta_of(cx: &Cx, input: &PutObjectInput) -> Result<Meta, Error> {
    Ok(meta::of_input!(cx, input))
}

/// Who owns a new object: its writer, unless the bucket's owner takes all.
pub fn object_owner(bucket: &BucketRow, cx: &Cx, canned: &Option<String>) -> AccountId {
    let full_control = canned.as_deref() == Some("bucket-owner-full-control");
    match (bucket.ownership, cx.caller.account) {
        (Ownership::BucketOwnerEnforced, _) | (_, None) => bucket.owner,
        (Ownership::BucketOwnerPreferred, _) if full_control => bucket.owner,
        (_, Some(account)) => account,
    }
}

/// The access control list of a new object.
pub fn object_acl(
    tx: &Tx,
    bucket: &BucketRow,
    asked: &Asked<'_>,
    owner: AccountId,
) -> Result<Vec<GrantRow>, Error> {
    if bucket.ownership == Ownership::BucketOwnerEnforced {
        let harmless = asked.canned.as_deref() == Some("bucket-owner-full-control");
        if !asked.is_empty() && !harmless {
            return Err(Error::new(
                &e::ACCESS_CONTROL_LIST_NOT_SUPPORTED,
                "The bucket does not allow ACLs",
            ));
        }
        return Ok(vec![acl::full_control(bucket.owner)]);
    }
    let grants = asked.grants(owner, Some(bucket.owner))?;
    public_access::check_acl(tx, bucket, &grants)?;
    Ok(grants)
}

pub async fn run(cx: &AsyncCx, input: &PutObjectInput) -> Result<Reply<PutObjectOutput>, Error> {
    names::check_key(&input.key)?;
    // Directory buckets alone append, and there are none here.
    if input.write_offset_bytes.is_some() {
        let text = "A header you provided implies functionality that is not implemented";
        return Err(
            Error::new(&e::NOT_IMPLEMENTED, text).detail("Header", "x-amz-write-offset-bytes")
        );
    }
    let meta = meta_of(cx, input)?;
    let declared =
        Declared::new(&input.content_md5, &input.checksum_algorithm, checksum::values!(input))?;
    // Whether the body may come at all.
    let ask = || {
        cx.read(|tx| {
            let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
            let customer = customer_key::given!(input).read(cx)?;
            encrypted(input, &customer).check()?;
            locked(input).apply(&bucket, tx.now(), &mut meta.clone())?;
            Ok(customer)
        })
    };
    let short = cx.body_length().is_some_and(|length| length <= ROW_BLOB_BYTES_MAX as u64);
    let (customer, received) = if short && asks_nothing_special(input) {
        // It is here already, and the transaction asks all that again. A refusal goes before what is
        // wrong with the body, as if it had been asked first.
        match body::receive(cx, declared, None).await {
            Ok(received) => (None, received),
            Err(wrong) => return Err(ask().err().unwrap_or(wrong)),
        }
    } else {
        let customer = ask()?;
        let received = body::receive(cx, declared, customer.as_ref()).await?;
        (customer, received)
    };
    let (e_tag, checksum) = (&received.e_tag, received.digested.checksum_row());
    let size_bytes = received.digested.size_bytes;
    let (bucket, row, expiration) = cx
        .write(input, |tx| {
            let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
            let latest = match input.if_match.is_some() || input.if_none_match.is_some() {
                true => object::find(tx, &bucket, &input.key, None)?,
                false => None,
            };
            conditions::writing(
                &input.if_match,
                &input.if_none_match,
                &input.key,
                latest.as_ref(),
            )?;
            let owner = object_owner(&bucket, cx, &input.acl);
            let mut meta = meta.clone();
            encrypted(input, &customer).apply(&bucket, &mut meta, &*cx.entropy)?;
            locked(input).apply(&bucket, tx.now(), &mut meta)?;
            let row = ObjectRow {
                sequence: 0,
                version_id: String::new(),
                delete_marker: false,
                modified: tx.now(),
                size_bytes,
                e_tag: e_tag.clone(),
                blobs: vec![tx.adopt_blob(&received.blob)?],
                meta,
                owner,
                acl: object_acl(tx, &bucket, &asked(input), owner)?,
                checksum: Some(checksum.clone()),
                parts: Vec::new(),
                upload_id: None,
            };
            let row = object::install(tx, cx, &bucket, &input.key, row, 0)?;
            let expiration = lifecycle::expiration(tx, &bucket, &input.key, &row)?;
            let event = if cx.http.is_form { "ObjectCreated:Post" } else { "ObjectCreated:Put" };
            events::tell(tx, cx, event, events::Of::new(&bucket, &input.bucket, &input.key, &row))?;
            Ok((bucket, row, expiration))
        })
        .await?;
    let mut output = PutObjectOutput {
        e_tag: Some(format!("\"{}\"", row.e_tag)),
        version_id: object::written_id(&bucket, &row),
        expiration,
        server_side_encryption: meta::shown_encryption(&row.meta),
        ssekms_key_id: row.meta.kms_key_id.clone(),
        bucket_key_enabled: row.meta.bucket_key.then_some(true),
        sse_customer_algorithm: customer.as_ref().map(|_| customer_key::ALGORITHM.into()),
        sse_customer_key_md5: customer.as_ref().map(CustomerKey::shown_md5),
        checksum_type: Some("FULL_OBJECT".into()),
        ..PutObjectOutput::default()
    };
    checksum::show!(output, checksum);
    Ok(Reply::new(output))
}
