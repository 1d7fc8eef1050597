//! What an account has once: its alias, its password policy, its identity providers.

use api::{Error, Tx};
use base::{AccountId, Entropy, Timestamp};
use store::{Scope, Table, row};

use crate::rows::{TagRow, touch};

/// Providers of OpenID Connect by their URL without its scheme.
pub const OIDC_PROVIDERS: Table<String, OidcProviderRow> = Table::new(0x020d, "iam.oidc_provider");
/// By name.
pub const SAML_PROVIDERS: Table<String, SamlProviderRow> = Table::new(0x020e, "iam.saml_provider");
/// One row for each account that set anything, under an empty key.
pub const SETTINGS: Table<String, SettingsRow> = Table::new(0x020f, "iam.settings");
/// Aliases of all accounts, in the global scope: nobody else can have the same.
pub const ALIASES: Table<String, AliasRow> = Table::new(0x0210, "iam.alias");
/// Deletions of service-linked roles, by the id of the task.
pub const ROLE_DELETIONS: Table<String, RoleDeletionRow> = Table::new(0x0211, "iam.role_deletion");

row! {
    pub struct OidcProviderRow {
        1 => arn: String,
        /// Without its scheme, as AWS shows it.
        2 => url: String,
        /// Its keys are fetched by plain HTTP, which is allowed for this machine alone.
        3 => plain_http: bool,
        4 => client_ids: Vec<String>,
        5 => thumbprints: Vec<String>,
        6 => created: Timestamp,
        7 => tags: Vec<TagRow>,
    }

    pub struct SamlProviderRow {
        1 => id: String,
        2 => name: String,
        3 => arn: String,
        4 => metadata: String,
        5 => created: Timestamp,
        6 => valid_until: Timestamp,
        7 => tags: Vec<TagRow>,
    }

    #[derive(Default)]
    pub struct SettingsRow {
        1 => alias: Option<String>,
        2 => passwords: Option<PasswordPolicyRow>,
        /// The version of tokens from the global endpoint, if it was ever set.
        3 => token_version: Option<u32>,
    }

    #[derive(Default)]
    pub struct PasswordPolicyRow {
        1 => length_min: u32,
        2 => symbols: bool,
        3 => numbers: bool,
        4 => uppercase: bool,
        5 => lowercase: bool,
        6 => users_may_change: bool,
        7 => age_days_max: Option<u32>,
        8 => reuse_prevention: Option<u32>,
        9 => hard_expiry: bool,
    }

    pub struct AliasRow {
        1 => account: AccountId,
    }

    pub struct RoleDeletionRow {
        1 => role: String,
        2 => at: Timestamp,
    }
}

pub fn settings(tx: &Tx, account: AccountId) -> Result<SettingsRow, Error> {
    Ok(tx.get(&SETTINGS, &Scope::Account(account), "")?.unwrap_or_default())
}

pub fn put_settings(tx: &mut Tx, account: AccountId, row: &SettingsRow) -> Result<(), Error> {
    Ok(tx.put(&SETTINGS, &Scope::Account(account), "", row)?)
}

/// The provider whose URL, without its scheme, is this.
pub fn oidc_provider(
    tx: &Tx,
    account: AccountId,
    url: &str,
) -> Result<Option<OidcProviderRow>, Error> {
    Ok(tx.get(&OIDC_PROVIDERS, &Scope::Account(account), url)?)
}

/// Writes the row, and says so.
pub fn put_oidc_provider(
    tx: &mut Tx,
    account: AccountId,
    row: &OidcProviderRow,
    entropy: &dyn Entropy,
) -> Result<(), Error> {
    tx.put(&OIDC_PROVIDERS, &Scope::Account(account), row.url.as_str(), row)?;
    touch(tx, account, entropy)
}
