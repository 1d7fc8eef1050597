//! XML signatures (<https://www.w3.org/TR/xmldsig-core1/>), of the one form that SAML has: enveloped in
//! the element that they cover, with a reference to that element by its id.

use crate::canonical;
use crate::tree::{Content, Id, Tree};
use crate::x509::{Algorithm, Certificate};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const PREFIXES_MAX: usize = 32;

/// What stands in an element by way of signature.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Cover {
    None,
    /// One of the keys signed the element.
    Signed,
    /// There is one, but it is not good, not understood, or covers something else.
    Bad,
}

/// Whether the element is signed, by its own child, by a key of one of the certificates.
pub(crate) fn cover(tree: &Tree, id: Id, keys: &[Certificate]) -> Cover {
    let signature = match tree.named(id, (DS, "Signature")).collect::<Vec<_>>()[..] {
        [] => return Cover::None,
        [one] => one,
        _ => return Cover::Bad,
    };
    match check(tree, id, signature, keys) {
        Some(true) => Cover::Signed,
        _ => Cover::Bad,
    }
}

/// The children of an element that must be there in this order, and nothing else but white space.
fn exactly<const N: usize>(tree: &Tree, id: Id, names: [&str; N]) -> Option<[Id; N]> {
    let blank = |content: &Content| match content {
        Content::Text(text) => text.trim().is_empty(),
        Content::Element(_) => true,
    };
    let children: Vec<Id> = tree.children(id).collect();
    let children: [Id; N] = children.try_into().ok()?;
    let fits = tree.element(id).content.iter().all(blank)
        && children.iter().zip(names).all(|(child, name)| tree.is(*child, (DS, name)));
    fits.then_some(children)
}

fn algorithm(tree: &Tree, id: Id) -> Option<&str> {
    tree.attribute(id, "Algorithm")
}

/// The prefixes that a canonical form treats as inclusive, if the element asks for the one form that is
/// known here.
fn exclusive(tree: &Tree, id: Id) -> Option<Vec<&str>> {
    if algorithm(tree, id)? != EXCLUSIVE {
        return None;
    }
    let children: Vec<Id> = tree.children(id).collect();
    let list = match children[..] {
        [] => return Some(Vec::new()),
        [one]
            if tree.is(one, (EXCLUSIVE, "InclusiveNamespaces"))
                && tree.children(one).next().is_none() =>
        {
            one
        }
        _ => return None,
    };
    let prefixes = tree.attribute(list, "PrefixList").unwrap_or("").split_ascii_whitespace();
    let prefixes: Vec<&str> =
        prefixes.map(|one| if one == "#default" { "" } else { one }).collect();
    (prefixes.len() <= PREFIXES_MAX).then_some(prefixes)
}

fn decoded(tree: &Tree, id: Id) -> Option<Vec<u8>> {
    let text: String = tree.value(id)?.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// Whether an id stands in the document once. What a reference means is thereby never a question.
fn is_unique(tree: &Tree, wanted: &str) -> bool {
    let attributes = tree.elements().flat_map(|element| &element.attributes);
    let ids = attributes.filter(|own| own.local.eq_ignore_ascii_case("id"));
    ids.filter(|own| own.value == wanted).count() == 1
}

/// What a reference says of the element that it covers: the digest, of which canonical form.
struct Reference<'t> {
    method: &'static digest::Algorithm,
    value: Vec<u8>,
    inclusive: Vec<&'t str>,
}

fn check(tree: &Tree, covered: Id, signature: Id, keys: &[Certificate]) -> Option<bool> {
    let [info, value] = match exactly(tree, signature, ["SignedInfo", "SignatureValue", "KeyInfo"])
    {
        Some([info, value, _]) => [info, value],
        None => exactly(tree, signature, ["SignedInfo", "SignatureValue"])?,
    };
    let [form, method, reference] =
        exactly(tree, info, ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    let method = match bare_algorithm(tree, method)? {
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => Algorithm::RsaSha256,
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => Algorithm::RsaSha384,
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => Algorithm::RsaSha512,
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => Algorithm::EcdsaSha256,
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => Algorithm::EcdsaSha384,
        _ => return None,
    };
    // Nobody signs these requests, so what costs little comes first: what is signed is by now known to be
    // a handful of elements, and what it covers is written out only where a key did sign it.
    let wanted = to_element(tree, covered, reference)?;
    let message = canonical::write(tree, info, None, &exclusive(tree, form)?);
    let value = decoded(tree, value)?;
    if !keys.iter().any(|key| key.verify(method, message.as_bytes(), &value)) {
        return Some(false);
    }
    let text = canonical::write(tree, covered, Some(signature), &wanted.inclusive);
    Some(digest::digest(wanted.method, text.as_bytes()).as_ref() == wanted.value)
}

/// The method of an element that has no parameters for it.
fn bare_algorithm(tree: &Tree, id: Id) -> Option<&str> {
    algorithm(tree, id).filter(|_| tree.children(id).next().is_none())
}

/// The reference, if it is to the element.
fn to_element<'t>(tree: &'t Tree, covered: Id, reference: Id) -> Option<Reference<'t>> {
    let id = tree.attribute(covered, "ID").filter(|id| !id.is_empty())?;
    if tree.attribute(reference, "URI")?.strip_prefix('#')? != id || !is_unique(tree, id) {
        return None;
    }
    let [transforms, method, value] =
        exactly(tree, reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, form] = exactly(tree, transforms, ["Transform", "Transform"])?;
    if bare_algorithm(tree, enveloped)? != ENVELOPED {
        return None;
    }
    let method = match bare_algorithm(tree, method)? {
        "http://www.w3.org/2001/04/xmlenc#sha256" => &digest::SHA256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => &digest::SHA384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => &digest::SHA512,
        _ => return None,
    };
    let inclusive = exclusive(tree, form)?;
    Some(Reference { method, value: decoded(tree, value)?, inclusive })
}
