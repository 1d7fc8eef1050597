//! Passwords of users. Hashing takes its time, so these operations are async: they hash before they
//! open their transaction.

use crate::error::validation;
use crate::holder::Holds;
use crate::user::name_or_own;
use api::{AsyncCx, Cx, Error, Reply, Tx};
use bytes::Bytes;
use directory::{
    LOGIN_PROFILES, LoginProfileRow, PasswordPolicyRow, PasswordRow, UserRow, settings,
};
use gen_iam::*;
use policy::PrincipalKind;
use ring::pbkdf2;
use std::num::NonZeroU32;
use store::Scope;

const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
const OLDER_MAX: usize = 24;
const SYMBOLS: &str = "!@#$%^&*()_+-=[]{}|'";

fn hash(password: &str, cx: &Cx) -> PasswordRow {
    let (mut salt, mut hash) = ([0; 16], [0; 32]);
    cx.entropy.fill(&mut salt);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, password.as_bytes(), &mut hash);
    PasswordRow {
        salt: Bytes::copy_from_slice(&salt),
        hash: Bytes::copy_from_slice(&hash),
        rounds: ROUNDS.get(),
    }
}

fn is(row: &PasswordRow, password: &str) -> bool {
    let rounds = NonZeroU32::new(row.rounds).unwrap_or(ROUNDS);
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::verify(algorithm, rounds, &row.salt, password.as_bytes(), &row.hash).is_ok()
}

fn violation(message: impl Into<String>) -> Error {
    Error::new(&errors::PASSWORD_POLICY_VIOLATION_EXCEPTION, message)
}

/// What the account asks of passwords, or else AWS: eight characters of three kinds.
fn check(password: &str, user: &str, policy: Option<&PasswordPolicyRow>) -> Result<(), Error> {
    let kinds = [
        ("uppercase letter", password.bytes().any(|b| b.is_ascii_uppercase())),
        ("lowercase letter", password.bytes().any(|b| b.is_ascii_lowercase())),
        ("number", password.bytes().any(|b| b.is_ascii_digit())),
        ("symbol", password.contains(|c| SYMBOLS.contains(c))),
    ];
    let length = policy.map_or(8, |policy| policy.length_min as usize);
    if password.chars().count() < length {
        return Err(violation(format!("Password should have a minimum length of {length}")));
    }
    let Some(policy) = policy else {
        let has = kinds.iter().filter(|(_, has)| *has).count();
        return match has < 3 || password.eq_ignore_ascii_case(user) {
            true => Err(violation("Password does not conform to the account password policy.")),
            false => Ok(()),
        };
    };
    let wanted = [policy.uppercase, policy.lowercase, policy.numbers, policy.symbols];
    match kinds.iter().zip(wanted).find(|((_, has), wanted)| *wanted && !has) {
        Some(((kind, _), _)) => Err(violation(format!("Password should have at least one {kind}"))),
        None => Ok(()),
    }
}

/// The user's own row and the profile, if there is one.
fn load(tx: &Tx, cx: &Cx, name: &str) -> Result<(UserRow, Option<LoginProfileRow>), Error> {
    let user = UserRow::load(tx, cx, name)?;
    let profile = tx.get(&LOGIN_PROFILES, &Scope::Account(cx.account), user.id.as_str())?;
    Ok((user, profile))
}

fn missing(user: &str) -> Error {
    let message = format!("Login Profile for User {user} cannot be found.");
    Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
}

fn shown(user: &UserRow, row: &LoginProfileRow) -> LoginProfile {
    LoginProfile {
        user_name: user.name.clone(),
        create_date: row.created,
        password_reset_required: Some(row.reset_required),
    }
}

pub(crate) async fn create(
    cx: &AsyncCx,
    input: &CreateLoginProfileInput,
) -> Result<Reply<CreateLoginProfileOutput>, Error> {
    let name = name_or_own(cx, input.user_name.as_deref())?;
    let password = input.password.as_deref();
    let password = password.ok_or_else(|| validation("A password must be specified."))?;
    let taken = |tx: &Tx| match load(tx, cx, name)? {
        (user, Some(_)) => {
            let message = format!("Login Profile for user {} already exists.", user.name);
            Err(Error::new(&errors::ENTITY_ALREADY_EXISTS_EXCEPTION, message))
        }
        (user, None) => {
            check(password, &user.name, settings(tx, cx.account)?.passwords.as_ref())?;
            Ok(user)
        }
    };
    cx.read(|tx| taken(tx).map(drop))?;
    let hashed = hash(password, cx);
    let profile = cx.write(input, |tx| {
        let user = taken(tx)?;
        let row = LoginProfileRow {
            created: tx.now(),
            changed: tx.now(),
            password: hashed.clone(),
            reset_required: input.password_reset_required.unwrap_or(false),
            older: Vec::new(),
        };
        tx.put(&LOGIN_PROFILES, &Scope::Account(cx.account), user.id.as_str(), &row)?;
        Ok(shown(&user, &row))
    });
    Ok(Reply::new(CreateLoginProfileOutput { login_profile: profile.await? }))
}

/// Refuses a password that the user had of late, if the account says so.
fn check_reuse(
    password: &str,
    row: &LoginProfileRow,
    policy: Option<&PasswordPolicyRow>,
) -> Result<(), Error> {
    let count = policy.and_then(|policy| policy.reuse_prevention).unwrap_or(0) as usize;
    let had = std::iter::once(&row.password).chain(&row.older).take(count);
    for old in had {
        if is(old, password) {
            return Err(violation("Password was used before and cannot be used again yet."));
        }
    }
    Ok(())
}

/// Puts a new password in place of the old one.
fn replace(row: &mut LoginProfileRow, new: PasswordRow, tx: &Tx) {
    let old = std::mem::replace(&mut row.password, new);
    row.older.insert(0, old);
    row.older.truncate(OLDER_MAX);
    row.changed = tx.now();
}

pub(crate) async fn update(
    cx: &AsyncCx,
    input: &UpdateLoginProfileInput,
) -> Result<Reply<UpdateLoginProfileOutput>, Error> {
    let name = &input.user_name;
    let (known, policy) = cx.read(|tx| {
        let (user, row) = load(tx, cx, name)?;
        let row = row.ok_or_else(|| missing(name))?;
        Ok(((user, row), settings(tx, cx.account)?.passwords))
    })?;
    let mut hashed = None;
    if let Some(password) = &input.password {
        check(password, &known.0.name, policy.as_ref())?;
        check_reuse(password, &known.1, policy.as_ref())?;
        hashed = Some(hash(password, cx));
    }
    cx.write(input, |tx| {
        let (user, row) = load(tx, cx, name)?;
        let mut row = row.ok_or_else(|| missing(name))?;
        if let Some(new) = &hashed {
            replace(&mut row, new.clone(), tx);
        }
        row.reset_required = input.password_reset_required.unwrap_or(row.reset_required);
        Ok(tx.put(&LOGIN_PROFILES, &Scope::Account(cx.account), user.id.as_str(), &row)?)
    })
    .await?;
    Ok(Reply::new(UpdateLoginProfileOutput {}))
}

/// The caller's own password.
pub(crate) async fn change(
    cx: &AsyncCx,
    input: &ChangePasswordInput,
) -> Result<Reply<ChangePasswordOutput>, Error> {
    if cx.caller.principal.kind() != PrincipalKind::User {
        let message = "Only IAM Users can change their own password";
        return Err(Error::new(&errors::INVALID_USER_TYPE_EXCEPTION, message));
    }
    let name = &*cx.caller.name;
    let (known, policy) = cx.read(|tx| {
        let (_, row) = load(tx, cx, name)?;
        let row = row.ok_or_else(|| missing(name))?;
        Ok((row, settings(tx, cx.account)?.passwords))
    })?;
    if !is(&known.password, &input.old_password) {
        return Err(Error::with_code("AccessDenied", 403, "The old password was incorrect."));
    }
    check(&input.new_password, name, policy.as_ref())?;
    check_reuse(&input.new_password, &known, policy.as_ref())?;
    let hashed = hash(&input.new_password, cx);
    cx.write(input, |tx| {
        let (user, row) = load(tx, cx, name)?;
        let mut row = row.ok_or_else(|| missing(name))?;
        if row.password != known.password {
            // Somebody else changed it since we looked.
            return Err(Error::with_code("AccessDenied", 403, "The old password was incorrect."));
        }
        replace(&mut row, hashed.clone(), tx);
        row.reset_required = false;
        Ok(tx.put(&LOGIN_PROFILES, &Scope::Account(cx.account), user.id.as_str(), &row)?)
    })
    .await?;
    Ok(Reply::new(ChangePasswordOutput {}))
}

pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetLoginProfileInput,
) -> Result<GetLoginProfileOutput, Error> {
    let (user, row) = load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let row = row.ok_or_else(|| missing(&user.name))?;
    Ok(GetLoginProfileOutput { login_profile: shown(&user, &row) })
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteLoginProfileInput,
) -> Result<DeleteLoginProfileOutput, Error> {
    let (user, row) = load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    row.ok_or_else(|| missing(&user.name))?;
    tx.delete(&LOGIN_PROFILES, &Scope::Account(cx.account), user.id.as_str())?;
    Ok(DeleteLoginProfileOutput {})
}
