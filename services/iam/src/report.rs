//! The credential report: who has which credentials, how old they are and when they were last used.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>

use crate::mfa;
use api::{Cx, Error, Tx};
use base::Timestamp;
use bytes::Bytes;
use directory::{
    ACCESS_KEYS, CREDENTIAL_REPORTS, CredentialReportRow, KEY_USES, LOGIN_PROFILES,
    SIGNING_CERTIFICATES, USERS, UserRow, key_of, root_keys, settings,
};
use gen_iam::*;
use std::collections::BTreeSet;
use store::Scope;

/// A report is good for so long, and no new one is made before.
const GOOD_S: i64 = 4 * 3_600;
const HEADER: &str = "user,arn,user_creation_time,password_enabled,password_last_used,\
    password_last_changed,password_next_rotation,mfa_active,access_key_1_active,\
    access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,\
    access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
    access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
    cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";
const NONE: &str = "N/A";

fn time(at: Timestamp) -> String {
    at.iso8601_secs().replace('Z', "+00:00")
}

fn flag(on: bool) -> String {
    on.to_string()
}

/// Root has no password here.
fn of_root(tx: &Tx, cx: &Cx, created: Timestamp) -> Result<String, Error> {
    let partition = cx.partition().as_str();
    let arn = format!("arn:{partition}:iam::{}:root", cx.account);
    let mut fields = vec!["<root_account>".to_owned(), arn, time(created)];
    let password = ["not_supported", "no_information", "not_supported", "not_supported", "false"];
    fields.extend(password.map(str::to_owned));
    fields.extend(of_keys(tx, &root_keys(tx, cx.account)?)?);
    fields.extend([flag(false), NONE.into(), flag(false), NONE.into()]);
    Ok(fields.join(","))
}

/// Of the two access keys that there may be.
fn of_keys(tx: &Tx, ids: &[String]) -> Result<Vec<String>, Error> {
    let mut fields = Vec::new();
    for index in 0..2 {
        let key = match ids.get(index) {
            Some(id) => tx.get(&ACCESS_KEYS, &Scope::Global, id)?.map(|key| (id, key)),
            None => None,
        };
        let Some((id, key)) = key else {
            fields.extend([flag(false), NONE.into(), NONE.into(), NONE.into(), NONE.into()]);
            continue;
        };
        fields.extend([flag(key.active), time(key.created)]);
        match tx.get(&KEY_USES, &Scope::Global, id)? {
            Some(used) => fields.extend([time(used.at), used.region, used.service]),
            None => fields.extend([NONE.into(), NONE.into(), NONE.into()]),
        }
    }
    Ok(fields)
}

fn of_user(
    tx: &Tx,
    cx: &Cx,
    row: &UserRow,
    with_factor: &BTreeSet<String>,
    age_days_max: Option<u32>,
) -> Result<String, Error> {
    let scope = Scope::Account(cx.account);
    let mut fields = vec![row.name.clone(), row.arn.clone(), time(row.created)];
    match tx.get(&LOGIN_PROFILES, &scope, row.id.as_str())? {
        Some(profile) => {
            let next = age_days_max.map_or(NONE.to_owned(), |days| {
                time(profile.changed.plus_secs(i64::from(days) * 86_400))
            });
            // Nobody signs in with a password here yet.
            let used = "no_information".to_owned();
            fields.extend([flag(true), used, time(profile.changed), next]);
        }
        None => fields.extend([flag(false), NONE.into(), NONE.into(), NONE.into()]),
    }
    fields.push(flag(with_factor.contains(&key_of(&row.name))));
    fields.extend(of_keys(tx, &row.access_keys)?);
    let id = (row.id.as_str(),);
    let certificates = tx.scan(&SIGNING_CERTIFICATES, &scope).prefix(&id);
    let certificates: Vec<_> = certificates.take(2).collect::<Result<_, _>>()?;
    for index in 0..2 {
        match certificates.get(index) {
            Some((_, row)) => fields.extend([flag(row.active), time(row.uploaded)]),
            None => fields.extend([flag(false), NONE.into()]),
        }
    }
    Ok(fields.join(","))
}

fn write(tx: &Tx, cx: &Cx) -> Result<String, Error> {
    let age_days_max = settings(tx, cx.account)?.passwords.and_then(|policy| policy.age_days_max);
    let devices = mfa::of(tx, cx, None)?;
    let with_factor = devices.into_iter().filter_map(|device| device.user).collect();
    let mut users = Vec::new();
    let mut created = tx.now();
    for row in tx.scan(&USERS, &Scope::Account(cx.account)) {
        let (_, row) = row?;
        created = created.min(row.created);
        users.push(of_user(tx, cx, &row, &with_factor, age_days_max)?);
    }
    Ok([vec![HEADER.to_owned(), of_root(tx, cx, created)?], users].concat().join("\n"))
}

/// Written at once; the first answer says that it was begun, as AWS's does.
pub(crate) fn generate(
    tx: &mut Tx,
    cx: &Cx,
    _: &GenerateCredentialReportInput,
) -> Result<GenerateCredentialReportOutput, Error> {
    let scope = Scope::Account(cx.account);
    let old = tx.get(&CREDENTIAL_REPORTS, &scope, "")?;
    if old.is_some_and(|old| old.generated.plus_secs(GOOD_S) > tx.now()) {
        let state = Some("COMPLETE".to_owned());
        return Ok(GenerateCredentialReportOutput { state, description: None });
    }
    let row = CredentialReportRow { generated: tx.now(), content: write(tx, cx)? };
    tx.put(&CREDENTIAL_REPORTS, &scope, "", &row)?;
    let description = "No report exists. Starting a new report generation task";
    Ok(GenerateCredentialReportOutput {
        state: Some("STARTED".to_owned()),
        description: Some(description.to_owned()),
    })
}

pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    _: &GetCredentialReportInput,
) -> Result<GetCredentialReportOutput, Error> {
    let row = tx.get(&CREDENTIAL_REPORTS, &Scope::Account(cx.account), "")?.ok_or_else(|| {
        let message = "No report exists. Please call GenerateCredentialReport first.";
        Error::new(&errors::CREDENTIAL_REPORT_NOT_PRESENT_EXCEPTION, message)
    })?;
    if row.generated.plus_secs(GOOD_S) <= tx.now() {
        let message =
            "The report has expired. Please call GenerateCredentialReport to create a new one.";
        return Err(Error::new(&errors::CREDENTIAL_REPORT_EXPIRED_EXCEPTION, message));
    }
    Ok(GetCredentialReportOutput {
        content: Some(Bytes::from(row.content)),
        report_format: Some("text/csv".to_owned()),
        generated_time: Some(row.generated),
    })
}
