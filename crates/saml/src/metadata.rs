//! What an identity provider says of itself: its name and its keys
//! (<https://docs.oasis-open.org/security/saml/v2.0/saml-metadata-2.0-os.pdf>).

use crate::signature::DS;
use crate::tree::{Id, ROOT, Tree};
use crate::x509::{self, Certificate};
use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const MD: &str = "urn:oasis:names:tc:SAML:2.0:metadata";

#[derive(Debug)]
pub struct Metadata {
    /// The name of the provider, which its responses bear.
    pub entity: String,
    /// Until when the document is good, if it says.
    pub valid_until: Option<Timestamp>,
    /// Those that it signs with.
    pub(crate) keys: Vec<Certificate>,
}

impl Metadata {
    /// `None` for what is no metadata of an identity provider with a key.
    pub fn read(document: &[u8]) -> Option<Metadata> {
        let tree = Tree::parse(document)?;
        if !tree.is(ROOT, (MD, "EntityDescriptor")) {
            return None;
        }
        let entity = tree.attribute(ROOT, "entityID").filter(|name| !name.is_empty())?.to_owned();
        let valid_until = match tree.attribute(ROOT, "validUntil") {
            Some(text) => Some(Timestamp::parse_iso8601(text).ok()?),
            None => None,
        };
        let mut keys = Vec::new();
        for role in tree.named(ROOT, (MD, "IDPSSODescriptor")) {
            for key in tree.named(role, (MD, "KeyDescriptor")) {
                if tree.attribute(key, "use").unwrap_or("signing") == "signing" {
                    certificates(&tree, key, &mut keys)?;
                }
            }
        }
        (!keys.is_empty()).then_some(Metadata { entity, valid_until, keys })
    }
}

fn certificates(tree: &Tree, descriptor: Id, keys: &mut Vec<Certificate>) -> Option<()> {
    for info in tree.named(descriptor, (DS, "KeyInfo")) {
        for data in tree.named(info, (DS, "X509Data")) {
            for certificate in tree.named(data, (DS, "X509Certificate")) {
                let text: String = tree.value(certificate)?.split_ascii_whitespace().collect();
                keys.push(x509::certificate(&STANDARD.decode(text).ok()?)?);
            }
        }
    }
    Some(())
}
