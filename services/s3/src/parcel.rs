//! An object that a job puts into somebody's bucket for S3 itself: access logs, inventories.

use crate::checksum::{Declared, Digests};
use crate::events::{self, Of};
use crate::rows::*;
use crate::{background, encryption, lock, names, object};
use api::{Ask, Background, Caller, Error, Tx};
use bytes::Bytes;
use policy::Principal;
use store::blobs::Blobs;

pub struct Parcel<'a> {
    /// The bucket that it goes to, and its name.
    pub target: (&'a BucketRow, &'a str),
    pub key: &'a str,
    pub meta: Meta,
    pub acl: Vec<GrantRow>,
    /// The content, each as small as a row holds.
    pub pieces: Vec<Bytes>,
}

/// The service that asks, and for what of whose bucket.
pub struct Sender<'a> {
    pub service: &'static str,
    pub source: (&'a BucketRow, &'a str),
    /// The canned list that it names, which policies ask for.
    pub acl: Option<&'static str>,
}

impl Sender<'_> {
    /// Whether the policy or the list of the target lets the object in.
    pub fn may(&self, tx: &Tx, with: &Background, target: &str, key: &str) -> Result<bool, Error> {
        let caller = Caller::bare(Principal::service(self.service), None, self.service);
        let (bucket, name) = self.source;
        let cx = background::context(with, caller, bucket, "PutObject")?;
        let arn = names::object_arn(cx.partition(), target, key);
        let ask = Ask::new("s3:PutObject", arn)
            .key("aws:sourcearn", Some(names::bucket_arn(cx.partition(), name)))
            .key("aws:sourceaccount", Some(bucket.owner.to_string()))
            .key("aws:principalservicename", Some(self.service))
            .key("s3:x-amz-acl", self.acl);
        background::may(tx, &cx, &ask)
    }
}

impl Parcel<'_> {
    pub fn put(self, tx: &mut Tx, blobs: &Blobs, with: &Background) -> Result<ObjectRow, Error> {
        let (target, name) = self.target;
        let mut meta = self.meta;
        let nothing = lock::Asked { mode: &None, until: None, legal_hold: &None };
        nothing.apply(target, tx.now(), &mut meta)?;
        if meta.encryption.is_empty() {
            encryption::Asked::default().apply(target, &mut meta, &*with.entropy)?;
        }
        let mut digests = Digests::new(Declared::default().algorithm());
        let mut adopted = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces {
            digests.update(&piece);
            let blob = blobs.small(piece);
            let blob = blob.ok_or_else(|| Error::internal("a piece of an object is too large"))?;
            adopted.push(tx.adopt_blob(&blob)?);
        }
        let digested = digests.finish();
        let row = ObjectRow {
            sequence: 0,
            version_id: String::new(),
            delete_marker: false,
            modified: tx.now(),
            size_bytes: digested.size_bytes,
            e_tag: digested.e_tag(),
            blobs: adopted,
            meta,
            owner: target.owner,
            acl: self.acl,
            checksum: Some(digested.checksum_row()),
            parts: Vec::new(),
            upload_id: None,
        };
        let row = object::install_new(tx, &*with.entropy, target, self.key, row, 0)?;
        let of = Of::new(target, name, self.key, &row);
        events::tell_own(tx, "ObjectCreated:Put", of, "PutObject")?;
        Ok(row)
    }
}
