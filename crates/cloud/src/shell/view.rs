//! What a command in the view sees: files in place of the host's, and variables.

use crate::exit::{self, Failure};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Where systems keep the certificates that they trust, in one file: Debian and Alpine, Fedora, SUSE,
/// Arch, and where OpenSSL looks by itself.
pub const BUNDLES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/lib/ssl/cert.pem",
];
const RESOLV_CONF: &str = "/etc/resolv.conf";
const NSSWITCH: &str = "/etc/nsswitch.conf";

/// Would lead a client elsewhere, or make it somebody else.
const REMOVED: [&str; 9] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "SSL_CERT_DIR",
];
/// What one kind of client or another reads the trusted certificates from.
const BUNDLE_VARIABLES: [&str; 5] =
    ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"];

/// The files and variables of one view.
pub struct View {
    folder: PathBuf,
    /// Ours, and the file of the host that it hides.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    pub set: BTreeMap<String, String>,
    pub removed: Vec<String>,
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(exit::FAILED, format!("{}: {error}", path.display()))
}

#[allow(clippy::disallowed_methods, reason = "the host's own files, for a person")]
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

impl View {
    /// Writes into `folder` what the view needs. `authority` is in PEM.
    pub fn new(
        folder: &Path,
        authority: &Path,
        own_network: bool,
        address: Ipv4Addr,
    ) -> Result<View, Failure> {
        let mut view = View {
            folder: folder.to_owned(),
            mounts: Vec::new(),
            set: BTreeMap::new(),
            removed: REMOVED.map(str::to_owned).to_vec(),
        };
        view.trust(authority)?;
        let resolv = format!("# cumulet shell\nnameserver {address}\n");
        // Without the file, libraries ask 127.0.0.1, which is right in a network of its own.
        if !view.hide(RESOLV_CONF, "resolv.conf", &resolv)? && !own_network {
            let text = format!("there is no {RESOLV_CONF} to hide; make an empty one, as root");
            return Err(Failure::new(exit::FAILED, text));
        }
        if let Some(text) = read(Path::new(NSSWITCH)).and_then(|text| plain_hosts(&text)) {
            view.hide(NSSWITCH, "nsswitch.conf", &text)?;
        }
        view.set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        view.set("CUMULET_SHELL", "1");
        Ok(view)
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.set.insert(name.to_owned(), value.into());
    }

    /// The host's certificates and ours, wherever the host's are looked for.
    fn trust(&mut self, authority: &Path) -> Result<(), Failure> {
        let ours = read(authority).ok_or_else(|| {
            let text = format!("{} cannot be read", authority.display());
            Failure::new(exit::FAILED, text)
        })?;
        let given = crate::cli::variable("SSL_CERT_FILE").map(PathBuf::from);
        let given = given.into_iter().chain(BUNDLES.map(PathBuf::from));
        let theirs = given.into_iter().find_map(|path| read(&path)).unwrap_or_default();
        let both = format!("{}\n{ours}", theirs.trim_end());
        let (bundle, alone) = (self.write("ca-bundle.pem", &both)?, self.write("ca.pem", &ours)?);
        let mut found: Vec<PathBuf> =
            BUNDLES.iter().filter_map(|path| Path::new(path).canonicalize().ok()).collect();
        found.sort();
        found.dedup();
        self.mounts.extend(found.into_iter().map(|target| (bundle.clone(), target)));
        for name in BUNDLE_VARIABLES {
            self.set(name, bundle.display().to_string());
        }
        // Node adds these to its own.
        self.set("NODE_EXTRA_CA_CERTS", alone.display().to_string());
        Ok(())
    }

    /// Puts a file of ours in place of the host's, if there is one.
    fn hide(&mut self, target: &str, name: &str, text: &str) -> Result<bool, Failure> {
        let ours = self.write(name, text)?;
        let target = Path::new(target).canonicalize();
        let there = target.is_ok();
        self.mounts.extend(target.into_iter().map(|target| (ours.clone(), target)));
        Ok(there)
    }

    #[allow(clippy::disallowed_methods, reason = "a folder of the command's own")]
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, &error))?;
        Ok(path)
    }
}

/// The same with hosts looked up in files and by DNS alone: other ways ask services of the host by
/// other roads than resolv.conf. `None` where that is so already.
fn plain_hosts(nsswitch: &str) -> Option<String> {
    let is_hosts = |line: &str| line.trim_start().starts_with("hosts:");
    let words = nsswitch.lines().find(|line| is_hosts(line))?;
    if words.split_whitespace().skip(1).eq(["files", "dns"]) {
        return None;
    }
    let lines = nsswitch.lines().map(|line| if is_hosts(line) { "hosts: files dns" } else { line });
    Some(lines.fold(String::new(), |text, line| text + line + "\n"))
}

/// Names that no proxy shall be asked for, after those that are named already.
pub fn no_proxy(already: Option<String>, domains: &[&str]) -> String {
    let own = ["localhost", "127.0.0.1", "::1"].into_iter().map(str::to_owned);
    let below = domains.iter().map(|domain| format!(".{domain}"));
    let already = already.filter(|text| !text.is_empty());
    already.into_iter().chain(own).chain(below).collect::<Vec<_>>().join(",")
}

/// The port of a proxy's address, which must be carried out of a network of its own.
pub fn proxy_port(url: &str) -> Option<u16> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next()?.rsplit('@').next()?;
    host.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_looked_up_by_dns() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(plain_hosts(text).as_deref(), expected, "{text}");
        };
        check("passwd: files\nhosts: files dns\n", None);
        check("passwd: files\n", None);
        check(
            "passwd: files\nhosts: mymachines resolve [!UNAVAIL=return] files dns\nx: y\n",
            Some("passwd: files\nhosts: files dns\nx: y\n"),
        );
    }

    #[test]
    fn proxies() {
        assert_eq!(proxy_port("http://u:p@proxy.test:3128/"), Some(3128));
        assert_eq!(proxy_port("proxy.test:8080"), Some(8080));
        assert_eq!(proxy_port("http://proxy.test"), None);
        let all = no_proxy(Some("a.test".into()), &["amazonaws.com"]);
        assert_eq!(all, "a.test,localhost,127.0.0.1,::1,.amazonaws.com");
        assert_eq!(no_proxy(None, &[]), "localhost,127.0.0.1,::1");
    }
}
