//! Accounts, regions and partitions.

use crate::{Entropy, SeededEntropy};
use std::fmt;
use std::sync::Arc;

/// A 12-digit AWS account number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

impl AccountId {
    /// The account that the well-known pair `test`/`test` is root of, as existing emulators have it.
    pub const DEFAULT: AccountId = AccountId(0);

    /// `None` unless `text` is exactly twelve ASCII digits.
    pub fn parse(text: &str) -> Option<AccountId> {
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().map(AccountId)
    }

    /// The number as an integer below 10^12, for keys in the store.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// `None` for a number of more than twelve digits.
    pub fn from_u64(number: u64) -> Option<AccountId> {
        (number < 1_000_000_000_000).then_some(AccountId(number))
    }
}

impl AccountId {
    /// The 64 hexadecimal digits by which S3 knows the account. Always the same for one account, as
    /// policies and access control lists name it.
    pub fn canonical_user_id(self) -> String {
        let mut bytes = [0; 32];
        SeededEntropy::new(self.0 ^ 0x6375_6d75_6c65_7400).fill(&mut bytes);
        crate::hex::encode(&bytes)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Told in every record, grant and ARN: several times as fast as a padded number.
        let (mut digits, mut rest) = ([b'0'; 12], self.0);
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A region name such as `us-east-1`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Arc<str>);

impl Region {
    /// `None` unless the name is 1 to 63 lower-case letters, digits and inner hyphens, which every
    /// AWS region is. Which regions exist is not decided here.
    pub fn parse(name: &str) -> Option<Region> {
        let ok = (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        ok.then(|| Region(name.into()))
    }

    /// `us-east-1`, where global services live and where clients without a region go.
    pub fn us_east_1() -> Region {
        Region("us-east-1".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that the region belongs to, by its prefix.
    pub fn partition(&self) -> Partition {
        if self.0.starts_with("cn-") {
            Partition::AwsCn
        } else if self.0.starts_with("us-gov-") {
            Partition::AwsUsGov
        } else {
            Partition::Aws
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The second field of an ARN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partition {
    Aws,
    AwsCn,
    AwsUsGov,
}

impl Partition {
    pub fn as_str(self) -> &'static str {
        match self {
            Partition::Aws => "aws",
            Partition::AwsCn => "aws-cn",
            Partition::AwsUsGov => "aws-us-gov",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_is_twelve_digits() {
        assert_eq!(AccountId::parse("000000000000"), Some(AccountId::DEFAULT));
        assert_eq!(AccountId::parse("123456789012").unwrap().to_string(), "123456789012");
        for bad in ["", "1", "12345678901", "1234567890123", "12345678901a", "+23456789012"] {
            assert_eq!(AccountId::parse(bad), None, "{bad}");
        }
        assert_eq!(AccountId::from_u64(1_000_000_000_000), None);
    }

    #[test]
    fn region_names() {
        assert!(Region::parse("eu-central-1").is_some());
        assert_eq!(Region::parse("cn-north-1").unwrap().partition().as_str(), "aws-cn");
        for bad in ["", "-a", "a-", "US-EAST-1", "a b", &"a".repeat(64)] {
            assert!(Region::parse(bad).is_none(), "{bad}");
        }
    }
}
