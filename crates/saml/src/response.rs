//! A response, and the assertion in it that is signed
//! (<https://docs.oasis-open.org/security/saml/v2.0/saml-core-2.0-os.pdf>).

use crate::metadata::Metadata;
use crate::signature::{Cover, cover};
use crate::tree::{Id, ROOT, Tree};
use base::Timestamp;

const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";

/// Why a response says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is no response with one assertion that has what every assertion must.
    Malformed,
    /// The provider says that it does not know who that is.
    Failed,
    /// Another provider's.
    Issuer,
    /// No key of the provider signed it, or something else.
    Signature,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NameId {
    pub value: String,
    pub format: Option<String>,
}

/// To whom, and until when, the bearer may show the assertion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirmation {
    pub recipient: String,
    pub not_on_or_after: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    pub name: String,
    pub values: Vec<String>,
}

/// What a key of the provider signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assertion {
    pub issuer: String,
    pub issued: Timestamp,
    pub subject: NameId,
    pub confirmations: Vec<Confirmation>,
    pub not_before: Option<Timestamp>,
    pub not_on_or_after: Option<Timestamp>,
    /// Each must have one that the reader is.
    pub audiences: Vec<Vec<String>>,
    pub session_ends: Option<Timestamp>,
    pub attributes: Vec<Attribute>,
}

impl Assertion {
    /// The values of all attributes of that name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let found = self.attributes.iter().filter(|own| own.name == name);
        found.flat_map(|own| &own.values).map(String::as_str).collect()
    }
}

/// Reads a response that the provider of the metadata signed: it, or the assertion in it.
pub fn read(response: &[u8], metadata: &Metadata) -> Result<Assertion, Refusal> {
    let tree = Tree::parse(response).ok_or(Refusal::Malformed)?;
    if !tree.is(ROOT, (SAMLP, "Response")) {
        return Err(Refusal::Malformed);
    }
    let status = tree.only(ROOT, (SAMLP, "Status")).ok_or(Refusal::Malformed)?;
    let code = tree.only(status, (SAMLP, "StatusCode")).ok_or(Refusal::Malformed)?;
    if tree.attribute(code, "Value") != Some(SUCCESS) {
        return Err(Refusal::Failed);
    }
    // One, and nowhere another, in whatever element.
    let assertion = tree.only(ROOT, (SAML, "Assertion")).ok_or(Refusal::Malformed)?;
    if tree.elements().filter(|element| element.local == "Assertion").count() != 1 {
        return Err(Refusal::Malformed);
    }
    let issuers = [tree.only(assertion, (SAML, "Issuer")), tree.only(ROOT, (SAML, "Issuer"))];
    let own = |id: &Id| tree.value(*id) == Some(&metadata.entity);
    if issuers[0].is_none() || !issuers.iter().flatten().all(own) {
        return Err(Refusal::Issuer);
    }
    let covers = [ROOT, assertion].map(|id| cover(&tree, id, &metadata.keys));
    if covers.contains(&Cover::Bad) || !covers.contains(&Cover::Signed) {
        return Err(Refusal::Signature);
    }
    contents(&tree, assertion, &metadata.entity).ok_or(Refusal::Malformed)
}

/// A time that may be missing, but not broken.
fn time(tree: &Tree, id: Id, name: &str) -> Option<Option<Timestamp>> {
    match tree.attribute(id, name) {
        Some(text) => Timestamp::parse_iso8601(text).ok().map(Some),
        None => Some(None),
    }
}

fn contents(tree: &Tree, assertion: Id, issuer: &str) -> Option<Assertion> {
    let subject = tree.only(assertion, (SAML, "Subject"))?;
    let name = tree.only(subject, (SAML, "NameID"))?;
    let mut out = Assertion {
        issuer: issuer.to_owned(),
        issued: time(tree, assertion, "IssueInstant")??,
        subject: NameId {
            value: tree.value(name)?.to_owned(),
            format: tree.attribute(name, "Format").map(str::to_owned),
        },
        confirmations: Vec::new(),
        not_before: None,
        not_on_or_after: None,
        audiences: Vec::new(),
        session_ends: None,
        attributes: attributes(tree, assertion)?,
    };
    for confirmation in tree.named(subject, (SAML, "SubjectConfirmation")) {
        if tree.attribute(confirmation, "Method") == Some(BEARER) {
            let data = tree.only(confirmation, (SAML, "SubjectConfirmationData"))?;
            out.confirmations.push(Confirmation {
                recipient: tree.attribute(data, "Recipient")?.to_owned(),
                not_on_or_after: time(tree, data, "NotOnOrAfter")??,
            });
        }
    }
    if let Some(conditions) = tree.named(assertion, (SAML, "Conditions")).next() {
        tree.only(assertion, (SAML, "Conditions"))?;
        out.not_before = time(tree, conditions, "NotBefore")?;
        out.not_on_or_after = time(tree, conditions, "NotOnOrAfter")?;
        for restriction in tree.named(conditions, (SAML, "AudienceRestriction")) {
            let audiences = tree.named(restriction, (SAML, "Audience"));
            out.audiences.push(
                audiences.map(|id| tree.value(id).map(str::to_owned)).collect::<Option<_>>()?,
            );
        }
    }
    for statement in tree.named(assertion, (SAML, "AuthnStatement")) {
        let ends = time(tree, statement, "SessionNotOnOrAfter")?;
        out.session_ends = [out.session_ends, ends].into_iter().flatten().min();
    }
    Some(out)
}

fn attributes(tree: &Tree, assertion: Id) -> Option<Vec<Attribute>> {
    let mut found = Vec::new();
    for statement in tree.named(assertion, (SAML, "AttributeStatement")) {
        for attribute in tree.named(statement, (SAML, "Attribute")) {
            // A value with elements in it is nothing that anybody here asks for.
            let values = tree.named(attribute, (SAML, "AttributeValue"));
            let values = values.filter_map(|value| tree.value(value)).map(str::to_owned).collect();
            found.push(Attribute { name: tree.attribute(attribute, "Name")?.to_owned(), values });
        }
    }
    Some(found)
}
