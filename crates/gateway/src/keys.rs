//! Access keys: the well-known pairs, those given at the start, and those that IAM issued; with the
//! signing keys and policies that belong to each, kept between requests.
//!
//! What IAM said is used until IAM changes: every write of the identity service raises `changed` to
//! the number of its commit, from inside the transaction, and what was read before that is read
//! again. So a deleted key is refused by every request that begins after the deletion was answered,
//! and a write that commits after it sees it whatever else happens.

use crate::uses::Noted;
use api::{Caller, Credential, Error, Identities, IdentityPolicies, KeyUse};
use base::{AccountId, Partition, Region, Timestamp};
use parking_lot::{Mutex, RwLock};
use policy::Principal;
use sigv4::SigningKey;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use store::Tx;

/// Keys that are kept; more than this and all are read anew.
const KNOWN_MAX: usize = 10_000;
/// Signing keys kept for one access key: days, regions and services in use at a time.
const SCOPES_MAX: usize = 32;

/// The secret of every well-known pair, and the key id of the default account's.
pub const WELL_KNOWN: &str = "test";

/// A key given at the start.
#[derive(Clone)]
pub struct RootKey {
    pub id: String,
    pub secret: String,
    pub account: AccountId,
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.id)
    }
}

/// A signing key and what it was made for.
pub(crate) struct Scoped {
    date: Box<str>,
    service: Box<str>,
    pub region: Region,
    pub key: SigningKey,
}

/// An access key that exists.
pub(crate) struct Known {
    secret: Arc<str>,
    pub token: Option<Arc<str>>,
    pub expires: Option<Timestamp>,
    pub caller: Arc<Caller>,
    /// A well-known pair, for this machine alone.
    pub is_well_known: bool,
    pub noted: Noted,
    /// The snapshot in which it was found.
    read_at: u64,
    policies: OnceLock<Arc<IdentityPolicies>>,
    scopes: RwLock<Vec<Arc<Scoped>>>,
}

impl Known {
    /// For signatures that take the secret itself.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    fn new(credential: Credential, is_well_known: bool, read_at: u64) -> Known {
        let Credential { secret, session_token, expires, caller } = credential;
        Known {
            secret,
            token: session_token,
            expires,
            caller,
            is_well_known,
            noted: Noted::default(),
            read_at,
            policies: OnceLock::new(),
            scopes: RwLock::new(Vec::new()),
        }
    }

    /// The signing key for a scope; `None` if the region is no region.
    pub fn scoped(&self, date: &str, region: &str, service: &str) -> Option<Arc<Scoped>> {
        let is_it = |scoped: &&Arc<Scoped>| {
            *scoped.date == *date && scoped.region.as_str() == region && *scoped.service == *service
        };
        if let Some(found) = self.scopes.read().iter().find(is_it) {
            return Some(found.clone());
        }
        let scoped = Arc::new(Scoped {
            date: date.into(),
            service: service.into(),
            region: Region::parse(region)?,
            key: SigningKey::derive(&self.secret, date, region, service),
        });
        let mut scopes = self.scopes.write();
        if scopes.len() >= SCOPES_MAX {
            scopes.remove(0);
        }
        scopes.push(scoped.clone());
        Some(scoped)
    }
}

/// All keys.
pub(crate) struct Keys {
    identities: Arc<dyn Identities>,
    /// Whether the well-known pairs exist at all.
    well_known: bool,
    root_keys: BTreeMap<String, RootKey>,
    known: RwLock<BTreeMap<Arc<str>, Arc<Known>>>,
    /// The last commit that changed users, roles, keys or policies.
    changed: AtomicU64,
    anonymous: Arc<Caller>,
    no_policies: Arc<IdentityPolicies>,
    regions: Mutex<Vec<Region>>,
}

impl Keys {
    pub fn new(identities: Arc<dyn Identities>, well_known: bool, roots: Vec<RootKey>) -> Keys {
        Keys {
            identities,
            well_known,
            root_keys: roots.into_iter().map(|key| (key.id.clone(), key)).collect(),
            known: RwLock::new(BTreeMap::new()),
            changed: AtomicU64::new(0),
            anonymous: Arc::new(anonymous()),
            no_policies: Arc::new(IdentityPolicies::default()),
            regions: Mutex::new(Vec::new()),
        }
    }

    pub fn anonymous(&self) -> Arc<Caller> {
        self.anonymous.clone()
    }

    pub fn write_uses(&self, tx: &mut Tx, uses: &[KeyUse]) -> Result<(), Error> {
        self.identities.record_uses(tx, uses)
    }

    /// To be called within every transaction that may change what [`Identities`] answers.
    pub fn identities_change(&self, tx: &Tx) {
        self.changed.fetch_max(tx.version() + 1, Ordering::AcqRel);
    }

    fn is_fresh(&self, known: &Known) -> bool {
        known.read_at >= self.changed.load(Ordering::Acquire)
    }

    /// The key as it was last seen, if nothing has changed since.
    pub fn cached(&self, id: &str) -> Option<Arc<Known>> {
        let known = self.known.read().get(id).cloned()?;
        self.is_fresh(&known).then_some(known)
    }

    /// The key as of this snapshot; `None` if there is none of that id.
    pub fn find(&self, tx: &Tx, id: &str) -> Result<Option<Arc<Known>>, Error> {
        let known = match self.configured(id) {
            Some(known) => known,
            None => match self.identities.credential(tx, id)? {
                Some(credential) => Known::new(credential, false, tx.version()),
                None => return Ok(None),
            },
        };
        let known = Arc::new(known);
        let mut all = self.known.write();
        if all.len() >= KNOWN_MAX {
            all.clear();
        }
        all.insert(id.into(), known.clone());
        Ok(Some(known))
    }

    fn configured(&self, id: &str) -> Option<Known> {
        if let Some(key) = self.root_keys.get(id) {
            return Some(self.root(id, &key.secret, key.account, false));
        }
        if !self.well_known {
            return None;
        }
        let account = match id {
            WELL_KNOWN => AccountId::DEFAULT,
            digits => AccountId::parse(digits)?,
        };
        Some(self.root(id, WELL_KNOWN, account, true))
    }

    fn root(&self, id: &str, secret: &str, account: AccountId, is_well_known: bool) -> Known {
        let mut caller =
            Caller { access_key_id: id.into(), ..Caller::root(Partition::Aws, account) };
        caller.principal = self.identities.root(&caller);
        let credential = Credential {
            secret: secret.into(),
            session_token: None,
            expires: None,
            caller: Arc::new(caller),
        };
        Known::new(credential, is_well_known, u64::MAX)
    }

    /// The policies of a caller as of this snapshot.
    pub fn policies(&self, tx: &Tx, caller: &Arc<Caller>) -> Result<Arc<IdentityPolicies>, Error> {
        if caller.account.is_none() {
            return Ok(self.no_policies.clone());
        }
        let known = self.cached(&caller.access_key_id);
        let Some(known) = known.filter(|known| Arc::ptr_eq(&known.caller, caller)) else {
            return self.identities.policies(tx, caller).map(Arc::new);
        };
        if let Some(policies) = known.policies.get() {
            return Ok(policies.clone());
        }
        let policies = Arc::new(self.identities.policies(tx, caller)?);
        // Of a snapshot before the key's own they would be too old to keep.
        if tx.version() >= known.read_at || known.read_at == u64::MAX {
            let _ = known.policies.set(policies.clone());
        }
        Ok(policies)
    }

    /// One region object for each name in use.
    pub fn region(&self, name: &str) -> Option<Region> {
        let mut regions = self.regions.lock();
        if let Some(region) = regions.iter().find(|region| region.as_str() == name) {
            return Some(region.clone());
        }
        let region = Region::parse(name)?;
        if regions.len() >= SCOPES_MAX {
            regions.clear();
        }
        regions.push(region.clone());
        Some(region)
    }
}

pub(crate) fn anonymous() -> Caller {
    Caller::bare(Principal::anonymous(), None, "anonymous")
}

/// What the refusal of an unknown key adds, so that nobody has to guess.
pub(crate) const UNKNOWN_KEY_HINT: &str = "Keys that work here: on this machine the pair test/test \
    (root of account 000000000000), or a 12-digit account number with the secret test (root of that \
    account); a pair given with --root-key ID:SECRET; a key made with IAM or STS.";
/// The same where well-known pairs are off.
pub(crate) const UNKNOWN_KEY_HINT_STRICT: &str = "Keys that work here: a pair given with --root-key \
    ID:SECRET, and keys made with IAM or STS. Well-known pairs are off (--auth strict).";
