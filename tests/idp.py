"""An identity provider that speaks SAML: metadata, and responses signed as real ones are, by libraries
that have nothing in common with what checks them."""

import base64
import datetime

import signxml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod, SignatureMethod

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
AWS = "https://signin.aws.amazon.com/saml"
ATTRIBUTE = "https://aws.amazon.com/SAML/Attributes/"


def stamp(seconds):
    when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


class Idp:
    """With an RSA key, or one on a curve."""

    def __init__(self, entity="https://idp.example.com/saml", curve=False, key=None):
        self.entity = entity
        self.curve = curve
        self.key = key or (
            ec.generate_private_key(ec.SECP256R1()) if curve
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), 1)
        builder = builder.not_valid_before(datetime.datetime(2020, 1, 1))
        builder = builder.not_valid_after(datetime.datetime(2049, 1, 1))
        self.certificate = builder.sign(self.key, hashes.SHA256())

    def der(self):
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()

    def metadata(self, *others):
        keys = "".join(
            f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data>'
            f"<ds:X509Certificate>{own.der()}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            for own in (self, *others)
        )
        return (
            f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{self.entity}">'
            f'<md:IDPSSODescriptor protocolSupportEnumeration="{SAMLP}">{keys}'
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
            f'Location="{self.entity}/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>'
        )

    def attributes(self, attributes):
        one = '<saml:Attribute Name="{}">{}</saml:Attribute>'
        value = "<saml:AttributeValue>{}</saml:AttributeValue>"
        return "".join(
            one.format(name, "".join(value.format(text) for text in texts))
            for name, texts in attributes.items()
        )

    def response(self, roles, now, sign="assertion", subject="alice", audience=AWS, recipient=AWS, lasts=300,
                 session="alice", issuer=None, more=None, session_ends=None, edit=lambda text: text):
        """A response for pairs of a role and a provider. `sign` says what is signed, `edit` changes the text
        before that."""
        attributes = {f"{ATTRIBUTE}Role": roles, **(more or {})}
        if session is not None:
            attributes[f"{ATTRIBUTE}RoleSessionName"] = [session]
        ends = f' SessionNotOnOrAfter="{stamp(session_ends)}"' if session_ends else ""
        issuer = issuer or self.entity
        text = f"""<?xml version="1.0" encoding="UTF-8"?>
<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_r1" Version="2.0" IssueInstant="{stamp(now)}"
    Destination="{recipient}">
  <saml:Issuer>{issuer}</saml:Issuer>
  <samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
  <saml:Assertion xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="_a1" Version="2.0" IssueInstant="{stamp(now)}">
    <saml:Issuer>{issuer}</saml:Issuer>
    <saml:Subject>
      <saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{subject}</saml:NameID>
      <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
        <saml:SubjectConfirmationData NotOnOrAfter="{stamp(now + lasts)}" Recipient="{recipient}"/>
      </saml:SubjectConfirmation>
    </saml:Subject>
    <saml:Conditions NotBefore="{stamp(now - 60)}" NotOnOrAfter="{stamp(now + lasts)}">
      <saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction>
    </saml:Conditions>
    <saml:AuthnStatement AuthnInstant="{stamp(now)}"{ends}><saml:AuthnContext/></saml:AuthnStatement>
    <saml:AttributeStatement>{self.attributes(attributes)}</saml:AttributeStatement>
  </saml:Assertion>
</samlp:Response>"""
        root = etree.fromstring(edit(text).encode())
        if sign in ("assertion", "both"):
            self.sign(root.find(f"{{{SAML}}}Assertion"), "_a1")
        if sign in ("response", "both"):
            self.sign(root, "_r1")
        return etree.tostring(root)

    def sign(self, element, ident):
        """Puts a signature behind the issuer, in the document where the element stands."""
        place = etree.SubElement(element, f"{{{DS}}}Signature", Id="placeholder", nsmap={"ds": DS})
        element.insert(1, place)
        signer = signxml.XMLSigner(
            method=SignatureConstructionMethod.enveloped,
            signature_algorithm=SignatureMethod.ECDSA_SHA256 if self.curve else SignatureMethod.RSA_SHA256,
            digest_algorithm=DigestAlgorithm.SHA256,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        signed = signer.sign(element, key=self.key, cert=[self.certificate], reference_uri=ident, id_attribute="ID")
        parent = element.getparent()
        if parent is not None:
            parent.replace(element, signed)
        else:
            element[:] = signed[:]
        return signed


def encoded(response):
    return base64.b64encode(response).decode()
