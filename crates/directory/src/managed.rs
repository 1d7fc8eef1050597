//! Policies that AWS keeps: those that people attach most. They are the same in every account, so
//! they stand in the binary, as documents, and are parsed when first asked for.
//!
//! Deliberately absent: the rest of AWS's thousand and more, and their older versions.

mod table;

use crate::ids::{Kind, new_unique_id};
use base::SeededEntropy;
use policy::Policy;
use std::sync::{Arc, OnceLock};

pub use table::MANAGED;

/// A policy of AWS's own, in its newest version.
#[derive(Debug)]
pub struct ManagedPolicy {
    pub name: &'static str,
    pub path: &'static str,
    pub version: u32,
    /// Seconds since 1970.
    pub created_s: i64,
    pub updated_s: i64,
    pub document: &'static str,
    parsed: OnceLock<Option<Arc<Policy>>>,
}

impl ManagedPolicy {
    pub fn arn(&self, partition: &str) -> String {
        format!("arn:{partition}:iam::aws:policy{}{}", self.path, self.name)
    }

    /// Made from the name, since AWS does not publish its own.
    pub fn id(&self) -> String {
        let seed = self.name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        new_unique_id(Kind::Policy, &SeededEntropy::new(seed))
    }

    /// `None` only if the document in the binary is broken, which a test excludes.
    pub fn parsed(&self) -> Option<Arc<Policy>> {
        let parse = || Policy::parse(policy::Kind::Inline, self.document).ok().map(Arc::new);
        self.parsed.get_or_init(parse).clone()
    }
}

/// The policy of that ARN, in any partition.
pub fn managed(arn: &str) -> Option<&'static ManagedPolicy> {
    let (_, rest) = arn.strip_prefix("arn:")?.split_once(':')?;
    let full = rest.strip_prefix("iam::aws:policy")?;
    let (_, name) = full.rsplit_once('/')?;
    let at = MANAGED.binary_search_by(|own| own.name.cmp(name)).ok()?;
    let found = &MANAGED[at];
    (full.strip_suffix(name) == Some(found.path)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parse_and_are_found() {
        for own in &MANAGED {
            assert!(own.parsed().is_some(), "{}", own.name);
            let arn = own.arn("aws-cn");
            assert_eq!(managed(&arn).map(|found| found.name), Some(own.name), "{arn}");
            assert!(own.created_s <= own.updated_s, "{}", own.name);
        }
        assert!(MANAGED.is_sorted_by_key(|own| own.name));
        for bad in [
            "",
            "arn:aws:iam::aws:policy/service-role/AdministratorAccess",
            "arn:aws:iam::aws:policy/x",
        ] {
            assert!(managed(bad).is_none(), "{bad}");
        }
    }
}
