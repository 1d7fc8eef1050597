//! Who is signed in. Credentials stay in this process's memory; the browser holds a number drawn at
//! random that means nothing elsewhere.
//!
//! Invariants: an id is made by us at each sign-in and never taken from a request; sessions end by
//! themselves, unused after [`IDLE_NS`] and in any case after [`LIFE_NS`]; there are never more than
//! [`SESSIONS_MAX`].

use base::{Entropy, hex};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub const SESSIONS_MAX: usize = 128;
const SECOND_NS: u64 = 1_000_000_000;
pub const IDLE_NS: u64 = 30 * 60 * SECOND_NS;
pub const LIFE_NS: u64 = 12 * 3600 * SECOND_NS;
/// Of a key id, a secret or a token.
pub const CREDENTIAL_BYTES_MAX: usize = 4096;

/// What a person signs with.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.id)
    }
}

#[derive(Debug)]
pub struct Session {
    pub person: Person,
    /// As `sts:GetCallerIdentity` has it.
    pub arn: String,
    pub account: String,
    region: Mutex<String>,
    /// Stands in every form.
    pub csrf: String,
    /// Stands in the addresses that a page loads by itself, so that nobody else's page can.
    pub page: String,
    /// Said once, on the next page.
    pub notice: Mutex<Option<Notice>>,
    began_ns: u64,
    used_ns: Mutex<u64>,
}

/// What came of the last form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    pub good: bool,
    pub text: String,
}

#[derive(Default, Debug)]
pub struct Sessions(Mutex<BTreeMap<String, Arc<Session>>>);

/// 32 random bytes, in words.
pub fn number(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    hex::encode(&bytes)
}

/// Ids are looked up by their hash, so that a lookup tells nothing of how near a guess came.
fn place(id: &str) -> String {
    hex::encode(&sigv4::sha256(id.as_bytes()))
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let differs = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differs == 0
}

/// Who somebody turned out to be.
#[derive(Debug)]
pub struct Identity {
    pub arn: String,
    pub account: String,
}

impl Sessions {
    /// Begins a session; gives the id for the cookie.
    pub fn begin(
        &self,
        person: Person,
        identity: Identity,
        region: String,
        entropy: &dyn Entropy,
        now_ns: u64,
    ) -> String {
        let id = number(entropy);
        let session = Session {
            person,
            arn: identity.arn,
            account: identity.account,
            region: Mutex::new(region),
            csrf: number(entropy),
            page: number(entropy),
            notice: Mutex::new(None),
            began_ns: now_ns,
            used_ns: Mutex::new(now_ns),
        };
        let mut all = self.0.lock();
        all.retain(|_, session| session.is_alive(now_ns));
        if all.len() >= SESSIONS_MAX {
            let idle = all.iter().min_by_key(|(_, session)| *session.used_ns.lock());
            let idle = idle.map(|(place, _)| place.clone());
            idle.and_then(|place| all.remove(&place));
        }
        all.insert(place(&id), Arc::new(session));
        id
    }

    /// The session of a cookie, which counts as used now.
    pub fn find(&self, id: &str, now_ns: u64) -> Option<Arc<Session>> {
        let mut all = self.0.lock();
        let place = place(id);
        let session = all.get(&place)?.clone();
        if !session.is_alive(now_ns) {
            all.remove(&place);
            return None;
        }
        *session.used_ns.lock() = now_ns;
        Some(session)
    }

    pub fn end(&self, id: &str) {
        self.0.lock().remove(&place(id));
    }
}

impl Session {
    fn is_alive(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(*self.used_ns.lock()) < IDLE_NS
            && now_ns.saturating_sub(self.began_ns) < LIFE_NS
    }

    /// Where it looks.
    pub fn region(&self) -> String {
        self.region.lock().clone()
    }

    pub fn look_in(&self, region: &str) {
        region.clone_into(&mut self.region.lock());
    }

    pub fn say(&self, good: bool, text: impl Into<String>) {
        *self.notice.lock() = Some(Notice { good, text: text.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SeededEntropy;

    fn person(id: &str) -> Person {
        Person { id: id.into(), secret: "secret".into(), token: None }
    }

    fn begin(sessions: &Sessions, dice: &SeededEntropy, id: &str, now: u64) -> String {
        let identity = Identity { arn: "arn".into(), account: "1".into() };
        sessions.begin(person(id), identity, "us-east-1".into(), dice, now)
    }

    #[test]
    fn ids_are_ours_and_end() {
        let (sessions, dice) = (Sessions::default(), SeededEntropy::new(1));
        assert!(sessions.find("chosen by somebody else", 0).is_none());
        let one = begin(&sessions, &dice, "one", 0);
        let two = begin(&sessions, &dice, "two", 0);
        assert_ne!(one, two);
        assert_eq!(sessions.find(&one, 1).unwrap().person, person("one"));
        assert_eq!(sessions.find(&two, 1).unwrap().person, person("two"));
        assert_ne!(sessions.find(&one, 1).unwrap().csrf, sessions.find(&two, 1).unwrap().csrf);
        sessions.end(&one);
        assert!(sessions.find(&one, 1).is_none());
        assert!(sessions.find(&two, IDLE_NS).is_some());
        assert!(sessions.find(&two, 2 * IDLE_NS).is_none());
    }

    #[test]
    fn used_or_not_a_session_ends() {
        let (sessions, dice) = (Sessions::default(), SeededEntropy::new(1));
        let id = begin(&sessions, &dice, "one", 0);
        let mut now = 0;
        while now < LIFE_NS {
            assert!(sessions.find(&id, now).is_some(), "{now}");
            now += IDLE_NS / 2;
        }
        assert!(sessions.find(&id, now).is_none());
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let (sessions, dice) = (Sessions::default(), SeededEntropy::new(1));
        let ids: Vec<String> =
            (0..SESSIONS_MAX).map(|n| begin(&sessions, &dice, "x", n as u64)).collect();
        assert!(sessions.find(&ids[0], 1_000).is_some());
        begin(&sessions, &dice, "new", 2_000);
        assert!(sessions.find(&ids[1], 2_001).is_none());
        assert!(sessions.find(&ids[0], 2_001).is_some());
        assert_eq!(sessions.0.lock().len(), SESSIONS_MAX);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", person("one")), "one:***");
        assert!(same("ab", "ab") && !same("ab", "ac") && !same("ab", "abc"));
    }
}
