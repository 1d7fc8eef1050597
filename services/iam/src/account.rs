//! What an account has once: alias, password policy, the summary of what is in it.

use crate::error::{invalid, validation};
use crate::page::Pager;
use crate::{mfa, server_certificate};
use api::{Cx, Error, Tx};
use directory::{
    ALIASES, AliasRow, GROUPS, INSTANCE_PROFILES, OIDC_PROVIDERS, POLICIES, PasswordPolicyRow,
    ROLES, SAML_PROVIDERS, SERVER_CERTIFICATES, USERS, put_settings, root_keys, settings,
};
use gen_iam::*;
use store::{Key, Row, Scope, Table};

pub(crate) const USERS_MAX: usize = 5_000;
pub(crate) const GROUPS_MAX: usize = 300;
pub(crate) const ROLES_MAX: usize = 1_000;
pub(crate) const PROFILES_MAX: usize = 1_000;
pub(crate) const POLICIES_MAX: usize = 1_500;
/// What a password must have where the account says nothing.
const LENGTH_MIN_DEFAULT: u32 = 6;

/// How many there are, up to a limit.
pub(crate) fn count<K: Key, R: Row>(
    tx: &Tx,
    cx: &Cx,
    table: &Table<K, R>,
    limit: usize,
) -> Result<usize, Error> {
    let mut count = 0;
    for key in tx.scan(table, &Scope::Account(cx.account)).keys().take(limit) {
        key?;
        count += 1;
    }
    Ok(count)
}

/// Refuses one more where there are as many as the quota has.
pub(crate) fn check_quota<K: Key, R: Row>(
    tx: &Tx,
    cx: &Cx,
    table: &Table<K, R>,
    (name, limit): (&str, usize),
) -> Result<(), Error> {
    match count(tx, cx, table, limit)? >= limit {
        true => Err(crate::error::quota(name, limit)),
        false => Ok(()),
    }
}

/// Another alias of the account gives way.
pub(crate) fn create_alias(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateAccountAliasInput,
) -> Result<CreateAccountAliasOutput, Error> {
    let alias = &input.account_alias;
    if tx.exists(&ALIASES, &Scope::Global, alias)? {
        let message = format!("The account alias {alias} already exists.");
        return Err(Error::new(&errors::ENTITY_ALREADY_EXISTS_EXCEPTION, message));
    }
    // AWS keeps these for itself: they would read like an account's number.
    if alias.len() == 12 && alias.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid("The account alias must not be twelve digits."));
    }
    let mut row = settings(tx, cx.account)?;
    if let Some(old) = row.alias.replace(alias.clone()) {
        tx.delete(&ALIASES, &Scope::Global, &old)?;
    }
    tx.put(&ALIASES, &Scope::Global, alias, &AliasRow { account: cx.account })?;
    put_settings(tx, cx.account, &row)?;
    Ok(CreateAccountAliasOutput {})
}

pub(crate) fn delete_alias(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteAccountAliasInput,
) -> Result<DeleteAccountAliasOutput, Error> {
    let mut row = settings(tx, cx.account)?;
    if row.alias.as_ref() != Some(&input.account_alias) {
        let message =
            format!("The account alias with name {} cannot be found.", input.account_alias);
        return Err(Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message));
    }
    row.alias = None;
    tx.delete(&ALIASES, &Scope::Global, &input.account_alias)?;
    put_settings(tx, cx.account, &row)?;
    Ok(DeleteAccountAliasOutput {})
}

pub(crate) fn list_aliases(
    tx: &Tx,
    cx: &Cx,
    input: &ListAccountAliasesInput,
) -> Result<ListAccountAliasesOutput, Error> {
    let pager = Pager::new(cx, &[], input.marker.as_deref(), input.max_items)?;
    let alias = settings(tx, cx.account)?.alias;
    let page = pager.take(alias.into_iter().map(|alias| Ok((alias.clone(), alias))))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListAccountAliasesOutput { account_aliases: page.items, is_truncated, marker })
}

fn whole(number: Option<i32>) -> Option<u32> {
    number.and_then(|n| u32::try_from(n).ok())
}

/// What the request leaves out goes back to its default.
pub(crate) fn update_passwords(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateAccountPasswordPolicyInput,
) -> Result<UpdateAccountPasswordPolicyOutput, Error> {
    let mut row = settings(tx, cx.account)?;
    row.passwords = Some(PasswordPolicyRow {
        length_min: whole(input.minimum_password_length).unwrap_or(LENGTH_MIN_DEFAULT),
        symbols: input.require_symbols.unwrap_or(false),
        numbers: input.require_numbers.unwrap_or(false),
        uppercase: input.require_uppercase_characters.unwrap_or(false),
        lowercase: input.require_lowercase_characters.unwrap_or(false),
        users_may_change: input.allow_users_to_change_password.unwrap_or(false),
        age_days_max: whole(input.max_password_age).filter(|days| *days > 0),
        reuse_prevention: whole(input.password_reuse_prevention).filter(|count| *count > 0),
        hard_expiry: input.hard_expiry.unwrap_or(false),
    });
    put_settings(tx, cx.account, &row)?;
    Ok(UpdateAccountPasswordPolicyOutput {})
}

pub(crate) fn get_passwords(
    tx: &Tx,
    cx: &Cx,
    _: &GetAccountPasswordPolicyInput,
) -> Result<GetAccountPasswordPolicyOutput, Error> {
    let row = settings(tx, cx.account)?.passwords.ok_or_else(|| {
        let message =
            format!("The Password Policy with domain name {} cannot be found.", cx.account);
        Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
    })?;
    let shown = |number: u32| i32::try_from(number).ok();
    let password_policy = PasswordPolicy {
        minimum_password_length: shown(row.length_min),
        require_symbols: Some(row.symbols),
        require_numbers: Some(row.numbers),
        require_uppercase_characters: Some(row.uppercase),
        require_lowercase_characters: Some(row.lowercase),
        allow_users_to_change_password: Some(row.users_may_change),
        expire_passwords: Some(row.age_days_max.is_some()),
        max_password_age: row.age_days_max.and_then(shown),
        password_reuse_prevention: row.reuse_prevention.and_then(shown),
        hard_expiry: Some(row.hard_expiry),
    };
    Ok(GetAccountPasswordPolicyOutput { password_policy })
}

pub(crate) fn delete_passwords(
    tx: &mut Tx,
    cx: &Cx,
    _: &DeleteAccountPasswordPolicyInput,
) -> Result<DeleteAccountPasswordPolicyOutput, Error> {
    let mut row = settings(tx, cx.account)?;
    if row.passwords.take().is_none() {
        let message = "The account policy with name PasswordPolicy cannot be found.";
        return Err(Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message));
    }
    put_settings(tx, cx.account, &row)?;
    Ok(DeleteAccountPasswordPolicyOutput {})
}

/// Tokens here are good in every region whatever the version says, so it is only kept and shown.
pub(crate) fn set_token_version(
    tx: &mut Tx,
    cx: &Cx,
    input: &SetSecurityTokenServicePreferencesInput,
) -> Result<SetSecurityTokenServicePreferencesOutput, Error> {
    let version = match input.global_endpoint_token_version.as_str() {
        "v1Token" => 1,
        "v2Token" => 2,
        other => return Err(validation(format!("{other} is no version of tokens"))),
    };
    let mut row = settings(tx, cx.account)?;
    row.token_version = Some(version);
    put_settings(tx, cx.account, &row)?;
    Ok(SetSecurityTokenServicePreferencesOutput {})
}

pub(crate) fn summary(
    tx: &Tx,
    cx: &Cx,
    _: &GetAccountSummaryInput,
) -> Result<GetAccountSummaryOutput, Error> {
    let token_version = settings(tx, cx.account)?.token_version.unwrap_or(1);
    let mut versions = 0;
    let mut policies = 0;
    for row in tx.scan(&POLICIES, &Scope::Account(cx.account)) {
        policies += 1;
        versions += row?.1.versions.len();
    }
    let providers =
        count(tx, cx, &OIDC_PROVIDERS, usize::MAX)? + count(tx, cx, &SAML_PROVIDERS, usize::MAX)?;
    let all = [
        ("AccessKeysPerUserQuota", 2),
        // Root's well-known pair is no key that IAM made.
        ("AccountAccessKeysPresent", usize::from(!root_keys(tx, cx.account)?.is_empty())),
        ("AccountMFAEnabled", 0),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("AssumeRolePolicySizeQuota", 2_048),
        ("AttachedPoliciesPerGroupQuota", 10),
        ("AttachedPoliciesPerRoleQuota", 10),
        ("AttachedPoliciesPerUserQuota", 10),
        ("GlobalEndpointTokenVersion", token_version as usize),
        ("GroupPolicySizeQuota", 5_120),
        ("Groups", count(tx, cx, &GROUPS, usize::MAX)?),
        ("GroupsPerUserQuota", 10),
        ("GroupsQuota", GROUPS_MAX),
        ("InstanceProfiles", count(tx, cx, &INSTANCE_PROFILES, usize::MAX)?),
        ("InstanceProfilesQuota", PROFILES_MAX),
        ("Policies", policies),
        ("PoliciesQuota", POLICIES_MAX),
        ("PolicySizeQuota", 6_144),
        ("PolicyVersionsInUse", versions),
        ("PolicyVersionsInUseQuota", 10_000),
        ("Providers", providers),
        ("RolePolicySizeQuota", 10_240),
        ("Roles", count(tx, cx, &ROLES, usize::MAX)?),
        ("RolesQuota", ROLES_MAX),
        ("SigningCertificatesPerUserQuota", 2),
        ("UserPolicySizeQuota", 2_048),
        ("Users", count(tx, cx, &USERS, usize::MAX)?),
        ("UsersQuota", USERS_MAX),
        ("VersionsPerPolicyQuota", 5),
    ];
    let summary = all.into_iter().chain(of_devices(tx, cx)?);
    let shown = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let summary_map = Some(summary.map(|(key, n)| (key.to_owned(), shown(n))).collect());
    Ok(GetAccountSummaryOutput { summary_map })
}

/// Second factors and server certificates.
fn of_devices(tx: &Tx, cx: &Cx) -> Result<[(&'static str, usize); 4], Error> {
    let devices = mfa::of(tx, cx, None)?;
    Ok([
        ("MFADevices", devices.len()),
        ("MFADevicesInUse", devices.iter().filter(|device| device.user.is_some()).count()),
        ("ServerCertificates", count(tx, cx, &SERVER_CERTIFICATES, usize::MAX)?),
        ("ServerCertificatesQuota", server_certificate::CERTIFICATES_MAX),
    ])
}
