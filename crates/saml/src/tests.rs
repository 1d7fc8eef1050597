//! Responses that a library of others signed (`tests/idp.py` makes such), and what becomes of them in
//! the hands of somebody who would be another.

use crate::canonical;
use crate::tree::{ROOT, Tree};
use crate::{Assertion, Metadata, Refusal, fuzz_response, read};
use base::Timestamp;

/// With the certificates of an RSA key and of one on a curve.
const METADATA: &str = include_str!("tests/metadata.xml");
/// The RSA key signed the assertion.
const ASSERTION: &str = include_str!("tests/assertion.xml");
/// The key on a curve signed the assertion.
const CURVE: &str = include_str!("tests/curve.xml");
/// The key on a curve signed the response.
const RESPONSE: &str = include_str!("tests/response.xml");
/// The RSA key signed the assertion, and then the response with it.
const BOTH: &str = include_str!("tests/both.xml");

fn metadata() -> Metadata {
    Metadata::read(METADATA.as_bytes()).expect("metadata")
}

fn open(response: &str) -> Result<Assertion, Refusal> {
    read(response.as_bytes(), &metadata())
}

#[test]
fn what_is_signed_is_read() {
    let now = Timestamp::from_secs(1_700_000_000);
    for response in [ASSERTION, CURVE, RESPONSE, BOTH] {
        let found = open(response).expect("an assertion");
        assert_eq!(found.issuer, "https://idp.example.com/saml");
        assert_eq!(found.issued, now);
        assert_eq!(found.subject.value, "alice");
        let format = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
        assert_eq!(found.subject.format.as_deref(), Some(format));
        assert_eq!(found.confirmations[0].recipient, "https://signin.aws.amazon.com/saml");
        assert_eq!(found.confirmations[0].not_on_or_after, now.plus_secs(300));
        assert_eq!(found.not_before, Some(now.plus_secs(-60)));
        assert_eq!(found.not_on_or_after, Some(now.plus_secs(300)));
        assert_eq!(found.audiences, [["https://signin.aws.amazon.com/saml"]]);
        assert_eq!(found.session_ends, Some(now.plus_secs(7200)));
        let tag = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:team";
        assert_eq!(found.values(tag), ["red & blue"]);
        assert_eq!(found.values("urn:oid:1.3.6.1.4.1.5923.1.1.1.1"), ["staff", "member"]);
    }
}

#[test]
fn canonical_forms() {
    // As libxml2 writes them.
    let check = |text: &str, inclusive: &[&str], whole: &str, child: Option<&str>| {
        let tree = Tree::parse(text.as_bytes()).expect("a tree");
        assert_eq!(canonical::write(&tree, ROOT, None, inclusive), whole);
        if let Some(child) = child {
            assert_eq!(canonical::write(&tree, ROOT + 1, None, inclusive), child);
        }
    };
    check(
        "<a xmlns=\"u:d\" xmlns:p=\"u:p\" xmlns:q=\"u:q\" p:z=\"1\" b=\"2\" q:a=\"3\" a=\"x&#9;y&#10;&quot;&lt;&amp;&#13;\"><p:b/><c xmlns=\"\"/>t&#13;&gt;<![CDATA[<&]]></a>",
        &[],
        "<a xmlns=\"u:d\" xmlns:p=\"u:p\" xmlns:q=\"u:q\" a=\"x&#x9;y&#xA;&quot;&lt;&amp;&#xD;\" b=\"2\" p:z=\"1\" q:a=\"3\"><p:b></p:b><c xmlns=\"\"></c>t&#xD;&gt;&lt;&amp;</a>",
        Some("<p:b xmlns:p=\"u:p\"></p:b>"),
    );
    check(
        "<r xmlns:p=\"u:p\" xmlns:unused=\"u:u\"><p:a><b p:c=\"d\"/></p:a><p:a xmlns:p=\"u:other\"/></r>",
        &[],
        "<r><p:a xmlns:p=\"u:p\"><b p:c=\"d\"></b></p:a><p:a xmlns:p=\"u:other\"></p:a></r>",
        Some("<p:a xmlns:p=\"u:p\"><b p:c=\"d\"></b></p:a>"),
    );
    check(
        "<r xmlns:p=\"u:p\" xmlns:x=\"u:x\" xmlns=\"u:r\"><p:a type=\"x:string\"><x:b/></p:a></r>",
        &["x"],
        "<r xmlns=\"u:r\" xmlns:x=\"u:x\"><p:a xmlns:p=\"u:p\" type=\"x:string\"><x:b></x:b></p:a></r>",
        Some("<p:a xmlns:p=\"u:p\" xmlns:x=\"u:x\" type=\"x:string\"><x:b></x:b></p:a>"),
    );
    check(
        "<r  b = \"1\"\n a=\"2 \t3\"><!-- gone -->x<!-- gone -->y\r\nz</r>",
        &[],
        "<r a=\"2  3\" b=\"1\">xy\nz</r>",
        None,
    );
}

#[test]
fn trees_that_are_none() {
    for text in [
        "",
        "<a",
        "<a/><b/>",
        "<p:a/>",
        "<a p:b='c'/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xml='u'/>",
        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
        "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
    ] {
        assert!(Tree::parse(text.as_bytes()).is_none(), "{text}");
    }
}

#[test]
fn spaces_around_values() {
    let check = |text: &str, expected: &str| {
        let tree = Tree::parse(text.as_bytes()).expect("a tree");
        assert_eq!(tree.value(ROOT), Some(expected), "{text}");
    };
    check("<a>\r\n \talice\n</a>", "alice");
    check("<a> <!-- x --> alice</a>", "alice");
    // Whom a provider tells apart from alice is not alice here.
    check("<a>alice\u{a0}</a>", "alice\u{a0}");
    check("<a>\u{2003}alice&#x2028;</a>", "\u{2003}alice\u{2028}");
}

/// The element of that tag, whole.
fn cut<'t>(text: &'t str, tag: &str) -> &'t str {
    let from = text.find(&format!("<{tag} ")).expect("its start");
    let end = format!("</{tag}>");
    let to = text.rfind(&end).expect("its end") + end.len();
    &text[from..to]
}

#[test]
fn changed_after_it_was_signed() {
    for response in [ASSERTION, CURVE, RESPONSE, BOTH] {
        for (what, by) in [
            (">alice<", ">mallory<"),
            (">alice<", ">ali<!-- x -->ce<!-- y -->2<"),
            ("role/x/R", "role/Admin"),
            ("2023-11-14T22:18:20Z", "2033-11-14T22:18:20Z"),
            ("nameid-format:persistent", "nameid-format:transient"),
            ("<saml:Subject>", "<saml:Subject><!-- --> "),
            (
                "IssueInstant=\"2023-11-14T22:13:20Z\">\n    <saml:Issuer>",
                "IssueInstant=\"2023-11-14T22:13:21Z\">\n    <saml:Issuer>",
            ),
            ("<saml:AuthnStatement", "<saml:AuthnStatement x=\"y\""),
        ] {
            let changed = response.replace(what, by);
            assert_ne!(changed, response, "{what}");
            let found = open(&changed);
            assert_eq!(found, Err(Refusal::Signature), "{what}");
        }
        // A comment changes nothing, and what it cuts in two is read as it was signed.
        let commented = response.replace(">alice<", ">ali<!-- @evil.example -->ce<");
        assert_eq!(open(&commented).expect("an assertion").subject.value, "alice");
    }
}

#[test]
fn nobody_signed_it() {
    let bare = ASSERTION.replace(cut(ASSERTION, "ds:Signature"), "");
    assert_eq!(open(&bare), Err(Refusal::Signature));
    // Another provider of the same name: its key is not in the metadata, only in the response.
    let curve = cut(METADATA, "md:KeyDescriptor").split("<md:KeyDescriptor").nth(1).expect("one");
    let only_rsa =
        METADATA.replace(cut(METADATA, "md:KeyDescriptor"), &format!("<md:KeyDescriptor{curve}"));
    let metadata = Metadata::read(only_rsa.as_bytes()).expect("metadata");
    assert!(read(ASSERTION.as_bytes(), &metadata).is_ok());
    assert_eq!(read(CURVE.as_bytes(), &metadata), Err(Refusal::Signature));
    let other =
        METADATA.replace("https://idp.example.com/saml\"", "https://idp.example.org/saml\"");
    let other = Metadata::read(other.as_bytes()).expect("metadata");
    assert_eq!(read(ASSERTION.as_bytes(), &other), Err(Refusal::Issuer));
    // Weaker or other methods than those that are known.
    for (what, by) in [
        ("xmldsig-more#rsa-sha256", "xmldsig-more#rsa-md5"),
        ("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#rsa-sha1"),
        ("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#hmac-sha1"),
        ("2001/04/xmlenc#sha256", "2000/09/xmldsig#sha1"),
        ("2000/09/xmldsig#enveloped-signature", "TR/1999/REC-xslt-19991116"),
        ("2001/10/xml-exc-c14n#\"", "2001/10/xml-exc-c14n#WithComments\""),
    ] {
        let changed = ASSERTION.replace(what, by);
        assert_ne!(changed, ASSERTION, "{what}");
        assert_eq!(open(&changed), Err(Refusal::Signature), "{what}");
    }
}

/// The eight ways of "On Breaking SAML: Be Whoever You Want to Be", and some more.
#[test]
fn signed_elements_in_other_places() {
    let assertion = cut(ASSERTION, "saml:Assertion");
    let signature = cut(ASSERTION, "ds:Signature");
    let signed_bare = assertion.replace(signature, "");
    let evil = signed_bare.replace(">alice<", ">mallory<");
    let evil_other = evil.replace("ID=\"_a1\"", "ID=\"_evil\"");
    let body = |inner: &str| ASSERTION.replace(assertion, inner);
    let in_signature = |what: &str| {
        signature
            .replace("</ds:Signature>", &format!("<ds:Object>{what}</ds:Object></ds:Signature>"))
    };
    let with =
        |own: &str, inner: &str| own.replace("<saml:Subject>", &format!("{inner}<saml:Subject>"));
    let extensions = format!("<samlp:Extensions>{assertion}</samlp:Extensions>");
    let ways = [
        body(&format!("{evil_other}{assertion}")),
        body(&format!("{assertion}{evil_other}")),
        body(&format!("{evil}{assertion}")),
        body(&with(&evil_other, assertion)),
        body(&with(&evil_other, signature)),
        body(&with(&evil, signature)),
        body(&with(&evil_other, &in_signature(&signed_bare))),
        body(&with(&evil, &in_signature(&signed_bare))),
        body(&format!("{extensions}{evil_other}")),
        body(&format!("<samlp:Extensions>{evil_other}</samlp:Extensions>{assertion}")),
        body(&with(&evil_other, &format!("<saml:Advice>{assertion}</saml:Advice>"))),
        body(&assertion.replace(signature, &format!("{signature}{signature}"))),
        body(&assertion.replace(signature, &in_signature("<x/>"))),
        body(&assertion.replace("<saml:Subject>", "<saml:Subject id=\"_a1\">")),
        body(&assertion.replace("URI=\"#_a1\"", "URI=\"\"")),
        body(&assertion.replace("URI=\"#_a1\"", "URI=\"#_r1\"")),
        body(&assertion.replace("URI=\"#_a1\"", "URI=\"#xpointer(id('_a1'))\"")),
        body(
            &evil_other
                .replace("</saml:Assertion>", &format!("<x>{assertion}</x></saml:Assertion>")),
        ),
        body(&format!("<saml:EncryptedAssertion/>{}", evil_other)),
    ];
    for (n, way) in ways.iter().enumerate() {
        assert!(matches!(open(way), Err(Refusal::Signature | Refusal::Malformed)), "{n}: {way}");
    }
    // The response is signed: an assertion in its signature, and one in the place of its own.
    let own = cut(RESPONSE, "saml:Assertion");
    let evil = own.replace(">alice<", ">mallory<");
    let moved = RESPONSE.replace(own, "").replace("<ds:KeyInfo>", &format!("{evil}<ds:KeyInfo>"));
    assert!(open(&moved).is_err());
    let both = RESPONSE.replace("<ds:KeyInfo>", &format!("<ds:KeyInfo>{evil}"));
    assert!(open(&both).is_err());
    // A good signature of the response does not make a broken one of the assertion good.
    let broken = BOTH.replacen("<ds:DigestValue>", "<ds:DigestValue>AAAA", 2);
    assert_eq!(open(&broken), Err(Refusal::Signature));
}

#[test]
fn responses_that_say_nothing() {
    for (what, by, why) in [
        ("status:Success", "status:Requester", Refusal::Failed),
        ("<samlp:Status>", "<samlp:Status><samlp:StatusCode Value=\"x\"/>", Refusal::Malformed),
        ("samlp:Response", "samlp:LogoutResponse", Refusal::Malformed),
        ("<saml:Issuer>", "<saml:Issuer>x", Refusal::Issuer),
    ] {
        assert_eq!(open(&ASSERTION.replace(what, by)), Err(why), "{what}");
    }
    let gone = ASSERTION.replace(cut(ASSERTION, "saml:Assertion"), "");
    assert_eq!(open(&gone), Err(Refusal::Malformed));
    assert_eq!(open(""), Err(Refusal::Malformed));
    assert_eq!(open(&"<a>".repeat(500)), Err(Refusal::Malformed));
}

#[test]
fn metadata_that_is_none() {
    assert_eq!(metadata().entity, "https://idp.example.com/saml");
    assert_eq!(metadata().valid_until, None);
    let check = |what: &str, by: &str| {
        let changed = METADATA.replace(what, by);
        assert_ne!(changed, METADATA);
        assert!(Metadata::read(changed.as_bytes()).is_none(), "{what}");
    };
    check("EntityDescriptor", "EntitiesDescriptor");
    check("entityID=", "entity=");
    check("IDPSSODescriptor", "SPSSODescriptor");
    check("use=\"signing\"", "use=\"encryption\"");
    check("<ds:X509Certificate>", "<ds:X509Certificate>AAAA");
    check(" entityID", " validUntil=\"soon\" entityID");
    let until = METADATA.replace(" entityID", " validUntil=\"2030-01-01T00:00:00Z\" entityID");
    let until = Metadata::read(until.as_bytes()).expect("metadata").valid_until;
    assert_eq!(until, Timestamp::parse_iso8601("2030-01-01T00:00:00Z").ok());
}

#[test]
fn a_second_of_noise() {
    let flat = METADATA.replace('\n', "");
    let sources = [ASSERTION, RESPONSE, BOTH].map(|text| format!("{flat}\n{text}"));
    let seeds: Vec<&[u8]> = sources.iter().map(String::as_bytes).collect();
    let words: [&[u8]; 8] =
        [b"<", b">", b"&#10;", b"\"", b"xmlns:ds=\"u\"", b"<!-- -->", b"ID=\"_a1\"", b"</"];
    base::noise::run(11, 2_000, &seeds, &words, fuzz_response);
}
