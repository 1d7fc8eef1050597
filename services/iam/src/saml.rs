//! Identity providers that speak SAML. Their keys open roles in `sts:AssumeRoleWithSAML`.

use crate::account::check_quota;
use crate::error::{exists, invalid, validation};
use crate::{ask, tags, view};
use api::{Cx, Error, Tx};
use base::Timestamp;
use directory::{SAML_PROVIDERS, SamlProviderRow, touch};
use gen_iam::*;
use store::Scope;

/// Quota "SAML providers per account".
const PROVIDERS_MAX: usize = 100;
/// What AWS shows as the end of metadata that names none.
const VALID_S_DEFAULT: i64 = 100 * 365 * 86_400;
const BASE36: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

pub(crate) fn load(tx: &Tx, cx: &Cx, arn: &str) -> Result<SamlProviderRow, Error> {
    let prefix = ask::arn(cx, "saml-provider/");
    let name = arn.strip_prefix(&prefix).ok_or_else(|| validation("Invalid ARN"))?;
    tx.get(&SAML_PROVIDERS, &Scope::Account(cx.account), name)?.ok_or_else(|| {
        let message = format!("Manifest not found for arn {arn}");
        Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
    })
}

pub(crate) fn put(tx: &mut Tx, cx: &Cx, row: &SamlProviderRow) -> Result<(), Error> {
    tx.put(&SAML_PROVIDERS, &Scope::Account(cx.account), row.name.as_str(), row)?;
    touch(tx, cx.account, &*cx.entropy)
}

/// Until when the metadata is good, as it says itself.
fn valid_until(document: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let read = ::saml::Metadata::read(document.as_bytes());
    let read = read.ok_or_else(|| invalid("Could not parse metadata"))?;
    Ok(read.valid_until.unwrap_or_else(|| now.plus_secs(VALID_S_DEFAULT)))
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateSAMLProviderInput,
) -> Result<CreateSAMLProviderOutput, Error> {
    let name = &input.name;
    if tx.exists(&SAML_PROVIDERS, &Scope::Account(cx.account), name)? {
        return Err(exists(&format!("SAML provider with name {name}")));
    }
    check_quota(tx, cx, &SAML_PROVIDERS, ("SAMLProvidersPerAccount", PROVIDERS_MAX))?;
    let row = SamlProviderRow {
        id: cx.entropy.text(BASE36, 24),
        name: name.clone(),
        arn: ask::arn(cx, &format!("saml-provider/{name}")),
        metadata: input.saml_metadata_document.clone(),
        created: tx.now(),
        valid_until: valid_until(&input.saml_metadata_document, tx.now())?,
        tags: tags::new(input.tags.as_deref())?,
    };
    put(tx, cx, &row)?;
    Ok(CreateSAMLProviderOutput { saml_provider_arn: Some(row.arn), tags: view::tags(&row.tags) })
}

pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetSAMLProviderInput,
) -> Result<GetSAMLProviderOutput, Error> {
    let row = load(tx, cx, &input.saml_provider_arn)?;
    Ok(GetSAMLProviderOutput {
        saml_provider_uuid: Some(row.id),
        saml_metadata_document: Some(row.metadata),
        create_date: Some(row.created),
        valid_until: Some(row.valid_until),
        tags: view::tags(&row.tags),
        ..GetSAMLProviderOutput::default()
    })
}

pub(crate) fn list(
    tx: &Tx,
    cx: &Cx,
    _: &ListSAMLProvidersInput,
) -> Result<ListSAMLProvidersOutput, Error> {
    let mut found = Vec::new();
    for row in tx.scan(&SAML_PROVIDERS, &Scope::Account(cx.account)) {
        let (_, row) = row?;
        found.push(SAMLProviderListEntry {
            arn: Some(row.arn),
            valid_until: Some(row.valid_until),
            create_date: Some(row.created),
        });
    }
    Ok(ListSAMLProvidersOutput { saml_provider_list: Some(found) })
}

pub(crate) fn update(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateSAMLProviderInput,
) -> Result<UpdateSAMLProviderOutput, Error> {
    let mut row = load(tx, cx, &input.saml_provider_arn)?;
    if let Some(document) = &input.saml_metadata_document {
        row.valid_until = valid_until(document, tx.now())?;
        row.metadata = document.clone();
    }
    put(tx, cx, &row)?;
    Ok(UpdateSAMLProviderOutput { saml_provider_arn: Some(row.arn) })
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteSAMLProviderInput,
) -> Result<DeleteSAMLProviderOutput, Error> {
    let row = load(tx, cx, &input.saml_provider_arn)?;
    tx.delete(&SAML_PROVIDERS, &Scope::Account(cx.account), row.name.as_str())?;
    touch(tx, cx.account, &*cx.entropy)?;
    Ok(DeleteSAMLProviderOutput {})
}
