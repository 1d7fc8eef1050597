//! Identifiers in AWS's patterns
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>).

use base::{AccountId, Entropy};

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a unique id names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    User,
    Group,
    Role,
    InstanceProfile,
    Policy,
    ServerCertificate,
}

/// `AIDA…` and the like: a prefix and 17 characters.
pub fn new_unique_id(kind: Kind, entropy: &dyn Entropy) -> String {
    let prefix = match kind {
        Kind::User => "AIDA",
        Kind::Group => "AGPA",
        Kind::Role => "AROA",
        Kind::InstanceProfile => "AIPA",
        Kind::Policy => "ANPA",
        Kind::ServerCertificate => "ASCA",
    };
    prefix.to_owned() + &entropy.text(BASE32, 17)
}

/// An access key id: `AKIA` for one that lasts, `ASIA` for a session's, and 16 characters that begin
/// with the account, as AWS's do, so that `GetAccessKeyInfo` and people's tools can read it off.
pub fn new_access_key_id(prefix: &str, account: AccountId, entropy: &dyn Entropy) -> String {
    // 80 bits: one that is set, 40 of the account, 39 of chance.
    let chance = entropy.next_u64() & ((1 << 39) - 1);
    let bits = 1u128 << 79 | u128::from(account.to_u64()) << 39 | u128::from(chance);
    let digits = (0..16).rev().map(|at| BASE32[(bits >> (5 * at)) as usize & 31] as char);
    prefix.chars().chain(digits).collect()
}

/// The account that an access key id carries; `None` if it is none of the form above.
pub fn access_key_account(id: &str) -> Option<AccountId> {
    let digits = id.strip_prefix("AKIA").or_else(|| id.strip_prefix("ASIA"))?;
    if digits.len() != 16 {
        return None;
    }
    let bits = digits.bytes().try_fold(0u128, |bits, digit| {
        let value = BASE32.iter().position(|known| *known == digit)?;
        Some(bits << 5 | value as u128)
    })?;
    let account = AccountId::from_u64((bits >> 39) as u64 & ((1 << 40) - 1))?;
    (bits >> 79 == 1).then_some(account)
}

/// A secret access key: 40 characters.
pub fn new_secret(entropy: &dyn Entropy) -> String {
    entropy.text(BASE64, 40)
}

/// A session token. Opaque to clients, who expect it to be long.
pub(crate) fn new_session_token(length_min: usize, entropy: &dyn Entropy) -> String {
    let head = "IQoJb3JpZ2luX2Vj";
    head.to_owned() + &entropy.text(BASE64, length_min.saturating_sub(head.len()).max(240))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SeededEntropy;

    #[test]
    fn patterns() {
        let entropy = SeededEntropy::new(1);
        let id = new_unique_id(Kind::Role, &entropy);
        assert!(id.starts_with("AROA") && id.len() == 21, "{id}");
        assert_eq!(new_secret(&entropy).len(), 40);
    }

    #[test]
    fn access_key_ids_carry_their_account() {
        let entropy = SeededEntropy::new(1);
        for account in ["000000000000", "123456789012", "999999999999"] {
            let account = AccountId::parse(account).expect("an account");
            for prefix in ["AKIA", "ASIA"] {
                let id = new_access_key_id(prefix, account, &entropy);
                assert!(id.starts_with(prefix) && id.len() == 20, "{id}");
                assert_eq!(access_key_account(&id), Some(account), "{id}");
            }
        }
        // A key of AWS's own documentation, and what is none.
        assert_eq!(
            access_key_account("ASIAQNZGKIQY56JQ7WML").map(|a| a.to_string()),
            Some("029608264753".into())
        );
        for bad in [
            "",
            "test",
            "AKIA",
            "AKIAIOSFODNN7EXAMPLE",
            "AKIAQAAAAAAAAAAAAAA1",
            "AKIA7777777777777777",
        ] {
            assert_eq!(access_key_account(bad), None, "{bad}");
        }
    }
}
