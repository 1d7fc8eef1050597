//! Server certificates, for load balancers and the like.

use crate::account::check_quota;
use crate::error::{exists, no_such};
use crate::page::Pager;
use crate::{ask, pem, tags, view};
use api::{Cx, Error, Tx};
use directory::{Kind, SERVER_CERTIFICATES, ServerCertificateRow, key_of, new_unique_id};
use gen_iam::*;
use store::Scope;

/// Quota "Server certificates per account".
pub(crate) const CERTIFICATES_MAX: usize = 20;

pub(crate) fn load(tx: &Tx, cx: &Cx, name: &str) -> Result<ServerCertificateRow, Error> {
    let row = tx.get(&SERVER_CERTIFICATES, &Scope::Account(cx.account), &key_of(name))?;
    row.ok_or_else(|| no_such("Server Certificate", name))
}

pub(crate) fn put(tx: &mut Tx, cx: &Cx, row: &ServerCertificateRow) -> Result<(), Error> {
    let key = key_of(&row.name);
    Ok(tx.put(&SERVER_CERTIFICATES, &Scope::Account(cx.account), &key, row)?)
}

fn malformed(message: &str) -> Error {
    Error::new(&errors::MALFORMED_CERTIFICATE_EXCEPTION, message)
}

fn metadata(row: &ServerCertificateRow) -> ServerCertificateMetadata {
    ServerCertificateMetadata {
        path: row.path.clone(),
        server_certificate_name: row.name.clone(),
        server_certificate_id: row.id.clone(),
        arn: row.arn.clone(),
        upload_date: Some(row.uploaded),
        expiration: Some(row.expires),
    }
}

/// The one certificate of a PEM text.
pub(crate) fn single(text: &str) -> Result<pem::Certificate, Error> {
    let bad = || {
        malformed("Unable to parse certificate. Please ensure the certificate is in PEM format.")
    };
    let blocks = pem::blocks(text).ok_or_else(bad)?;
    let [("CERTIFICATE", der)] = &blocks[..] else { return Err(bad()) };
    pem::certificate(der).ok_or_else(bad)
}

pub(crate) fn upload(
    tx: &mut Tx,
    cx: &Cx,
    input: &UploadServerCertificateInput,
) -> Result<UploadServerCertificateOutput, Error> {
    let name = &input.server_certificate_name;
    let certificate = single(&input.certificate_body)?;
    if let Some(chain) = &input.certificate_chain {
        let blocks = pem::blocks(chain);
        let good = blocks.is_some_and(|all| {
            !all.is_empty() && all.iter().all(|(_, der)| pem::certificate(der).is_some())
        });
        if !good {
            return Err(malformed(
                "Unable to parse certificate chain. Please ensure the certificate chain is in PEM format.",
            ));
        }
    }
    match pem::is_key_of(&input.private_key, &certificate.public_key) {
        Some(true) => {}
        Some(false) => {
            let message = "Public key certificate and private key doesn't match.";
            return Err(Error::new(&errors::KEY_PAIR_MISMATCH_EXCEPTION, message));
        }
        None => {
            return Err(malformed("Unable to parse key; the body must be encoded in PEM format."));
        }
    }
    if tx.exists(&SERVER_CERTIFICATES, &Scope::Account(cx.account), &key_of(name))? {
        return Err(exists(&format!("The Server Certificate with name {name}")));
    }
    let quota = ("ServerCertificatesPerAccount", CERTIFICATES_MAX);
    check_quota(tx, cx, &SERVER_CERTIFICATES, quota)?;
    let path = input.path.as_deref().unwrap_or("/");
    let row = ServerCertificateRow {
        id: new_unique_id(Kind::ServerCertificate, &*cx.entropy),
        name: name.clone(),
        path: path.to_owned(),
        arn: ask::arn(cx, &format!("server-certificate{path}{name}")),
        uploaded: tx.now(),
        expires: certificate.expires,
        body: input.certificate_body.clone(),
        chain: input.certificate_chain.clone(),
        private_key: input.private_key.clone(),
        tags: tags::new(input.tags.as_deref())?,
    };
    put(tx, cx, &row)?;
    Ok(UploadServerCertificateOutput {
        server_certificate_metadata: Some(metadata(&row)),
        tags: view::tags(&row.tags),
    })
}

/// Without its private key, which nobody gets back.
pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetServerCertificateInput,
) -> Result<GetServerCertificateOutput, Error> {
    let row = load(tx, cx, &input.server_certificate_name)?;
    Ok(GetServerCertificateOutput {
        server_certificate: ServerCertificate {
            server_certificate_metadata: metadata(&row),
            tags: view::tags(&row.tags),
            certificate_body: row.body,
            certificate_chain: row.chain,
        },
    })
}

pub(crate) fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListServerCertificatesInput,
) -> Result<ListServerCertificatesOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let pager = Pager::new(cx, &[prefix], input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let page =
        pager.take(tx.scan(&SERVER_CERTIFICATES, &scope).filter_map(|found| match found {
            Ok((key, row)) => row.path.starts_with(prefix).then(|| Ok((key, metadata(&row)))),
            Err(error) => Some(Err(error.into())),
        }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListServerCertificatesOutput {
        server_certificate_metadata_list: page.items,
        is_truncated,
        marker,
    })
}

pub(crate) fn update(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateServerCertificateInput,
) -> Result<UpdateServerCertificateOutput, Error> {
    let mut row = load(tx, cx, &input.server_certificate_name)?;
    let scope = Scope::Account(cx.account);
    let old = key_of(&row.name);
    if let Some(path) = &input.new_path {
        row.path = path.clone();
    }
    if let Some(name) = &input.new_server_certificate_name {
        row.name = name.clone();
    }
    let new = key_of(&row.name);
    if new != old {
        if tx.exists(&SERVER_CERTIFICATES, &scope, &new)? {
            return Err(exists(&format!("The Server Certificate with name {}", row.name)));
        }
        tx.delete(&SERVER_CERTIFICATES, &scope, &old)?;
    }
    row.arn = ask::arn(cx, &format!("server-certificate{}{}", row.path, row.name));
    put(tx, cx, &row)?;
    Ok(UpdateServerCertificateOutput {})
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteServerCertificateInput,
) -> Result<DeleteServerCertificateOutput, Error> {
    let row = load(tx, cx, &input.server_certificate_name)?;
    tx.delete(&SERVER_CERTIFICATES, &Scope::Account(cx.account), &key_of(&row.name))?;
    Ok(DeleteServerCertificateOutput {})
}
