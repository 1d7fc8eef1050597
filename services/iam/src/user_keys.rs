//! Keys of users for single services: signing certificates, SSH keys, user names with passwords.

use crate::error::{quota, validation};
use crate::holder::Holds;
use crate::page::Pager;
use crate::server_certificate;
use crate::user::name_or_own;
use api::{Cx, Error, Tx};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directory::{
    SERVICE_CREDENTIALS, SIGNING_CERTIFICATES, SSH_KEYS, ServiceCredentialRow,
    SigningCertificateRow, SshKeyRow, UserRow,
};
use gen_iam::*;
use md5::{Digest, Md5};
use store::{Row, Scope, Table};

const CERTIFICATES_MAX: usize = 2;
const SSH_KEYS_MAX: usize = 5;
const CREDENTIALS_MAX: usize = 2;
const BASE36: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Services whose clients sign in with a user name and a password of IAM's.
const SERVICES: [&str; 2] = ["codecommit.amazonaws.com", "cassandra.amazonaws.com"];

type Keys<R> = Table<(String, String), R>;

/// All of a user's, by id.
fn all<R: Row>(
    tx: &Tx,
    cx: &Cx,
    table: &Keys<R>,
    user: &UserRow,
) -> Result<Vec<(String, R)>, Error> {
    let scope = Scope::Account(cx.account);
    let rows = tx.scan(table, &scope).prefix(&(user.id.as_str(),));
    rows.map(|found| found.map(|((_, id), row)| (id, row)).map_err(Error::from)).collect()
}

fn get<R: Row>(
    tx: &Tx,
    cx: &Cx,
    table: &Keys<R>,
    (user, id): (&UserRow, &str),
    kind: &str,
) -> Result<R, Error> {
    let row = tx.get(table, &Scope::Account(cx.account), &(user.id.as_str(), id))?;
    row.ok_or_else(|| {
        let message = format!("The {kind} with id {id} cannot be found.");
        Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
    })
}

fn put<R: Row>(
    tx: &mut Tx,
    cx: &Cx,
    table: &Keys<R>,
    (user, id): (&UserRow, &str),
    row: &R,
) -> Result<(), Error> {
    Ok(tx.put(table, &Scope::Account(cx.account), &(user.id.as_str(), id), row)?)
}

fn status(active: bool) -> String {
    if active { "Active".to_owned() } else { "Inactive".to_owned() }
}

const CERTIFICATE: &str = "Certificate";
const SSH_KEY: &str = "Public Key";
const CREDENTIAL: &str = "Service Specific Credential";

/// What keeps the user from being deleted.
pub(crate) fn left(tx: &Tx, cx: &Cx, user: &UserRow) -> Result<Option<&'static str>, Error> {
    Ok(if !all(tx, cx, &SIGNING_CERTIFICATES, user)?.is_empty() {
        Some("delete signing certificates first")
    } else if !all(tx, cx, &SSH_KEYS, user)?.is_empty() {
        Some("delete SSH public keys first")
    } else if !all(tx, cx, &SERVICE_CREDENTIALS, user)?.is_empty() {
        Some("delete service specific credentials first")
    } else {
        None
    })
}

fn shown_certificate(user: &UserRow, id: String, row: SigningCertificateRow) -> SigningCertificate {
    SigningCertificate {
        user_name: user.name.clone(),
        certificate_id: id,
        certificate_body: row.body,
        status: status(row.active),
        upload_date: Some(row.uploaded),
    }
}

pub(crate) fn upload_certificate(
    tx: &mut Tx,
    cx: &Cx,
    input: &UploadSigningCertificateInput,
) -> Result<UploadSigningCertificateOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    server_certificate::single(&input.certificate_body)?;
    let have = all(tx, cx, &SIGNING_CERTIFICATES, &user)?;
    if have.iter().any(|(_, row)| row.body.trim() == input.certificate_body.trim()) {
        let message = "The certificate is already in use.";
        return Err(Error::new(&errors::DUPLICATE_CERTIFICATE_EXCEPTION, message));
    }
    if have.len() >= CERTIFICATES_MAX {
        return Err(quota("CertificatesPerUser", CERTIFICATES_MAX));
    }
    let id = cx.entropy.text(BASE36, 32);
    let body = input.certificate_body.clone();
    let row = SigningCertificateRow { body, active: true, uploaded: tx.now() };
    put(tx, cx, &SIGNING_CERTIFICATES, (&user, &id), &row)?;
    Ok(UploadSigningCertificateOutput { certificate: shown_certificate(&user, id, row) })
}

pub(crate) fn update_certificate(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateSigningCertificateInput,
) -> Result<UpdateSigningCertificateOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let place = (&user, input.certificate_id.as_str());
    let mut row = get(tx, cx, &SIGNING_CERTIFICATES, place, CERTIFICATE)?;
    row.active = input.status == "Active";
    put(tx, cx, &SIGNING_CERTIFICATES, place, &row)?;
    Ok(UpdateSigningCertificateOutput {})
}

pub(crate) fn delete_certificate(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteSigningCertificateInput,
) -> Result<DeleteSigningCertificateOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let place = (&user, input.certificate_id.as_str());
    get(tx, cx, &SIGNING_CERTIFICATES, place, CERTIFICATE)?;
    let key = (user.id.as_str(), place.1);
    tx.delete(&SIGNING_CERTIFICATES, &Scope::Account(cx.account), &key)?;
    Ok(DeleteSigningCertificateOutput {})
}

pub(crate) fn list_certificates(
    tx: &Tx,
    cx: &Cx,
    input: &ListSigningCertificatesInput,
) -> Result<ListSigningCertificatesOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let pager = Pager::new(cx, &[&user.name], input.marker.as_deref(), input.max_items)?;
    let rows = all(tx, cx, &SIGNING_CERTIFICATES, &user)?;
    let shown = |(id, row): (String, _)| Ok((id.clone(), shown_certificate(&user, id, row)));
    let page = pager.take(rows.into_iter().map(shown))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListSigningCertificatesOutput { certificates: page.items, is_truncated, marker })
}

/// The bytes of a key in OpenSSH's form; IAM takes RSA alone.
fn ssh_bytes(body: &str) -> Option<Vec<u8>> {
    let mut words = body.split_ascii_whitespace();
    let "ssh-rsa" = words.next()? else { return None };
    let bytes = STANDARD.decode(words.next()?).ok()?;
    bytes.starts_with(b"\0\0\0\x07ssh-rsa").then_some(bytes)
}

fn fingerprint(bytes: &[u8]) -> String {
    let pairs: Vec<String> = Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    pairs.join(":")
}

fn shown_key(user: &UserRow, id: String, row: SshKeyRow) -> SSHPublicKey {
    SSHPublicKey {
        user_name: user.name.clone(),
        ssh_public_key_id: id,
        fingerprint: row.fingerprint,
        ssh_public_key_body: row.body,
        status: status(row.active),
        upload_date: Some(row.uploaded),
    }
}

pub(crate) fn upload_ssh(
    tx: &mut Tx,
    cx: &Cx,
    input: &UploadSSHPublicKeyInput,
) -> Result<UploadSSHPublicKeyOutput, Error> {
    let user = UserRow::load(tx, cx, &input.user_name)?;
    let body = input.ssh_public_key_body.trim();
    let bytes = ssh_bytes(body).ok_or_else(|| {
        let message = "The public key is invalid. It must be an RSA key in OpenSSH's form.";
        Error::new(&errors::INVALID_PUBLIC_KEY_EXCEPTION, message)
    })?;
    let fingerprint = fingerprint(&bytes);
    let have = all(tx, cx, &SSH_KEYS, &user)?;
    if have.iter().any(|(_, row)| row.fingerprint == fingerprint) {
        let message = "The SSH public key is already associated with the user.";
        return Err(Error::new(&errors::DUPLICATE_SSH_PUBLIC_KEY_EXCEPTION, message));
    }
    if have.len() >= SSH_KEYS_MAX {
        return Err(quota("SSHPublicKeysPerUser", SSH_KEYS_MAX));
    }
    let id = format!("APKA{}", cx.entropy.text(BASE36, 16));
    let row = SshKeyRow { body: body.to_owned(), fingerprint, active: true, uploaded: tx.now() };
    put(tx, cx, &SSH_KEYS, (&user, &id), &row)?;
    Ok(UploadSSHPublicKeyOutput { ssh_public_key: Some(shown_key(&user, id, row)) })
}

pub(crate) fn get_ssh(
    tx: &Tx,
    cx: &Cx,
    input: &GetSSHPublicKeyInput,
) -> Result<GetSSHPublicKeyOutput, Error> {
    let user = UserRow::load(tx, cx, &input.user_name)?;
    let id = &input.ssh_public_key_id;
    let mut row = get(tx, cx, &SSH_KEYS, (&user, id), SSH_KEY)?;
    if input.encoding == "PEM" {
        row.body = ssh_bytes(&row.body).and_then(|bytes| pem_of(&bytes)).ok_or_else(|| {
            let message = "The key cannot be shown in PEM.";
            Error::new(&errors::UNRECOGNIZED_PUBLIC_KEY_ENCODING_EXCEPTION, message)
        })?;
    }
    Ok(GetSSHPublicKeyOutput { ssh_public_key: Some(shown_key(&user, id.clone(), row)) })
}

/// An SSH key as a `SubjectPublicKeyInfo`.
fn pem_of(bytes: &[u8]) -> Option<String> {
    fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest) = bytes.split_first_chunk()?;
        rest.split_at_checked(u32::from_be_bytes(*length) as usize)
    }
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        let digits = &length[length.iter().position(|b| *b != 0).unwrap_or(length.len())..];
        let mut out = vec![tag];
        if content.len() >= 0x80 {
            out.push(0x80 | digits.len() as u8);
            out.extend(digits);
        } else {
            out.push(content.len() as u8);
        }
        out.extend(content);
        out
    }
    let (_, rest) = field(bytes)?;
    let (exponent, rest) = field(rest)?;
    let (modulus, _) = field(rest)?;
    let key = der(0x30, &[der(2, modulus), der(2, exponent)].concat());
    const RSA: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    let info = der(0x30, &[&RSA[..], &der(3, &[&[0], &key[..]].concat())].concat());
    let text = STANDARD.encode(info);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    let body = lines.join("\n");
    Some(format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"))
}

pub(crate) fn update_ssh(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateSSHPublicKeyInput,
) -> Result<UpdateSSHPublicKeyOutput, Error> {
    let user = UserRow::load(tx, cx, &input.user_name)?;
    let place = (&user, input.ssh_public_key_id.as_str());
    let mut row = get(tx, cx, &SSH_KEYS, place, SSH_KEY)?;
    row.active = input.status == "Active";
    put(tx, cx, &SSH_KEYS, place, &row)?;
    Ok(UpdateSSHPublicKeyOutput {})
}

pub(crate) fn delete_ssh(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteSSHPublicKeyInput,
) -> Result<DeleteSSHPublicKeyOutput, Error> {
    let user = UserRow::load(tx, cx, &input.user_name)?;
    let id = input.ssh_public_key_id.as_str();
    get(tx, cx, &SSH_KEYS, (&user, id), SSH_KEY)?;
    tx.delete(&SSH_KEYS, &Scope::Account(cx.account), &(user.id.as_str(), id))?;
    Ok(DeleteSSHPublicKeyOutput {})
}

pub(crate) fn list_ssh(
    tx: &Tx,
    cx: &Cx,
    input: &ListSSHPublicKeysInput,
) -> Result<ListSSHPublicKeysOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let pager = Pager::new(cx, &[&user.name], input.marker.as_deref(), input.max_items)?;
    let rows = all(tx, cx, &SSH_KEYS, &user)?;
    let page = pager.take(rows.into_iter().map(|(id, row)| {
        let shown = SSHPublicKeyMetadata {
            user_name: user.name.clone(),
            ssh_public_key_id: id.clone(),
            status: status(row.active),
            upload_date: row.uploaded,
        };
        Ok((id, shown))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListSSHPublicKeysOutput { ssh_public_keys: Some(page.items), is_truncated, marker })
}

/// With its password, which is shown only when it is made.
fn shown_credential(
    user: &UserRow,
    id: &str,
    row: &ServiceCredentialRow,
) -> ServiceSpecificCredential {
    ServiceSpecificCredential {
        create_date: row.created,
        service_name: row.service.clone(),
        service_user_name: Some(row.user_name.clone()),
        service_password: Some(row.password.clone()),
        service_specific_credential_id: id.to_owned(),
        user_name: user.name.clone(),
        status: status(row.active),
        ..ServiceSpecificCredential::default()
    }
}

fn new_password(cx: &Cx) -> String {
    format!("{}=", cx.entropy.text(BASE64, 43))
}

pub(crate) fn create_credential(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateServiceSpecificCredentialInput,
) -> Result<CreateServiceSpecificCredentialOutput, Error> {
    let user = UserRow::load(tx, cx, &input.user_name)?;
    let service = &input.service_name;
    if !SERVICES.contains(&service.as_str()) {
        let message =
            format!("No such service {service} is supported for Service Specific Credentials");
        return Err(Error::new(&errors::SERVICE_NOT_SUPPORTED_EXCEPTION, message));
    }
    let have = all(tx, cx, &SERVICE_CREDENTIALS, &user)?;
    let of_service = have.iter().filter(|(_, row)| row.service == *service).count();
    if of_service >= CREDENTIALS_MAX {
        return Err(quota("ServiceSpecificCredentialsPerUser", CREDENTIALS_MAX));
    }
    let number = match of_service {
        0 => String::new(),
        _ => format!("+{}", of_service),
    };
    let id = format!("ACCA{}", cx.entropy.text(BASE36, 16));
    let row = ServiceCredentialRow {
        service: service.clone(),
        user_name: format!("{}{number}-at-{}", user.name, cx.account),
        password: new_password(cx),
        active: true,
        created: tx.now(),
    };
    put(tx, cx, &SERVICE_CREDENTIALS, (&user, &id), &row)?;
    let service_specific_credential = Some(shown_credential(&user, &id, &row));
    Ok(CreateServiceSpecificCredentialOutput { service_specific_credential })
}

pub(crate) fn reset_credential(
    tx: &mut Tx,
    cx: &Cx,
    input: &ResetServiceSpecificCredentialInput,
) -> Result<ResetServiceSpecificCredentialOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let place = (&user, input.service_specific_credential_id.as_str());
    let mut row = get(tx, cx, &SERVICE_CREDENTIALS, place, CREDENTIAL)?;
    row.password = new_password(cx);
    put(tx, cx, &SERVICE_CREDENTIALS, place, &row)?;
    let service_specific_credential = Some(shown_credential(&user, place.1, &row));
    Ok(ResetServiceSpecificCredentialOutput { service_specific_credential })
}

pub(crate) fn update_credential(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateServiceSpecificCredentialInput,
) -> Result<UpdateServiceSpecificCredentialOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let place = (&user, input.service_specific_credential_id.as_str());
    let mut row = get(tx, cx, &SERVICE_CREDENTIALS, place, CREDENTIAL)?;
    row.active = input.status == "Active";
    put(tx, cx, &SERVICE_CREDENTIALS, place, &row)?;
    Ok(UpdateServiceSpecificCredentialOutput {})
}

pub(crate) fn delete_credential(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteServiceSpecificCredentialInput,
) -> Result<DeleteServiceSpecificCredentialOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let id = input.service_specific_credential_id.as_str();
    get(tx, cx, &SERVICE_CREDENTIALS, (&user, id), CREDENTIAL)?;
    tx.delete(&SERVICE_CREDENTIALS, &Scope::Account(cx.account), &(user.id.as_str(), id))?;
    Ok(DeleteServiceSpecificCredentialOutput {})
}

pub(crate) fn list_credentials(
    tx: &Tx,
    cx: &Cx,
    input: &ListServiceSpecificCredentialsInput,
) -> Result<ListServiceSpecificCredentialsOutput, Error> {
    if input.all_users == Some(true) && input.user_name.is_some() {
        return Err(validation("UserName cannot be specified together with AllUsers."));
    }
    let users = match input.all_users {
        Some(true) => {
            let scope = Scope::Account(cx.account);
            let rows = tx.scan(&directory::USERS, &scope);
            rows.map(|found| found.map(|(_, row)| row)).collect::<Result<Vec<_>, _>>()?
        }
        _ => vec![UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?],
    };
    let service = input.service_name.as_deref().unwrap_or_default();
    let whose = input.user_name.as_deref().unwrap_or_default();
    let pager = Pager::new(cx, &[whose, service], input.marker.as_deref(), input.max_items)?;
    let mut found = Vec::new();
    for user in &users {
        for (id, row) in all(tx, cx, &SERVICE_CREDENTIALS, user)? {
            if service.is_empty() || row.service == service {
                let shown = ServiceSpecificCredentialMetadata {
                    user_name: user.name.clone(),
                    status: status(row.active),
                    service_user_name: Some(row.user_name),
                    create_date: row.created,
                    service_specific_credential_id: id.clone(),
                    service_name: row.service,
                    ..ServiceSpecificCredentialMetadata::default()
                };
                found.push((format!("{}/{id}", directory::key_of(&user.name)), shown));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let page = pager.take(found.into_iter().map(Ok))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    let service_specific_credentials = Some(page.items);
    Ok(ListServiceSpecificCredentialsOutput { service_specific_credentials, is_truncated, marker })
}
