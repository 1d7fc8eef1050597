//! Would this be allowed? Answered by doing it in a transaction that is thrown away.

use crate::gateway::Gateway;
use crate::guard;
use crate::identify::Entry;
use api::{Cx, CxParts, Error, HttpInfo};
use smithy::Struct;
use smithy::model::{Kind, Operation, Served};

/// The code of an outcome that is thrown away because all went well.
const DONE: &str = "Rehearsed";

/// An operation that this process does for the holder of a key.
pub(crate) struct Held<'g> {
    pub entry: &'g Entry,
    pub operation: &'static Operation,
    pub served: &'static Served,
    pub cx: Cx,
}

impl Gateway {
    /// As from outside, but for the request that there is none of.
    pub(crate) fn held(
        &self,
        access_key_id: &str,
        service: &str,
        operation: &str,
    ) -> Result<Held<'_>, Error> {
        let missing = || Error::not_implemented(&format!("{service}:{operation}"));
        let entry = self.guard.directory.by_name(service).ok_or_else(missing)?;
        let operation = entry.model.operation(operation).ok_or_else(missing)?;
        let served = operation.served.as_ref().ok_or_else(missing)?;
        let known = self.store.read(|tx| self.guard.keys.find(tx, access_key_id))?;
        let known =
            known.ok_or_else(|| Error::with_code("InvalidClientTokenId", 403, "no such key"))?;
        let cx = Cx::new(CxParts {
            request_id: self.entropy.uuid().into(),
            account: guard::acting_account(&known.caller),
            caller: known.caller.clone(),
            region: self.region.clone(),
            http: HttpInfo::default(),
            service: entry.model,
            operation,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            door: self.guard.clone(),
        });
        Ok(Held { entry, operation, served, cx })
    }

    /// Runs an operation as the holder of that access key and undoes it. Of an async operation only
    /// the permissions are asked for. `Ok` means that it would have been done.
    pub fn rehearse(
        &self,
        access_key_id: &str,
        service: &str,
        operation: &str,
        input: &dyn Struct,
    ) -> Result<(), Error> {
        let Held { entry, operation, served, cx } = self.held(access_key_id, service, operation)?;
        let asks = guard::asks(entry, operation, &cx, input)?;
        let done = || Error::with_code(DONE, 200, "");
        let outcome: Result<(), Error> = match served.kind {
            Kind::Read => self.store.read(|tx| {
                guard::authorize_all(tx, &cx, &asks)?;
                entry.service.read(operation.index, tx, &cx, input)?;
                cx.check_asked()?;
                Err(done())
            }),
            Kind::Write => {
                let commit = self.store.write(|tx| {
                    self.guard.write(tx, &cx, entry, &asks, input)?;
                    Err::<(), Error>(done())
                });
                commit.now().unwrap_or_else(|| Err(done()))
            }
            Kind::Async => self.store.read(|tx| {
                guard::authorize_all(tx, &cx, &asks)?;
                cx.check_asked()?;
                Err(done())
            }),
        };
        match outcome {
            Err(error) if error.code() == DONE => Ok(()),
            other => other,
        }
    }
}
