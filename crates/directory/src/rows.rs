//! The rows. Numbers of fields and tables are never changed and never reused.

use api::{Error, Tx};
use base::{AccountId, Entropy, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use store::{Scope, Table, row, row_enum};

/// By name in lower case, in the account.
pub const USERS: Table<String, UserRow> = Table::new(0x0201, "iam.user");
pub const GROUPS: Table<String, GroupRow> = Table::new(0x0202, "iam.group");
pub const ROLES: Table<String, RoleRow> = Table::new(0x0203, "iam.role");
pub const INSTANCE_PROFILES: Table<String, InstanceProfileRow> =
    Table::new(0x0204, "iam.instance_profile");
/// Customer-managed policies, by name in lower case.
pub const POLICIES: Table<String, PolicyRow> = Table::new(0x0205, "iam.policy");
/// Group and user, in lower case.
pub const GROUP_MEMBERS: Table<(String, String), ()> = Table::new(0x0206, "iam.group_member");
/// Policy ARN, kind of holder ([`Holder`]), its name in lower case: who has the policy attached or
/// as boundary.
pub const POLICY_USES: Table<(String, u8, String), PolicyUseRow> =
    Table::new(0x0207, "iam.policy_use");
/// Role and instance profile, in lower case.
pub const ROLE_PROFILES: Table<(String, String), ()> = Table::new(0x0208, "iam.role_profile");
/// By access key id, in the global scope: a request names nothing else.
pub const ACCESS_KEYS: Table<String, AccessKeyRow> = Table::new(0x0209, "iam.access_key");
/// One row for each account, under an empty key.
pub const STAMPS: Table<String, StampRow> = Table::new(0x020a, "iam.stamp");
/// Temporary credentials, by access key id, in the global scope.
pub const SESSIONS: Table<String, SessionRow> = Table::new(0x020b, "sts.session");
/// The same by their end, so that old ones are found.
pub const SESSION_ENDS: Table<(Timestamp, String), ()> = Table::new(0x020c, "sts.session_end");

/// Users whose ARN is another than at first, by unique id: policies name them by the ARN of before.
pub const RENAMED: Table<String, RenamedRow> = Table::new(0x021c, "iam.renamed");

/// The access keys of an account's root, by id.
pub const ROOT_KEYS: Table<String, ()> = Table::new(0x021d, "iam.root_key");

/// Who can hold a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    Group = 0,
    Role = 1,
    User = 2,
}

row! {
    pub struct TagRow {
        1 => key: String,
        2 => value: String,
    }

    pub struct RenamedRow {
        /// What the user is called now.
        1 => name: String,
    }

    /// What users, groups and roles have in common.
    pub struct PoliciesRow {
        /// By name, as the client wrote them.
        1 => inline: BTreeMap<String, String>,
        /// ARNs of managed policies.
        2 => attached: BTreeSet<String>,
        3 => boundary: Option<String>,
    }

    pub struct UserRow {
        1 => id: String,
        2 => name: String,
        3 => path: String,
        4 => arn: String,
        5 => created: Timestamp,
        6 => tags: Vec<TagRow>,
        7 => policies: PoliciesRow,
        /// In lower case.
        8 => groups: BTreeSet<String>,
        9 => access_keys: Vec<String>,
    }

    pub struct GroupRow {
        1 => id: String,
        2 => name: String,
        3 => path: String,
        4 => arn: String,
        5 => created: Timestamp,
        6 => policies: PoliciesRow,
    }

    pub struct RoleRow {
        1 => id: String,
        2 => name: String,
        3 => path: String,
        4 => arn: String,
        5 => created: Timestamp,
        6 => tags: Vec<TagRow>,
        7 => policies: PoliciesRow,
        /// The trust policy, as the client wrote it.
        8 => trust: String,
        9 => description: Option<String>,
        10 => session_s_max: u32,
        /// The unique ids of the users and roles that the trust policy names, by the ARNs that it
        /// names them by, as of when it was put: one who is made later under the same name is
        /// somebody else.
        11 => trust_ids: BTreeMap<String, String>,
    }

    pub struct InstanceProfileRow {
        1 => id: String,
        2 => name: String,
        3 => path: String,
        4 => arn: String,
        5 => created: Timestamp,
        6 => tags: Vec<TagRow>,
        /// In lower case.
        7 => role: Option<String>,
    }

    pub struct PolicyVersionRow {
        1 => number: u32,
        2 => document: String,
        3 => created: Timestamp,
    }

    pub struct PolicyRow {
        1 => id: String,
        2 => name: String,
        3 => path: String,
        4 => arn: String,
        5 => created: Timestamp,
        6 => updated: Timestamp,
        7 => tags: Vec<TagRow>,
        8 => description: Option<String>,
        9 => default_version: u32,
        /// The number of the last version ever made.
        10 => last_version: u32,
        11 => versions: Vec<PolicyVersionRow>,
    }

    #[derive(Default)]
    pub struct PolicyUseRow {
        1 => attached: bool,
        2 => boundary: bool,
    }

    pub struct AccessKeyRow {
        1 => account: AccountId,
        /// In lower case; empty for the account's root.
        2 => user: String,
        3 => secret: String,
        4 => active: bool,
        5 => created: Timestamp,
    }

    pub struct StampRow {
        1 => stamp: u64,
    }

    /// A session's policies: what the session may do at most.
    #[derive(Default)]
    pub struct SessionPoliciesRow {
        1 => inline: Option<String>,
        2 => managed: Vec<String>,
    }

    pub struct SessionRow {
        1 => account: AccountId,
        2 => secret: String,
        3 => token: String,
        4 => issued: Timestamp,
        5 => expires: Timestamp,
        6 => holder: SessionHolder,
        /// The ARN that the session acts under.
        7 => arn: String,
        8 => policies: Option<SessionPoliciesRow>,
        9 => tags: Vec<TagRow>,
        10 => transitive_tag_keys: BTreeSet<String>,
        11 => source_identity: Option<String>,
        12 => mfa: bool,
        /// Further condition keys: who vouched for it, and as whom.
        13 => keys: Vec<SessionKeyRow>,
    }

    pub struct SessionKeyRow {
        /// In lower case.
        1 => name: String,
        2 => values: Vec<String>,
    }

    /// A session from `GetFederationToken`.
    pub struct FederatedRow {
        /// `None`: root asked for it.
        1 => user: Option<UserSessionRow>,
        2 => name: String,
    }

    pub struct RoleSessionRow {
        /// In lower case.
        1 => role: String,
        2 => role_id: String,
        3 => session_name: String,
    }

    pub struct UserSessionRow {
        /// In lower case.
        1 => user: String,
        2 => user_id: String,
    }
}

row_enum! {
    /// Of whom a session is.
    pub enum SessionHolder {
        1 => Role(RoleSessionRow),
        2 => User(UserSessionRow),
        3 => Root,
        4 => Federated(FederatedRow),
    }
}

impl PoliciesRow {
    pub fn new(boundary: Option<String>) -> PoliciesRow {
        PoliciesRow { inline: BTreeMap::new(), attached: BTreeSet::new(), boundary }
    }
}

/// The key of a name.
pub fn key_of(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Says that lookups in the account may have changed. Comes after the change.
pub fn touch(tx: &mut Tx, account: AccountId, entropy: &dyn Entropy) -> Result<(), Error> {
    let row = StampRow { stamp: entropy.next_u64() };
    Ok(tx.put(&STAMPS, &Scope::Account(account), "", &row)?)
}

/// The ids of the access keys of an account's root, in order.
pub fn root_keys(tx: &Tx, account: AccountId) -> Result<Vec<String>, Error> {
    let scope = Scope::Account(account);
    let keys = tx.scan(&ROOT_KEYS, &scope).keys();
    keys.map(|key| key.map_err(Error::from)).collect()
}

pub fn user(tx: &Tx, account: AccountId, name: &str) -> Result<Option<UserRow>, Error> {
    Ok(tx.get(&USERS, &Scope::Account(account), &key_of(name))?)
}

/// Writes the row, and says so.
pub fn put_user(
    tx: &mut Tx,
    account: AccountId,
    row: &UserRow,
    entropy: &dyn Entropy,
) -> Result<(), Error> {
    tx.put(&USERS, &Scope::Account(account), &key_of(&row.name), row)?;
    touch(tx, account, entropy)
}

/// Writes the row, and says so.
pub fn put_group(
    tx: &mut Tx,
    account: AccountId,
    row: &GroupRow,
    entropy: &dyn Entropy,
) -> Result<(), Error> {
    tx.put(&GROUPS, &Scope::Account(account), &key_of(&row.name), row)?;
    touch(tx, account, entropy)
}

/// Writes the row, and says so.
pub fn put_role(
    tx: &mut Tx,
    account: AccountId,
    row: &RoleRow,
    entropy: &dyn Entropy,
) -> Result<(), Error> {
    tx.put(&ROLES, &Scope::Account(account), &key_of(&row.name), row)?;
    touch(tx, account, entropy)
}

pub fn group(tx: &Tx, account: AccountId, name: &str) -> Result<Option<GroupRow>, Error> {
    Ok(tx.get(&GROUPS, &Scope::Account(account), &key_of(name))?)
}

pub fn role(tx: &Tx, account: AccountId, name: &str) -> Result<Option<RoleRow>, Error> {
    Ok(tx.get(&ROLES, &Scope::Account(account), &key_of(name))?)
}
