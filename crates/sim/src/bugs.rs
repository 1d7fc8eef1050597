//! Planted bugs. A harness is believed only as far as it finds these.

use api::{Answer, Ask, AsyncCx, Cx, Error, Hooks, Reply, Service, Started, Tx};
use base::{Entropy, SeededEntropy};
use bytes::Bytes;
use gen_dynamodb::{PutItemInput, PutItemOutput, QueryInput, QueryOutput, TransactWriteItemsInput};
use gen_dynamodbstreams::GetRecordsOutput;
use gen_s3::{
    DeleteObjectOutput, GetObjectInput, ListObjectsV2Output, PutBucketLifecycleConfigurationInput,
    PutObjectInput, PutObjectOutput, UploadPartOutput,
};
use smithy::Struct;
use smithy::model::ServiceModel;
use std::any::Any;
use std::io;
use std::sync::Arc;
use store::disk::{Disk, File, OpenMode};

/// What is wrong with the cloud on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// No sync of anything does anything.
    NoSync,
    /// Names are never synced.
    NoDirSync,
    /// The log is not synced.
    NoLogSync,
    /// Files of blobs are not synced.
    NoBlobSync,
    /// The index's files are not synced.
    NoIndexSync,
    /// Writes are acknowledged before they are durable.
    EarlyAnswer,
    /// Now and then a PUT is acknowledged and not done.
    LostPut,
    /// Now and then a DELETE is acknowledged and not done.
    LostDelete,
    /// A listing leaves out its last key.
    ShortListing,
    /// A condition of a write is not looked at.
    NoCondition,
    /// Now and then a body comes back with a byte changed.
    WrongByte,
    /// Retention and holds of new versions are not looked at.
    NoLock,
    /// A version is asked for, and the latest one is given.
    WrongVersion,
    /// Rules of the lifecycle are for all keys.
    WideRules,
    /// Jobs are not done.
    NoJobs,
    /// Now and then a part is acknowledged and not there.
    LostPart,
    /// Now and then an item is acknowledged and not put.
    LostItem,
    /// A condition of a PutItem is not looked at.
    NoItemCondition,
    /// Now and then a transaction is done without its last member.
    HalfTransaction,
    /// Now and then an index leaves out an entry.
    ShortIndex,
    /// Now and then a stream leaves out a record.
    ShortStream,
    /// Errands are not taken up again after a crash.
    NoErrands,
    /// Now and then a file of an export is acknowledged and not there.
    LostFile,
}

impl Bug {
    pub const ALL: [Bug; 23] = [
        Bug::NoSync,
        Bug::NoDirSync,
        Bug::NoLogSync,
        Bug::NoBlobSync,
        Bug::NoIndexSync,
        Bug::EarlyAnswer,
        Bug::LostPut,
        Bug::LostDelete,
        Bug::ShortListing,
        Bug::NoCondition,
        Bug::WrongByte,
        Bug::NoLock,
        Bug::WrongVersion,
        Bug::WideRules,
        Bug::NoJobs,
        Bug::LostPart,
        Bug::LostItem,
        Bug::NoItemCondition,
        Bug::HalfTransaction,
        Bug::ShortIndex,
        Bug::ShortStream,
        Bug::NoErrands,
        Bug::LostFile,
    ];

    fn forgets(self, path: &str) -> bool {
        match self {
            Bug::NoLogSync => path.starts_with("log"),
            Bug::NoBlobSync => path.starts_with("blobs"),
            Bug::NoIndexSync => path.starts_with("index") || path.starts_with("lsm"),
            _ => false,
        }
    }
}

/// A disk that forgets some syncs.
#[derive(Debug)]
pub struct BuggyDisk {
    pub inner: Arc<dyn Disk>,
    pub bug: Bug,
}

#[derive(Debug)]
struct Unsynced(Arc<dyn File>);

impl File for Unsynced {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for BuggyDisk {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.inner.open(path, mode)?;
        Ok(if self.bug.forgets(path) { Arc::new(Unsynced(file)) } else { file })
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.link(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.inner.create_dir(path)
    }
    fn remove_dir_all(&self, path: &str) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        if self.bug == Bug::NoDirSync || self.bug.forgets(path) {
            return Ok(());
        }
        self.inner.sync_dir(path)
    }
    fn available_bytes(&self) -> io::Result<u64> {
        self.inner.available_bytes()
    }
}

/// A service that answers wrongly.
pub struct Buggy {
    pub inner: Arc<dyn Service>,
    pub bug: Bug,
    pub dice: SeededEntropy,
}

impl Buggy {
    fn strikes(&self, bug: Bug) -> bool {
        self.bug == bug && self.dice.below(20) == 0
    }

    fn name(&self, operation: u16) -> &'static str {
        self.inner.model().operations[usize::from(operation)].name
    }

    /// A write of items that goes wrong.
    fn write_item(
        &self,
        operation: u16,
        tx: &mut Tx,
        cx: &Cx,
        input: &dyn Struct,
    ) -> Option<Answer> {
        let input = input as &dyn Any;
        if let Some(put) = input.downcast_ref::<PutItemInput>() {
            if self.strikes(Bug::LostItem) {
                return Some(Ok(Box::new(PutItemOutput::default())));
            }
            // Values that nothing uses would be refused.
            if self.bug == Bug::NoItemCondition && put.expression_attribute_values.is_none() {
                let changed = PutItemInput { condition_expression: None, ..put.clone() };
                return Some(self.inner.write(operation, tx, cx, &changed));
            }
        }
        let transaction = input.downcast_ref::<TransactWriteItemsInput>()?;
        if self.strikes(Bug::HalfTransaction) {
            let mut changed = transaction.clone();
            changed.transact_items.pop();
            return Some(self.inner.write(operation, tx, cx, &changed));
        }
        None
    }
}

impl Service for Buggy {
    fn model(&self) -> &'static ServiceModel {
        self.inner.model()
    }
    fn hooks(&self) -> &dyn Hooks {
        self.inner.hooks()
    }
    fn read(&self, operation: u16, tx: &Tx, cx: &Cx, input: &dyn Struct) -> Answer {
        let mut output = self.inner.read(operation, tx, cx, input)?;
        if self.bug == Bug::ShortListing
            && let Some(page) = (&mut *output as &mut dyn Any).downcast_mut::<ListObjectsV2Output>()
        {
            page.contents.as_mut().and_then(Vec::pop);
        }
        if (input as &dyn Any).downcast_ref::<QueryInput>().is_some_and(|i| i.index_name.is_some())
            && self.strikes(Bug::ShortIndex)
            && let Some(page) = (&mut *output as &mut dyn Any).downcast_mut::<QueryOutput>()
        {
            page.items.as_mut().and_then(Vec::pop);
        }
        if let Some(page) = (&mut *output as &mut dyn Any).downcast_mut::<GetRecordsOutput>()
            && self.strikes(Bug::ShortStream)
        {
            page.records.as_mut().filter(|all| !all.is_empty()).map(|all| all.remove(0));
        }
        Ok(output)
    }
    fn write(&self, operation: u16, tx: &mut Tx, cx: &Cx, input: &dyn Struct) -> Answer {
        if self.name(operation) == "DeleteObject" && self.strikes(Bug::LostDelete) {
            return Ok(Box::new(DeleteObjectOutput::default()));
        }
        if let Some(wrong) = self.write_item(operation, tx, cx, input) {
            return wrong;
        }
        if self.bug == Bug::WideRules
            && let Some(input) =
                (input as &dyn Any).downcast_ref::<PutBucketLifecycleConfigurationInput>()
        {
            let mut changed = input.clone();
            let rules = changed.lifecycle_configuration.iter_mut().flat_map(|c| &mut c.rules);
            rules.filter_map(|rule| rule.filter.as_mut()).for_each(|f| f.prefix = None);
            return self.inner.write(operation, tx, cx, &changed);
        }
        self.inner.write(operation, tx, cx, input)
    }
    fn start<'a>(&'a self, operation: u16, cx: &'a AsyncCx, input: &'a dyn Struct) -> Started<'a> {
        let put = self.name(operation) == "PutObject";
        let is_file = || {
            let input = (input as &dyn Any).downcast_ref::<PutObjectInput>();
            input.is_some_and(|put| put.key.contains("/AWSDynamoDB/") && put.key.contains("/data/"))
        };
        if put && (self.strikes(Bug::LostPut) || is_file() && self.strikes(Bug::LostFile)) {
            return Box::pin(async {
                // Who asks for no permission is answered 500, and nothing would seem to be kept.
                cx.read(|_| Ok(()))?;
                let output = PutObjectOutput { e_tag: Some("\"x\"".into()), ..Default::default() };
                Ok(Reply::new(Box::new(output) as Box<dyn Struct>))
            });
        }
        if put
            && self.bug == Bug::NoCondition
            && let Some(input) = (input as &dyn Any).downcast_ref::<PutObjectInput>()
        {
            let changed = PutObjectInput { if_none_match: None, ..input.clone() };
            return Box::pin(async move { self.inner.start(operation, cx, &changed).await });
        }
        if put
            && self.bug == Bug::NoLock
            && let Some(input) = (input as &dyn Any).downcast_ref::<PutObjectInput>()
        {
            let changed = PutObjectInput {
                object_lock_mode: None,
                object_lock_retain_until_date: None,
                object_lock_legal_hold_status: None,
                ..input.clone()
            };
            return Box::pin(async move { self.inner.start(operation, cx, &changed).await });
        }
        if self.bug == Bug::WrongVersion
            && let Some(input) = (input as &dyn Any).downcast_ref::<GetObjectInput>()
        {
            let changed = GetObjectInput { version_id: None, ..input.clone() };
            return Box::pin(async move { self.inner.start(operation, cx, &changed).await });
        }
        if self.name(operation) == "UploadPart" && self.strikes(Bug::LostPart) {
            return Box::pin(async {
                cx.read(|_| Ok(()))?;
                let e_tag = Some(format!("\"{}\"", "0".repeat(32)));
                let output = UploadPartOutput { e_tag, ..Default::default() };
                Ok(Reply::new(Box::new(output) as Box<dyn Struct>))
            });
        }
        if self.name(operation) == "GetObject" && self.strikes(Bug::WrongByte) {
            return Box::pin(async move {
                let mut reply = self.inner.start(operation, cx, input).await?;
                if let api::Body::Bytes(bytes) = &reply.body {
                    let mut changed = bytes.to_vec();
                    changed[0] ^= 1;
                    reply.body = api::Body::Bytes(Bytes::from(changed));
                }
                Ok(reply)
            });
        }
        self.inner.start(operation, cx, input)
    }
    fn authorize(&self, operation: u16, cx: &Cx, input: &dyn Struct) -> Result<Vec<Ask>, Error> {
        self.inner.authorize(operation, cx, input)
    }
}
