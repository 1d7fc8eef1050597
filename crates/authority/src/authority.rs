//! The authority of a data folder: two files, made once.

use crate::certificate::{self, Issuer, Subject};
use base::{Entropy, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
const AUTHORITY_DAYS: i64 = 3650;
/// The line of the certificate's file that says which names it covers.
const DOMAINS: &str = "domains: ";
const DAY_MS: i64 = 86_400_000;

/// Signs certificates.
pub struct Authority {
    name: String,
    key: EcdsaKeyPair,
    domains: Vec<String>,
    pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.name)
    }
}

/// An authority, and which of the wanted domains it does not cover: those that came later.
#[derive(Debug)]
pub struct Loaded {
    pub authority: Authority,
    pub uncovered: Vec<String>,
}

fn failed(path: &Path, what: &str) -> io::Error {
    let folder = path.parent().unwrap_or(path).display();
    let text = format!(
        "{}: {what}; remove {folder} and a new authority is made, which clients must trust anew",
        path.display()
    );
    io::Error::new(ErrorKind::InvalidData, text)
}

impl Authority {
    /// Reads the authority in `folder`, or makes one for these domains. It is written at once where it
    /// `lasts`, and waits for no disk where all of the folder is thrown away at the end.
    pub fn load_or_make(
        folder: &Path,
        domains: &[String],
        now: Timestamp,
        entropy: &dyn Entropy,
        lasts: bool,
    ) -> io::Result<Loaded> {
        let authority = match Authority::load(folder)? {
            Some(authority) => {
                // Who made it may have been killed before the names were on the disk.
                if lasts {
                    sync_folder(Some(folder))?;
                    sync_folder(folder.parent())?;
                }
                authority
            }
            None => Authority::make(folder, domains, now, entropy, lasts)?,
        };
        let uncovered =
            domains.iter().filter(|domain| !authority.covers(domain)).cloned().collect();
        Ok(Loaded { authority, uncovered })
    }

    /// Where the certificate of a folder's authority is, for those who shall trust it.
    pub fn certificate_path(folder: &Path) -> PathBuf {
        folder.join(CERTIFICATE_FILE)
    }

    #[allow(clippy::disallowed_methods, reason = "a key is no data of a service")]
    fn load(folder: &Path) -> io::Result<Option<Authority>> {
        let (certificate, key) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        let pem = match fs::read_to_string(&certificate) {
            Ok(pem) => pem,
            // The key is written first: alone, it has signed nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&certificate, &error.to_string())),
        };
        let line = |start: &str| pem.lines().find_map(|line| line.strip_prefix(start));
        let (Some(name), Some(domains)) = (line("name: "), line(DOMAINS)) else {
            return Err(failed(&certificate, "it does not say what it is"));
        };
        let domains = domains.split_whitespace().map(str::to_owned).collect();
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| failed(&certificate, &error.to_string()))?;
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_file(&key)
            .map_err(|error| failed(&key, &error.to_string()))?;
        let pair = key_pair(pkcs8.secret_pkcs8_der()).map_err(|error| failed(&key, &error))?;
        let public = ring::signature::KeyPair::public_key(&pair);
        if !der.windows(65).any(|window| window == public.as_ref()) {
            return Err(failed(&key, "it is not the key of the certificate"));
        }
        Ok(Some(Authority { name: name.to_owned(), key: pair, domains, pem }))
    }

    fn make(
        folder: &Path,
        domains: &[String],
        now: Timestamp,
        entropy: &dyn Entropy,
        lasts: bool,
    ) -> io::Result<Authority> {
        let mut serial = [0; 16];
        entropy.fill(&mut serial);
        // Names differ, so that a machine may trust the authorities of several folders.
        let name = format!("Cumulet local CA {}", base::hex::encode(&serial[..4]));
        let broken = |_| io::Error::other("no key could be made");
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .map_err(broken)?;
        let key = key_pair(pkcs8.as_ref()).map_err(io::Error::other)?;
        let subject = subject(serial, &name, now, AUTHORITY_DAYS);
        let der = certificate::authority(&subject, &key, domains)
            .ok_or_else(|| io::Error::other("no certificate could be signed"))?;
        let pem =
            format!("name: {name}\n{DOMAINS}{}\n{}", domains.join(" "), pem("CERTIFICATE", &der));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if lasts {
            sync_folder(folder.parent())?;
        }
        write(&folder.join(KEY_FILE), &self::pem("PRIVATE KEY", pkcs8.as_ref()), 0o600, lasts)?;
        write(&folder.join(CERTIFICATE_FILE), &pem, 0o644, lasts)?;
        Ok(Authority { name, key, domains: domains.to_vec(), pem })
    }

    /// What clients must trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether clients that trust it accept a certificate of this name from it.
    pub fn covers(&self, name: &str) -> bool {
        self.domains.iter().any(|domain| {
            name.strip_suffix(&**domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// A certificate on `key` for a server.
    pub(crate) fn issue(
        &self,
        key: &EcdsaKeyPair,
        names: &[&str],
        addresses: &[IpAddr],
        now: Timestamp,
        days: i64,
    ) -> Option<CertificateDer<'static>> {
        let mut serial = [0; 16];
        ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut serial).ok()?;
        let subject = subject(serial, names.first()?, now, days);
        let issuer = Issuer { name: &self.name, key: &self.key };
        let der = certificate::server(&subject, key, &issuer, names, addresses)?;
        Some(CertificateDer::from(der))
    }
}

/// Valid from yesterday on, since clocks differ.
fn subject(mut serial: [u8; 16], name: &str, now: Timestamp, days: i64) -> Subject<'_> {
    serial[0] = serial[0] & 0x7f | 0x40;
    let at = |ms: i64| Timestamp::from_millis(now.to_millis() + ms);
    Subject { serial, name, from: at(-DAY_MS), until: at(days * DAY_MS) }
}

fn key_pair(pkcs8: &[u8]) -> Result<EcdsaKeyPair, String> {
    let rng = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &rng)
        .map_err(|error| error.to_string())
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {kind}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|byte| *byte as char));
        out.push('\n');
    }
    out.push_str(&format!("-----END {kind}-----\n"));
    out
}

/// Whole or not at all, and there before anything that is written after it.
fn write(path: &Path, text: &str, mode: u32, lasts: bool) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let _ = fs::remove_file(&partial);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
    file.write_all(text.as_bytes())?;
    if lasts {
        file.sync_all()?;
    }
    fs::rename(&partial, path)?;
    if lasts { sync_folder(path.parent()) } else { Ok(()) }
}

/// A name is on the disk once its folder is synced: a certificate whose key's name a power cut took
/// would be of no use, and in the way.
#[allow(clippy::disallowed_methods, reason = "a key is no data of a service")]
fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    match folder.filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base::SeededEntropy;
    use std::os::unix::fs::PermissionsExt;

    pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    pub struct Folder(PathBuf);

    impl Folder {
        pub fn new(name: &str) -> Folder {
            let name = format!("cumulet-authority-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            Folder(path)
        }

        pub fn load(&self, domains: &[&str]) -> io::Result<Loaded> {
            let domains: Vec<String> = domains.iter().map(|&name| name.to_owned()).collect();
            Authority::load_or_make(&self.0, &domains, NOW, &SeededEntropy::new(5), true)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_is_made_once() {
        let folder = Folder::new("once");
        let first = folder.load(&["amazonaws.com", "localhost"]).unwrap();
        assert!(first.uncovered.is_empty());
        let mode = |file| fs::metadata(folder.0.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("ca.key"), mode("ca.pem")), (0o600, 0o644));
        let second = folder.load(&["amazonaws.com", "cloud.test"]).unwrap();
        assert_eq!(second.uncovered, ["cloud.test"]);
        assert_eq!(second.authority.pem(), first.authority.pem());
        assert!(second.authority.covers("s3.amazonaws.com"));
        assert!(!second.authority.covers("xamazonaws.com"));
    }

    #[test]
    fn a_folder_in_disorder_is_said_to_be() {
        let folder = Folder::new("disorder");
        folder.load(&["localhost"]).unwrap();
        let (key, other) = (folder.0.join("ca.key"), Folder::new("other"));
        other.load(&["localhost"]).unwrap();
        fs::copy(other.0.join("ca.key"), &key).unwrap();
        let error = folder.load(&["localhost"]).unwrap_err().to_string();
        assert!(error.contains("not the key") && error.contains("remove"), "{error}");
        fs::remove_file(&key).unwrap();
        assert!(folder.load(&["localhost"]).is_err());
        // A start that ended between the two files.
        fs::remove_file(folder.0.join("ca.pem")).unwrap();
        folder.load(&["localhost"]).unwrap();
    }
}
