//! A certificate for whatever name a client asks for, if it leads here.

use crate::authority::Authority;
use base::{Clock, Timestamp};
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

const DAYS: i64 = 30;
/// What is left when a new one is made.
const RENEWED_MS: i64 = 10 * 86_400_000;
/// Certificates kept; the oldest makes room.
const KEPT_MAX: usize = 512;
/// What a client gets that connects to an address and asks for no name.
const NAMELESS: &str = "localhost";

type Leads = dyn Fn(&str) -> bool + Send + Sync;

/// Makes certificates as they are asked for. One key serves for all of them, fresh at each start.
pub struct Resolver {
    authority: Authority,
    clock: Arc<dyn Clock>,
    leads_here: Box<Leads>,
    addresses: Vec<IpAddr>,
    key: EcdsaKeyPair,
    signer: Arc<dyn SigningKey>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_name: BTreeMap<String, (Arc<CertifiedKey>, Timestamp)>,
    oldest_first: VecDeque<String>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver({:?})", self.authority)
    }
}

impl Resolver {
    /// `addresses` are further loopback addresses at which clients connect without a name.
    pub fn new(
        authority: Authority,
        clock: Arc<dyn Clock>,
        addresses: &[IpAddr],
        leads_here: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> io::Result<Resolver> {
        let broken = || io::Error::other("no key could be made");
        let (kind, rng) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &rng).map_err(|_| broken())?;
        let key = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &rng).map_err(|_| broken())?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()));
        let signer = any_ecdsa_type(&der).map_err(io::Error::other)?;
        let mut all = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        all.extend(
            addresses
                .iter()
                .filter(|a| a.is_loopback() && !all.contains(a))
                .copied()
                .collect::<Vec<_>>(),
        );
        let leads_here = Box::new(leads_here);
        Ok(Resolver {
            authority,
            clock,
            leads_here,
            addresses: all,
            key,
            signer,
            kept: Mutex::default(),
        })
    }

    /// The certificate for a name; `None` for one that does not lead here.
    pub fn certificate(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name.unwrap_or(NAMELESS).trim_end_matches('.').to_ascii_lowercase();
        if !self.authority.covers(&name) || !(self.leads_here)(&name) {
            return None;
        }
        let now = self.clock.now();
        let mut kept = self.kept.lock();
        let fresh = |until: &Timestamp| until.to_millis() - now.to_millis() > RENEWED_MS;
        if let Some((certified, _)) = kept.by_name.get(&name).filter(|(_, until)| fresh(until)) {
            return Some(certified.clone());
        }
        let addresses = if name == NAMELESS { &self.addresses[..] } else { &[] };
        let der = self.authority.issue(&self.key, &[&name], addresses, now, DAYS)?;
        let certified = Arc::new(CertifiedKey::new(vec![der], self.signer.clone()));
        let until = Timestamp::from_millis(now.to_millis() + DAYS * 86_400_000);
        if kept.by_name.insert(name.clone(), (certified.clone(), until)).is_none() {
            kept.oldest_first.push_back(name);
        }
        if kept.oldest_first.len() > KEPT_MAX
            && let Some(oldest) = kept.oldest_first.pop_front()
        {
            kept.by_name.remove(&oldest);
        }
        Some(certified)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate(hello.server_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::tests::{Folder, NOW};
    use base::ManualClock;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
    use std::time::Duration;

    const DAY_S: u64 = 86_400;

    fn resolver(folder: &Folder, domains: &[&str], clock: Arc<ManualClock>) -> Resolver {
        let authority = folder.load(domains).unwrap().authority;
        Resolver::new(authority, clock, &[], |name| !name.starts_with("absent")).unwrap()
    }

    fn now_s() -> u64 {
        NOW.to_secs() as u64
    }

    /// What a client that trusts the authority says to the certificate for `asked`, used as `name`.
    fn verify(own: &Resolver, asked: Option<&str>, name: &str, at_s: u64) -> Result<(), String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(own.authority.pem().as_bytes()).unwrap();
        roots.add(root).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let certified = own.certificate(asked).ok_or("no certificate")?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at_s));
        let result = verifier.verify_server_cert(&certified.cert[0], &[], &name, &[], at);
        result.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_and_addresses_that_clients_accept() {
        let folder = Folder::new("accepted");
        let own =
            resolver(&folder, &["amazonaws.com", "localhost"], Arc::new(ManualClock::new(NOW)));
        for name in ["s3.amazonaws.com", "my.photos.s3.eu-west-1.amazonaws.com", "localhost"] {
            assert_eq!(verify(&own, Some(name), name, now_s()), Ok(()), "{name}");
        }
        let long = format!("{}.s3.amazonaws.com", "a".repeat(63));
        assert_eq!(verify(&own, Some(&long), &long, now_s()), Ok(()));
        for address in ["127.0.0.1", "::1", "localhost"] {
            assert_eq!(verify(&own, None, address, now_s()), Ok(()), "{address}");
        }
        assert!(verify(&own, Some("s3.amazonaws.com"), "sqs.amazonaws.com", now_s()).is_err());
        assert!(
            verify(&own, Some("s3.amazonaws.com"), "s3.amazonaws.com", now_s() + 31 * DAY_S)
                .is_err()
        );
    }

    #[test]
    fn names_that_get_none() {
        let folder = Folder::new("none");
        let own = resolver(&folder, &["amazonaws.com"], Arc::new(ManualClock::new(NOW)));
        for name in ["example.com", "xamazonaws.com", "absent.amazonaws.com"] {
            assert!(own.certificate(Some(name)).is_none(), "{name}");
        }
        assert!(own.certificate(None).is_none(), "localhost is not covered here");
    }

    #[test]
    fn clients_hold_the_authority_to_its_names() {
        let folder = Folder::new("held");
        let own = resolver(&folder, &["amazonaws.com"], Arc::new(ManualClock::new(NOW)));
        let certified = |names: &[&str], addresses: &[IpAddr]| {
            own.authority.issue(&own.key, names, addresses, NOW, DAYS).unwrap()
        };
        // What a thief of the key would make.
        let forged = certified(&["example.com"], &[]);
        let address = certified(&["s3.amazonaws.com"], &["10.0.0.1".parse().unwrap()]);
        for (der, name) in [(forged, "example.com"), (address, "10.0.0.1")] {
            let key = Arc::new(CertifiedKey::new(vec![der], own.signer.clone()));
            let until = Timestamp::from_secs(NOW.to_secs() + 30 * DAY_S as i64);
            own.kept.lock().by_name.insert("s3.amazonaws.com".into(), (key, until));
            let refused = verify(&own, Some("s3.amazonaws.com"), name, now_s()).unwrap_err();
            assert!(refused.contains("NameConstraint"), "{refused}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_renewed() {
        let folder = Folder::new("kept");
        let clock = Arc::new(ManualClock::new(NOW));
        let own = resolver(&folder, &["amazonaws.com"], clock.clone());
        let first = own.certificate(Some("s3.amazonaws.com")).unwrap();
        let again = own.certificate(Some("S3.amazonaws.com.")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        clock.advance_ms(21 * 86_400_000);
        let renewed = own.certificate(Some("s3.amazonaws.com")).unwrap();
        assert!(!Arc::ptr_eq(&first, &renewed));
        for n in 0..KEPT_MAX + 10 {
            own.certificate(Some(&format!("b{n}.s3.amazonaws.com"))).unwrap();
        }
        let kept = own.kept.lock();
        assert_eq!((kept.by_name.len(), kept.oldest_first.len()), (KEPT_MAX, KEPT_MAX));
    }
}
