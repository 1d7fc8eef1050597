//! When keys were last used, by the minute: noted in memory, where a request that is the first of its
//! minute pays for it, and written down together from time to time.

use crate::gateway::Gateway;
use api::{Caller, Error, KeyUse};
use base::{Region, Timestamp};
use parking_lot::Mutex;
use policy::PrincipalKind;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 8;
/// Uses that wait to be written; more than this are not noted.
const WAITING_MAX: usize = 10_000;

/// The minutes in which a key was noted for a service. Services that share a slot are noted more often
/// than once a minute, which costs time and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Noted([AtomicU64; SLOTS]);

impl Noted {
    /// Whether this is news; from then on it is not.
    fn is_new(&self, service: &'static str, now: Timestamp) -> bool {
        let hash = service
            .bytes()
            .fold(7u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let minute = now.to_secs().div_euclid(60) as u64;
        let mark = minute << 24 | (hash & 0xff_ffff);
        let slot = &self.0[hash as usize % SLOTS];
        slot.load(Ordering::Relaxed) != mark && slot.swap(mark, Ordering::Relaxed) != mark
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<BTreeMap<(Arc<str>, &'static str), KeyUse>>);

impl Uses {
    /// Notes that a user or a role's session asked a service for something.
    pub fn note(
        &self,
        noted: &Noted,
        caller: &Caller,
        service: &'static str,
        region: &Region,
        now: Timestamp,
    ) {
        let is_entity =
            matches!(caller.principal.kind(), PrincipalKind::User | PrincipalKind::Session);
        let Some(account) = caller.account.filter(|_| is_entity) else { return };
        if !noted.is_new(service, now) {
            return;
        }
        let mut waiting = self.0.lock();
        if waiting.len() < WAITING_MAX {
            let entity_id = caller.user_id.split(':').next().unwrap_or_default();
            let own = KeyUse {
                at: Timestamp::from_secs(now.to_secs().div_euclid(60) * 60),
                account,
                access_key_id: caller.access_key_id.to_string(),
                entity_id: entity_id.to_owned(),
                service: service.to_owned(),
                region: region.as_str().to_owned(),
            };
            waiting.insert((caller.access_key_id.clone(), service), own);
        }
    }

    fn take(&self) -> Vec<KeyUse> {
        std::mem::take(&mut *self.0.lock()).into_values().collect()
    }
}

impl Gateway {
    /// Writes down which keys were used since the last time. Blocks until that is durable: for a thread
    /// of its own. What a full or busy store does not take is forgotten.
    pub fn write_uses(&self) -> Result<(), Error> {
        let uses = self.uses.take();
        if uses.is_empty() {
            return Ok(());
        }
        store::blobs::block_on(self.store.write(|tx| self.guard.keys.write_uses(tx, &uses)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute() {
        let noted = Noted::default();
        let at = |secs| Timestamp::from_secs(secs);
        assert!(noted.is_new("s3", at(60)));
        assert!(!noted.is_new("s3", at(61)) && !noted.is_new("s3", at(119)));
        assert!(noted.is_new("sts", at(61)));
        assert!(noted.is_new("s3", at(120)));
    }
}
