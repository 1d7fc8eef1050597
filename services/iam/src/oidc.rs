//! Identity providers that speak OpenID Connect.

use crate::account::check_quota;
use crate::error::{invalid, quota, validation};
use crate::{ask, tags, view};
use api::{Cx, Error, Tx};
use directory::{OIDC_PROVIDERS, OidcProviderRow, oidc_provider, put_oidc_provider, touch};
use gen_iam::*;
use store::Scope;

/// Quota "Client IDs per IAM OIDC identity provider".
const CLIENT_IDS_MAX: usize = 100;
const THUMBPRINTS_MAX: usize = 5;
/// Quota "OpenId connect providers per account".
const PROVIDERS_MAX: usize = 100;

/// What is behind the scheme, and whether that was plain HTTP: AWS takes HTTPS alone; here a provider
/// on this very machine, which has no certificate that anybody would trust, may do without.
fn split_url(url: &str) -> Result<(&str, bool), Error> {
    let bad = || validation("Invalid Open ID Connect Provider URL");
    let (rest, plain_http) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) if is_loopback(host_of(rest)) => (rest, true),
        _ => return Err(bad()),
    };
    let rest = rest.trim_end_matches('/');
    let host = host_of(rest);
    let in_host = |b: u8| b.is_ascii_alphanumeric() || b"-.[]:".contains(&b);
    let in_path = |b: u8| b.is_ascii_graphic() && !b"?#\"<>\\^`{|}*".contains(&b);
    let good = !host.is_empty() && host.bytes().all(in_host) && rest.bytes().all(in_path);
    if good { Ok((rest, plain_http)) } else { Err(bad()) }
}

/// With its port.
fn host_of(rest: &str) -> &str {
    rest.split('/').next().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn check_client_ids(ids: &[String]) -> Result<(), Error> {
    match ids.len() > CLIENT_IDS_MAX {
        true => Err(quota("ClientIdsPerOpenIdConnectProvider", CLIENT_IDS_MAX)),
        false => Ok(()),
    }
}

fn check_thumbprints(list: &[String]) -> Result<(), Error> {
    if list.len() > THUMBPRINTS_MAX {
        return Err(invalid("Thumbprint list must contain fewer than 5 entries."));
    }
    let is_hex = |print: &&String| base::hex::decode(print.as_bytes()).is_some();
    match list.iter().find(|print| !is_hex(print)) {
        Some(print) => Err(invalid(format!("Thumbprint {print} is not valid."))),
        None => Ok(()),
    }
}

pub(crate) fn load(tx: &Tx, cx: &Cx, arn: &str) -> Result<OidcProviderRow, Error> {
    let prefix = ask::arn(cx, "oidc-provider/");
    let url = arn.strip_prefix(&prefix).ok_or_else(|| validation("Invalid ARN"))?;
    oidc_provider(tx, cx.account, url)?.ok_or_else(|| {
        let message = format!("OpenIDConnect Provider not found for arn {arn}");
        Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
    })
}

pub(crate) fn put(tx: &mut Tx, cx: &Cx, row: &OidcProviderRow) -> Result<(), Error> {
    put_oidc_provider(tx, cx.account, row, &*cx.entropy)
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateOpenIDConnectProviderInput,
) -> Result<CreateOpenIDConnectProviderOutput, Error> {
    let (url, plain_http) = split_url(&input.url)?;
    let client_ids = distinct(input.client_id_list.iter().flatten());
    let thumbprints = distinct(input.thumbprint_list.iter().flatten());
    check_client_ids(&client_ids)?;
    check_thumbprints(&thumbprints)?;
    if oidc_provider(tx, cx.account, url)?.is_some() {
        let message = format!("Provider with url {} already exists.", input.url);
        return Err(Error::new(&errors::ENTITY_ALREADY_EXISTS_EXCEPTION, message));
    }
    check_quota(tx, cx, &OIDC_PROVIDERS, ("OpenIdConnectProvidersPerAccount", PROVIDERS_MAX))?;
    let row = OidcProviderRow {
        arn: ask::arn(cx, &format!("oidc-provider/{url}")),
        url: url.to_owned(),
        plain_http,
        client_ids,
        thumbprints,
        created: tx.now(),
        tags: tags::new(input.tags.as_deref())?,
    };
    put(tx, cx, &row)?;
    Ok(CreateOpenIDConnectProviderOutput {
        open_id_connect_provider_arn: Some(row.arn),
        tags: view::tags(&row.tags),
    })
}

fn distinct<'a>(items: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(item) {
            seen.push(item.clone());
        }
    }
    seen
}

pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetOpenIDConnectProviderInput,
) -> Result<GetOpenIDConnectProviderOutput, Error> {
    let row = load(tx, cx, &input.open_id_connect_provider_arn)?;
    Ok(GetOpenIDConnectProviderOutput {
        url: Some(row.url),
        client_id_list: Some(row.client_ids),
        thumbprint_list: Some(row.thumbprints),
        create_date: Some(row.created),
        tags: view::tags(&row.tags),
    })
}

pub(crate) fn list(
    tx: &Tx,
    cx: &Cx,
    _: &ListOpenIDConnectProvidersInput,
) -> Result<ListOpenIDConnectProvidersOutput, Error> {
    let mut found = Vec::new();
    for row in tx.scan(&OIDC_PROVIDERS, &Scope::Account(cx.account)) {
        found.push(OpenIDConnectProviderListEntry { arn: Some(row?.1.arn) });
    }
    Ok(ListOpenIDConnectProvidersOutput { open_id_connect_provider_list: Some(found) })
}

/// Deleting what is not there is no fault, as AWS documents.
pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteOpenIDConnectProviderInput,
) -> Result<DeleteOpenIDConnectProviderOutput, Error> {
    match load(tx, cx, &input.open_id_connect_provider_arn) {
        Ok(row) => {
            tx.delete(&OIDC_PROVIDERS, &Scope::Account(cx.account), row.url.as_str())?;
            touch(tx, cx.account, &*cx.entropy)?;
        }
        Err(error) if error.is(&errors::NO_SUCH_ENTITY_EXCEPTION) => {}
        Err(error) => return Err(error),
    }
    Ok(DeleteOpenIDConnectProviderOutput {})
}

pub(crate) fn add_client_id(
    tx: &mut Tx,
    cx: &Cx,
    input: &AddClientIDToOpenIDConnectProviderInput,
) -> Result<AddClientIDToOpenIDConnectProviderOutput, Error> {
    let mut row = load(tx, cx, &input.open_id_connect_provider_arn)?;
    if !row.client_ids.contains(&input.client_id) {
        row.client_ids.push(input.client_id.clone());
        check_client_ids(&row.client_ids)?;
        put(tx, cx, &row)?;
    }
    Ok(AddClientIDToOpenIDConnectProviderOutput {})
}

pub(crate) fn remove_client_id(
    tx: &mut Tx,
    cx: &Cx,
    input: &RemoveClientIDFromOpenIDConnectProviderInput,
) -> Result<RemoveClientIDFromOpenIDConnectProviderOutput, Error> {
    let mut row = load(tx, cx, &input.open_id_connect_provider_arn)?;
    row.client_ids.retain(|id| *id != input.client_id);
    put(tx, cx, &row)?;
    Ok(RemoveClientIDFromOpenIDConnectProviderOutput {})
}

pub(crate) fn update_thumbprint(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateOpenIDConnectProviderThumbprintInput,
) -> Result<UpdateOpenIDConnectProviderThumbprintOutput, Error> {
    let mut row = load(tx, cx, &input.open_id_connect_provider_arn)?;
    check_thumbprints(&input.thumbprint_list)?;
    row.thumbprints = distinct(input.thumbprint_list.iter());
    put(tx, cx, &row)?;
    Ok(UpdateOpenIDConnectProviderThumbprintOutput {})
}
