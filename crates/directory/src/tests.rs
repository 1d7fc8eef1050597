//! Lookups through the cache, as keys and policies come and go.

use crate::*;
use api::{Error, Identities, Tx};
use base::{AccountId, Entropy, ManualClock, SeededEntropy, Timestamp};
use policy::PrincipalKind;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Scope, Store};

const ALLOW: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;

struct World {
    store: Store,
    clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    directory: Directory,
    account: AccountId,
}

impl World {
    fn new() -> World {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let entropy = Arc::new(SeededEntropy::new(7));
        let store = Store::memory(clock.clone(), entropy.clone());
        let account = AccountId::parse("111122223333").expect("an account");
        World { store, clock, entropy, directory: Directory::default(), account }
    }

    fn write<R>(&self, change: impl Fn(&mut Tx, &dyn Entropy) -> Result<R, Error>) -> R {
        let commit = self.store.write(|tx| change(tx, &*self.entropy));
        now(commit).expect("a commit")
    }

    fn scope(&self) -> Scope {
        Scope::Account(self.account)
    }

    fn put_user(&self, row: &UserRow) {
        self.write(|tx, entropy| {
            tx.put(&USERS, &self.scope(), &key_of(&row.name), row)?;
            touch(tx, self.account, entropy)
        });
    }

    fn put_key(&self, id: &str, active: bool) {
        let row = AccessKeyRow {
            account: self.account,
            user: "alice".into(),
            secret: "s3cret".into(),
            active,
            created: Timestamp::EPOCH,
        };
        self.write(|tx, entropy| {
            tx.put(&ACCESS_KEYS, &Scope::Global, id, &row)?;
            touch(tx, self.account, entropy)
        });
    }

    /// Who the key stands for and the names of its policies.
    fn look(&self, id: &str) -> Option<(String, Vec<String>)> {
        self.store.read(|tx| {
            let found = self.directory.credential(tx, id).expect("a lookup")?;
            let policies = self.directory.policies(tx, &found.caller).expect("policies");
            let names = policies.identity.iter().map(|named| named.name.to_string()).collect();
            Some((found.caller.principal.arn().to_owned(), names))
        })
    }
}

/// A store in memory commits at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a store in memory does not wait"),
    }
}

fn alice() -> UserRow {
    let mut policies = PoliciesRow::new(None);
    policies.inline.insert("own".into(), ALLOW.into());
    UserRow {
        id: "AIDA1".into(),
        name: "Alice".into(),
        path: "/x/".into(),
        arn: "arn:aws:iam::111122223333:user/x/Alice".into(),
        created: Timestamp::EPOCH,
        tags: vec![TagRow { key: "team".into(), value: "red".into() }],
        policies,
        groups: BTreeSet::new(),
        access_keys: vec!["AKIA1".into()],
    }
}

fn names(list: &[&str]) -> Option<(String, Vec<String>)> {
    let arn = "arn:aws:iam::111122223333:user/x/Alice".to_owned();
    Some((arn, list.iter().map(|name| (*name).to_owned()).collect()))
}

#[test]
fn a_change_is_seen_by_the_next_lookup() {
    let world = World::new();
    assert_eq!(world.look("AKIA1"), None);
    world.put_user(&alice());
    world.put_key("AKIA1", true);
    for _ in 0..2 {
        assert_eq!(world.look("AKIA1"), names(&["own"]));
    }
    let mut row = alice();
    row.policies.attached.insert("arn:aws:iam::aws:policy/AmazonS3FullAccess".into());
    row.groups.insert("staff".into());
    world.put_user(&row);
    let managed = "arn:aws:iam::aws:policy/AmazonS3FullAccess";
    assert_eq!(world.look("AKIA1"), names(&["own", managed]));
    world.write(|tx, entropy| {
        let mut policies = PoliciesRow::new(None);
        policies.inline.insert("of group".into(), ALLOW.into());
        let row = GroupRow {
            id: "AGPA1".into(),
            name: "staff".into(),
            path: "/".into(),
            arn: "arn:aws:iam::111122223333:group/staff".into(),
            created: Timestamp::EPOCH,
            policies,
        };
        tx.put(&GROUPS, &world.scope(), "staff", &row)?;
        touch(tx, world.account, entropy)
    });
    assert_eq!(world.look("AKIA1"), names(&["of group", "own", managed]));
    world.put_key("AKIA1", false);
    assert_eq!(world.look("AKIA1"), None);
}

#[test]
fn what_was_never_committed_is_never_believed() {
    let world = World::new();
    world.put_user(&alice());
    world.put_key("AKIA1", true);
    let refused = world.store.write(|tx| {
        let mut row = alice();
        row.policies.inline.insert("stolen".into(), ALLOW.into());
        tx.put(&USERS, &world.scope(), "alice", &row)?;
        touch(tx, world.account, &*world.entropy)?;
        let found = world.directory.credential(tx, "AKIA1")?.expect("alice");
        let seen = world.directory.policies(tx, &found.caller)?;
        assert_eq!(seen.identity.len(), 2);
        Err::<(), Error>(Error::with_code("Refused", 400, ""))
    });
    assert!(now(refused).is_err());
    assert_eq!(world.look("AKIA1"), names(&["own"]));
}

fn role_row(world: &World) -> RoleRow {
    let mut policies = PoliciesRow::new(Some("arn:aws:iam::aws:policy/PowerUserAccess".into()));
    policies.inline.insert("of role".into(), ALLOW.into());
    let tag = |key: &str, value: &str| TagRow { key: key.into(), value: value.into() };
    RoleRow {
        id: "AROA1".into(),
        name: "R".into(),
        path: "/".into(),
        arn: format!("arn:aws:iam::{}:role/R", world.account),
        created: Timestamp::EPOCH,
        tags: vec![tag("Team", "red"), tag("cost", "1")],
        policies,
        trust: String::new(),
        description: None,
        session_s_max: 3600,
        trust_ids: Default::default(),
    }
}

#[test]
fn sessions_of_roles() {
    let world = World::new();
    let arn = "arn:aws:sts::111122223333:assumed-role/R/s";
    let put = |row: &RoleRow| {
        world.write(|tx, entropy| {
            tx.put(&ROLES, &world.scope(), "r", row)?;
            touch(tx, world.account, entropy)
        });
    };
    put(&role_row(&world));
    let make = |duration_s: i64| {
        let new = NewSession {
            account: world.account,
            holder: SessionHolder::Role(RoleSessionRow {
                role: "r".into(),
                role_id: "AROA1".into(),
                session_name: "s".into(),
            }),
            arn: arn.into(),
            duration_s,
            policies: Some(SessionPoliciesRow {
                inline: Some(ALLOW.into()),
                managed: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".into(), "arn:x".into()],
            }),
            tags: vec![TagRow { key: "team".into(), value: "blue".into() }],
            transitive_tag_keys: BTreeSet::new(),
            source_identity: None,
            mfa: false,
            keys: Vec::new(),
            token_length_min: 0,
        };
        world.write(|tx, entropy| issue(tx, entropy, new.clone())).0
    };
    let id = make(900);
    assert_eq!(access_key_account(&id), Some(world.account));
    let found = world.store.read(|tx| world.directory.credential(tx, &id));
    let found = found.expect("a lookup").expect("the session");
    assert_eq!(found.expires, Some(Timestamp::from_secs(1_700_000_900)));
    assert!(found.session_token.is_some());
    let caller = &found.caller;
    assert_eq!(caller.principal.kind(), PrincipalKind::Session);
    assert_eq!((&*caller.user_id, &*caller.name), ("AROA1:s", "R"));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(*caller.tags, [pair("team", "blue"), pair("cost", "1")]);
    let policies = world.store.read(|tx| world.directory.policies(tx, caller)).expect("policies");
    assert_eq!(policies.session.map(|list| list.len()), Some(2));
    assert_eq!(policies.identity.len(), 1);
    assert_eq!(policies.boundary.map(|b| b.name.to_string()), role_row(&world).policies.boundary);

    // A role made anew under the old name is another role.
    put(&RoleRow { id: "AROA2".into(), ..role_row(&world) });
    assert_eq!(world.look(&id), None);
    put(&role_row(&world));
    assert_eq!(world.look(&id).map(|(who, _)| who), Some(arn.to_owned()));
    // A day after its end it is gone.
    world.clock.advance_ms(901 * 1000 + 24 * 3600 * 1000);
    make(900);
    let left = world.store.read(|tx| tx.scan(&SESSIONS, &Scope::Global).keys().count());
    assert_eq!(left, 1);
}
