//! Where lists go, and what names their parts.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html>

use super::walk::Lister;
use super::{FileRow, InventoryConfiguration, RunRow, line};
use crate::acl;
use crate::parcel::{Parcel, Sender};
use crate::rows::*;
use api::{Error, Tx};
use base::AccountId;
use bytes::Bytes;
use smithy::json::Writer;
use store::Scope;
use store::blobs::ROW_BLOB_BYTES_MAX;

const SENDER: &str = "s3.amazonaws.com";
const VERSION: &str = "2016-11-30";

/// The bucket that lists go to.
pub struct Target<'a> {
    bucket: BucketRow,
    name: String,
    source: &'a str,
    /// Of all keys of a configuration, but for its id.
    prefix: String,
    meta: Meta,
}

impl<'a> Target<'a> {
    /// `None` where it does not take them.
    pub fn find(
        tx: &Tx,
        lister: &Lister,
        source: (&'a BucketRow, &'a str),
        document: &InventoryConfiguration,
    ) -> Result<Option<Target<'a>>, Error> {
        let to = &document.destination.s3_bucket_destination;
        let name = to.bucket.rsplit(':').next().unwrap_or_default();
        let Some(bucket) = tx.get(&BUCKETS, &Scope::Global, name)? else { return Ok(None) };
        let owner = to.account_id.as_deref().map(AccountId::parse);
        if owner.is_some_and(|owner| owner != Some(bucket.owner))
            || bucket.region != source.0.region
        {
            return Ok(None);
        }
        let own = to.prefix.as_deref().filter(|prefix| !prefix.is_empty());
        let own = own.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let prefix = format!("{own}{}/{}", source.1, document.id);
        let sender = Sender { service: SENDER, source, acl: Some("bucket-owner-full-control") };
        if !sender.may(tx, &lister.with, name, &format!("{prefix}/data/x"))? {
            return Ok(None);
        }
        let kms = to.encryption.as_ref().and_then(|own| own.ssekms.as_ref());
        let meta = Meta {
            encryption: if kms.is_some() { "aws:kms".into() } else { String::new() },
            kms_key_id: kms.map(|kms| kms.key_id.clone()),
            ..Meta::default()
        };
        Ok(Some(Target { bucket, name: name.to_owned(), source: source.1, prefix, meta }))
    }

    fn put(
        &self,
        tx: &mut Tx,
        lister: &Lister,
        key: &str,
        content_type: &str,
        pieces: Vec<Bytes>,
    ) -> Result<ObjectRow, Error> {
        let meta = Meta { content_type: Some(content_type.into()), ..self.meta.clone() };
        let acl = vec![acl::full_control(self.bucket.owner)];
        let parcel = Parcel { target: (&self.bucket, self.name.as_str()), key, meta, acl, pieces };
        parcel.put(tx, &lister.blobs, &lister.with)
    }

    fn put_text(
        &self,
        tx: &mut Tx,
        lister: &Lister,
        key: &str,
        (content_type, text): (&str, String),
    ) -> Result<ObjectRow, Error> {
        let mut rest = Bytes::from(text);
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            pieces.push(rest.split_to(rest.len().min(ROW_BLOB_BYTES_MAX)));
        }
        self.put(tx, lister, key, content_type, pieces)
    }

    /// A part of the list.
    pub fn data(&self, tx: &mut Tx, lister: &Lister, pieces: Vec<Bytes>) -> Result<FileRow, Error> {
        let key = format!("{}/data/{}.csv.gz", self.prefix, lister.with.entropy.uuid());
        let row = self.put(tx, lister, &key, "application/x-gzip", pieces)?;
        Ok(FileRow { key, size_bytes: row.size_bytes, md5: row.e_tag })
    }

    /// What names all parts, its checksum, and a list of them for Hive.
    pub fn manifest(
        &self,
        tx: &mut Tx,
        lister: &Lister,
        document: &InventoryConfiguration,
        run: &RunRow,
    ) -> Result<(), Error> {
        let begun = run.begun.iso8601_secs();
        let place = format!("{}/{}Z", self.prefix, begun[..16].replace(':', "-"));
        let text = self.text(document, run);
        let key = format!("{place}/manifest.json");
        let row = self.put_text(tx, lister, &key, ("application/json", text))?;
        let key = format!("{place}/manifest.checksum");
        self.put_text(tx, lister, &key, ("text/plain", row.e_tag))?;
        if run.files.is_empty() {
            return Ok(());
        }
        let day = begun[..16].replace(['T', ':'], "-");
        let key = format!("{}/hive/dt={day}/symlink.txt", self.prefix);
        let links = run.files.iter().map(|file| format!("s3://{}/{}\n", self.name, file.key));
        self.put_text(tx, lister, &key, ("text/plain", links.collect()))?;
        Ok(())
    }

    fn text(&self, document: &InventoryConfiguration, run: &RunRow) -> String {
        let mut out = Writer::with_capacity(1024);
        out.open('{');
        let made = run.begun.to_millis().to_string();
        let schema = line::schema(document);
        for (key, value) in [
            ("sourceBucket", self.source),
            ("destinationBucket", document.destination.s3_bucket_destination.bucket.as_str()),
            ("version", VERSION),
            ("creationTimestamp", made.as_str()),
            ("fileFormat", "CSV"),
            ("fileSchema", schema.as_str()),
        ] {
            out.key(key);
            out.string(value);
        }
        out.key("files");
        out.open('[');
        for file in &run.files {
            out.open('{');
            out.key("key");
            out.string(&file.key);
            out.key("size");
            out.integer(file.size_bytes as i64);
            out.key("MD5checksum");
            out.string(&file.md5);
            out.close('}');
        }
        out.close(']');
        out.close('}');
        out.finish()
    }
}
