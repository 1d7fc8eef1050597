//! Second factors: virtual devices, whose codes change with time (RFC 6238).

use crate::error::quota;
use crate::holder::Holds;
use crate::page::Pager;
use crate::user::name_or_own;
use crate::{ask, png, tags, view};
use api::{Cx, Error, Tx};
use base::percent;
use bytes::Bytes;
use directory::{MFA_DEVICES, MfaDeviceRow, UserRow, key_of, mfa_ahead};
use gen_iam::*;
use store::Scope;

/// Quota "MFA devices per user".
const DEVICES_MAX: usize = 8;
const SEED_BYTES: usize = 40;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut five = [0; 8];
        five[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(five);
        let digits = (chunk.len() * 8).div_ceil(5);
        out.extend((0..digits).map(|at| BASE32[(bits >> (35 - 5 * at)) as usize & 31] as char));
    }
    out
}

pub(crate) fn load(tx: &Tx, cx: &Cx, serial: &str) -> Result<MfaDeviceRow, Error> {
    tx.get(&MFA_DEVICES, &Scope::Account(cx.account), serial)?.ok_or_else(|| {
        let message = format!("VirtualMFADevice with serial number {serial} doesn't exist.");
        Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
    })
}

pub(crate) fn put(tx: &mut Tx, cx: &Cx, row: &MfaDeviceRow) -> Result<(), Error> {
    Ok(tx.put(&MFA_DEVICES, &Scope::Account(cx.account), row.serial.as_str(), row)?)
}

/// The devices of a user, or of all.
pub(crate) fn of(tx: &Tx, cx: &Cx, user: Option<&str>) -> Result<Vec<MfaDeviceRow>, Error> {
    let mut found = Vec::new();
    for row in tx.scan(&MFA_DEVICES, &Scope::Account(cx.account)) {
        let (_, row) = row?;
        if user.is_none() || row.user.as_deref() == user {
            found.push(row);
        }
    }
    Ok(found)
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateVirtualMFADeviceInput,
) -> Result<CreateVirtualMFADeviceOutput, Error> {
    let name = &input.virtual_mfa_device_name;
    let path = input.path.as_deref().unwrap_or("/");
    let serial = ask::arn(cx, &format!("mfa{path}{name}"));
    let same = |row: &MfaDeviceRow| row.name.eq_ignore_ascii_case(name);
    if of(tx, cx, None)?.iter().any(same) {
        let message = "MFADevice entity at the same path and name already exists.";
        return Err(Error::new(&errors::ENTITY_ALREADY_EXISTS_EXCEPTION, message));
    }
    let mut seed = [0; SEED_BYTES];
    cx.entropy.fill(&mut seed);
    let row = MfaDeviceRow {
        serial: serial.clone(),
        name: name.clone(),
        path: path.to_owned(),
        seed: Bytes::copy_from_slice(&seed),
        created: tx.now(),
        user: None,
        enabled: None,
        tags: tags::new(input.tags.as_deref())?,
        ahead: 0,
        last_step: 0,
    };
    put(tx, cx, &row)?;
    let secret = base32(&seed);
    let label = percent::encode(format!("{name}@{}", cx.account).as_bytes());
    let link = format!(
        "otpauth://totp/Amazon%20Web%20Services:{label}?secret={secret}&issuer=Amazon%20Web%20Services"
    );
    let virtual_mfa_device = VirtualMFADevice {
        serial_number: serial,
        base32_string_seed: Some(Bytes::from(secret)),
        qr_code_png: Some(Bytes::from(png::qr_code(&link)?)),
        tags: view::tags(&row.tags),
        ..VirtualMFADevice::default()
    };
    Ok(CreateVirtualMFADeviceOutput { virtual_mfa_device })
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteVirtualMFADeviceInput,
) -> Result<DeleteVirtualMFADeviceOutput, Error> {
    let row = load(tx, cx, &input.serial_number)?;
    if row.user.is_some() {
        let message = "MFA VirtualDevice in use. Must deactivate first.";
        return Err(Error::new(&errors::DELETE_CONFLICT_EXCEPTION, message));
    }
    tx.delete(&MFA_DEVICES, &Scope::Account(cx.account), row.serial.as_str())?;
    Ok(DeleteVirtualMFADeviceOutput {})
}

fn bad_code() -> Error {
    let message = "Authentication code for device is not valid.";
    Error::new(&errors::INVALID_AUTHENTICATION_CODE_EXCEPTION, message)
}

/// Two codes in a row show that the user has the device, and how far its clock is off.
fn synchronise(tx: &Tx, row: &mut MfaDeviceRow, codes: (&str, &str)) -> Result<(), Error> {
    row.ahead = mfa_ahead(&row.seed, tx.now(), codes.0, codes.1).ok_or_else(bad_code)?;
    Ok(())
}

pub(crate) fn enable(
    tx: &mut Tx,
    cx: &Cx,
    input: &EnableMFADeviceInput,
) -> Result<EnableMFADeviceOutput, Error> {
    let user = UserRow::load(tx, cx, &input.user_name)?;
    let mut row = load(tx, cx, &input.serial_number)?;
    if row.user.is_some() {
        let message = "MFA Device is already in use.";
        return Err(Error::new(&errors::ENTITY_ALREADY_EXISTS_EXCEPTION, message));
    }
    let key = key_of(&user.name);
    if of(tx, cx, Some(&key))?.len() >= DEVICES_MAX {
        return Err(quota("MfaDevicesPerUser", DEVICES_MAX));
    }
    synchronise(tx, &mut row, (&input.authentication_code1, &input.authentication_code2))?;
    row.user = Some(key);
    row.enabled = Some(tx.now());
    put(tx, cx, &row)?;
    Ok(EnableMFADeviceOutput {})
}

/// The device, if it is the user's.
fn load_of(tx: &Tx, cx: &Cx, user: &str, serial: &str) -> Result<MfaDeviceRow, Error> {
    let user = UserRow::load(tx, cx, user)?;
    let row = load(tx, cx, serial)?;
    match row.user.as_deref() == Some(key_of(&user.name).as_str()) {
        true => Ok(row),
        false => {
            let message = format!("MFA Device {serial} is not in use by user {}.", user.name);
            Err(Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message))
        }
    }
}

pub(crate) fn deactivate(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeactivateMFADeviceInput,
) -> Result<DeactivateMFADeviceOutput, Error> {
    let name = name_or_own(cx, input.user_name.as_deref())?;
    let mut row = load_of(tx, cx, name, &input.serial_number)?;
    row.user = None;
    row.enabled = None;
    put(tx, cx, &row)?;
    Ok(DeactivateMFADeviceOutput {})
}

pub(crate) fn resync(
    tx: &mut Tx,
    cx: &Cx,
    input: &ResyncMFADeviceInput,
) -> Result<ResyncMFADeviceOutput, Error> {
    let mut row = load_of(tx, cx, &input.user_name, &input.serial_number)?;
    synchronise(tx, &mut row, (&input.authentication_code1, &input.authentication_code2))?;
    put(tx, cx, &row)?;
    Ok(ResyncMFADeviceOutput {})
}

pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetMFADeviceInput,
) -> Result<GetMFADeviceOutput, Error> {
    let row = match &input.user_name {
        Some(user) => load_of(tx, cx, user, &input.serial_number)?,
        None => load(tx, cx, &input.serial_number)?,
    };
    let user = row.user.as_deref().map(|key| UserRow::load(tx, cx, key)).transpose()?;
    Ok(GetMFADeviceOutput {
        user_name: user.map(|user| user.name),
        serial_number: row.serial,
        enable_date: row.enabled,
        certifications: None,
    })
}

pub(crate) fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListMFADevicesInput,
) -> Result<ListMFADevicesOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let parameters = [user.name.as_str()];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let rows = of(tx, cx, Some(&key_of(&user.name)))?;
    let page = pager.take(rows.into_iter().map(|row| {
        let shown = MFADevice {
            user_name: user.name.clone(),
            serial_number: row.serial.clone(),
            enable_date: row.enabled.unwrap_or(row.created),
        };
        Ok((row.serial, shown))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListMFADevicesOutput { mfa_devices: page.items, is_truncated, marker })
}

pub(crate) fn list_virtual(
    tx: &Tx,
    cx: &Cx,
    input: &ListVirtualMFADevicesInput,
) -> Result<ListVirtualMFADevicesOutput, Error> {
    let status = input.assignment_status.as_deref().unwrap_or("Any");
    let wanted = |row: &MfaDeviceRow| match status {
        "Assigned" => row.user.is_some(),
        "Unassigned" => row.user.is_none(),
        _ => true,
    };
    let pager = Pager::new(cx, &[status], input.marker.as_deref(), input.max_items)?;
    let rows = of(tx, cx, None)?.into_iter().filter(wanted);
    let page = pager.take(rows.map(|row| {
        let user = row.user.as_deref().map(|key| UserRow::load(tx, cx, key)).transpose()?;
        let shown = VirtualMFADevice {
            serial_number: row.serial.clone(),
            user: user.as_ref().map(view::user_listed),
            enable_date: row.enabled,
            ..VirtualMFADevice::default()
        };
        Ok((row.serial, shown))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListVirtualMFADevicesOutput { virtual_mfa_devices: page.items, is_truncated, marker })
}

/// After a change of the user's name.
pub(crate) fn rename_user(tx: &mut Tx, cx: &Cx, old: &str, new: &str) -> Result<(), Error> {
    for mut row in of(tx, cx, Some(old))? {
        row.user = Some(new.to_owned());
        put(tx, cx, &row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn base32_of_the_rfc() {
        for (text, code) in [("", ""), ("f", "MY"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(super::base32(text.as_bytes()), code);
        }
    }
}
