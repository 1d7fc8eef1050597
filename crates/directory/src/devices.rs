//! What users have beside access keys: passwords, second factors, certificates, keys of services.
//! Rows that belong to a user carry its unique id, which outlives its name.

use api::{Error, Tx};
use base::{AccountId, Timestamp};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use store::{Scope, Table, row};

use crate::rows::TagRow;

/// By the user's id.
pub const LOGIN_PROFILES: Table<String, LoginProfileRow> = Table::new(0x0212, "iam.login_profile");
/// By serial number, which is an ARN.
pub const MFA_DEVICES: Table<String, MfaDeviceRow> = Table::new(0x0213, "iam.mfa_device");
/// By name in lower case.
pub const SERVER_CERTIFICATES: Table<String, ServerCertificateRow> =
    Table::new(0x0214, "iam.server_certificate");
/// By the user's id and the certificate's.
pub const SIGNING_CERTIFICATES: Table<(String, String), SigningCertificateRow> =
    Table::new(0x0215, "iam.signing_certificate");
/// By the user's id and the key's.
pub const SSH_KEYS: Table<(String, String), SshKeyRow> = Table::new(0x0216, "iam.ssh_key");
/// By the user's id and the credential's.
pub const SERVICE_CREDENTIALS: Table<(String, String), ServiceCredentialRow> =
    Table::new(0x0217, "iam.service_credential");
/// The newest report, under an empty key.
pub const CREDENTIAL_REPORTS: Table<String, CredentialReportRow> =
    Table::new(0x0218, "iam.credential_report");

row! {
    /// A password as it is kept: hashed by PBKDF2.
    pub struct PasswordRow {
        1 => salt: Bytes,
        2 => hash: Bytes,
        3 => rounds: u32,
    }

    pub struct LoginProfileRow {
        1 => created: Timestamp,
        2 => changed: Timestamp,
        3 => password: PasswordRow,
        4 => reset_required: bool,
        /// Earlier ones, the newest first.
        5 => older: Vec<PasswordRow>,
    }

    pub struct MfaDeviceRow {
        1 => serial: String,
        2 => name: String,
        3 => path: String,
        4 => seed: Bytes,
        5 => created: Timestamp,
        /// In lower case; of a device that nobody uses `None`.
        6 => user: Option<String>,
        7 => enabled: Option<Timestamp>,
        8 => tags: Vec<TagRow>,
        /// How many steps the device is ahead of our clock.
        9 => ahead: i64,
        /// The last step whose code was taken: no code is good twice.
        10 => last_step: i64,
    }

    pub struct ServerCertificateRow {
        1 => id: String,
        2 => name: String,
        3 => path: String,
        4 => arn: String,
        5 => uploaded: Timestamp,
        6 => expires: Timestamp,
        7 => body: String,
        8 => chain: Option<String>,
        9 => private_key: String,
        10 => tags: Vec<TagRow>,
    }

    pub struct SigningCertificateRow {
        1 => body: String,
        2 => active: bool,
        3 => uploaded: Timestamp,
    }

    pub struct SshKeyRow {
        1 => body: String,
        2 => fingerprint: String,
        3 => active: bool,
        4 => uploaded: Timestamp,
    }

    pub struct ServiceCredentialRow {
        1 => service: String,
        2 => user_name: String,
        3 => password: String,
        4 => active: bool,
        5 => created: Timestamp,
    }

    pub struct CredentialReportRow {
        1 => generated: Timestamp,
        2 => content: String,
    }
}

/// Seconds for which a code is good (RFC 6238).
const STEP_S: i64 = 30;
/// Steps by which a device may be off where it proves itself with two codes in a row.
const AHEAD_MAX: i64 = 40;

/// The code of a step, as RFC 4226 truncates it.
pub fn mfa_code(seed: &[u8], step: i64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(seed).expect("HMAC takes keys of any length");
    mac.update(&step.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let at = usize::from(digest[19] & 15);
    let word = [digest[at] & 0x7f, digest[at + 1], digest[at + 2], digest[at + 3]];
    format!("{:06}", u32::from_be_bytes(word) % 1_000_000)
}

/// Finds out how far a device is ahead, from two codes in a row. `None`: they are none of its codes.
pub fn mfa_ahead(seed: &[u8], now: Timestamp, first: &str, second: &str) -> Option<i64> {
    let step = now.to_secs().div_euclid(STEP_S);
    let mut by_distance: Vec<i64> = (-AHEAD_MAX..=AHEAD_MAX).collect();
    by_distance.sort_by_key(|ahead| ahead.abs());
    by_distance.into_iter().find(|ahead| {
        mfa_code(seed, step + ahead - 1) == first && mfa_code(seed, step + ahead) == second
    })
}

/// The step of a code that is good now, one step early or late included.
fn good_step(row: &MfaDeviceRow, now: Timestamp, code: &str) -> Option<i64> {
    let step = now.to_secs().div_euclid(STEP_S) + row.ahead;
    let good = |step: &i64| *step > row.last_step && mfa_code(&row.seed, *step) == code;
    (step - 1..=step + 1).find(good)
}

/// The step of the code, if the device is this user's and the code is good now.
pub fn mfa_step(
    tx: &Tx,
    account: AccountId,
    user: &str,
    serial: &str,
    code: &str,
) -> Result<Option<i64>, Error> {
    let row = tx.get(&MFA_DEVICES, &Scope::Account(account), serial)?;
    let row = row.filter(|row| row.user.as_deref() == Some(user) && row.enabled.is_some());
    Ok(row.and_then(|row| good_step(&row, tx.now(), code)))
}

/// The same, and the code is good no more.
pub fn use_mfa_code(
    tx: &mut Tx,
    account: AccountId,
    user: &str,
    serial: &str,
    code: &str,
) -> Result<bool, Error> {
    let Some(step) = mfa_step(tx, account, user, serial, code)? else { return Ok(false) };
    let scope = Scope::Account(account);
    if let Some(mut row) = tx.get(&MFA_DEVICES, &scope, serial)? {
        row.last_step = step;
        tx.put(&MFA_DEVICES, &scope, serial, &row)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, the last six of eight digits.
    #[test]
    fn codes_of_the_rfc() {
        let seed = b"12345678901234567890";
        for (secs, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000i64, "353130"),
        ] {
            assert_eq!(mfa_code(seed, secs / STEP_S), code, "{secs}");
        }
    }

    #[test]
    fn a_device_may_be_off() {
        let seed = b"12345678901234567890";
        let now = Timestamp::from_secs(1_700_000_000);
        let step = now.to_secs() / STEP_S;
        for ahead in [0, 3, -40, 40] {
            let [first, second] = [-1, 0].map(|n| mfa_code(seed, step + ahead + n));
            assert_eq!(mfa_ahead(seed, now, &first, &second), Some(ahead));
            assert_eq!(mfa_ahead(seed, now, &second, &first), None);
        }
        let [first, second] = [-1, 0].map(|n| mfa_code(seed, step + 41 + n));
        assert_eq!(mfa_ahead(seed, now, &first, &second), None);
    }
}
