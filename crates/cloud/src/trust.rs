//! `cumulet trust`: for the whole machine what `cumulet shell` does for one command.
//!
//! What is to be done is planned from what is there and shown before it is done; doing it twice does
//! nothing more, and `remove` takes back all of it and nothing else.

use crate::doors::AUTHORITY;
use crate::exit::{self, Failure};
use crate::settings::Config;
use crate::{cli, shell};
use authority::Authority;
use clap::ArgMatches;
use gateway::names::CLOSED;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder for certificates that the administrator trusts, and what makes the system look at it.
struct Store {
    folder: &'static str,
    update: &'static [&'static str],
    /// After one was removed.
    refresh: &'static [&'static str],
}

/// Of Debian and Alpine, Fedora, Arch, SUSE.
const STORES: [Store; 4] = [
    Store {
        folder: "usr/local/share/ca-certificates",
        update: &["update-ca-certificates"],
        refresh: &["update-ca-certificates", "--fresh"],
    },
    Store {
        folder: "etc/pki/ca-trust/source/anchors",
        update: &["update-ca-trust", "extract"],
        refresh: &["update-ca-trust", "extract"],
    },
    Store {
        folder: "etc/ca-certificates/trust-source/anchors",
        update: &["update-ca-trust"],
        refresh: &["update-ca-trust"],
    },
    Store {
        folder: "etc/pki/trust/anchors",
        update: &["update-ca-certificates"],
        refresh: &["update-ca-certificates"],
    },
];
const CERTIFICATE: &str = "cumulet-local-ca.crt";
/// Where systemd-resolved runs, it alone decides whom to ask.
const RESOLVED: &str = "run/systemd/resolve";
const RESOLVED_FOLDER: &str = "etc/systemd/resolved.conf.d";
const RESOLVED_FILE: &str = "cumulet.conf";
const RESTART_RESOLVED: &[&str] = &["systemctl", "restart", "systemd-resolved"];
const RESOLV_CONF: &str = "etc/resolv.conf";
const BEGIN: &str = "# cumulet trust: this and the next line\n";

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Write(PathBuf, String),
    Remove(PathBuf),
    Run(&'static [&'static str]),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Write(path, _) => write!(f, "write   {}", path.display()),
            Step::Remove(path) => write!(f, "remove  {}", path.display()),
            Step::Run(words) => write!(f, "run     {}", words.join(" ")),
        }
    }
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let (action, matches) = matches.subcommand().unwrap_or(("install", matches));
    let root = PathBuf::from(cli::value(matches, "root").unwrap_or_else(|| "/".to_owned()));
    let dry = matches.get_flag("dry_run");
    let dns = config.dns_listen.unwrap_or((Ipv4Addr::LOCALHOST, shell::inside::DNS_PORT).into());
    let steps = match action {
        "remove" => removal(&root),
        _ => {
            let path = Authority::certificate_path(&config.data.join(AUTHORITY));
            let pem = read(&path).ok_or_else(|| {
                let text =
                    format!("{} is not there: the first `cumulet up` makes it", path.display());
                Failure::new(exit::FAILED, text)
            })?;
            installation(&root, &pem, dns)?
        }
    };
    if steps.is_empty() {
        println!("nothing to do");
        return Ok(());
    }
    if !dry && root == Path::new("/") && !rustix::process::geteuid().is_root() {
        let text = "this changes the machine: run it as root, or see what it would do with --dry-run; \
                    `cumulet shell` needs neither";
        return Err(Failure::new(exit::FAILED, text));
    }
    for step in &steps {
        println!("{step}");
        if !dry {
            act(step, &root)?;
        }
    }
    if action != "remove" && !dry {
        println!("names of AWS lead here while this runs, as root:");
        println!(
            "  cumulet up --data {} --dns-listen {dns} --https-listen {ip}:443 --http-listen {ip}:80",
            config.data.display(),
            ip = dns.ip()
        );
        println!("browsers with certificates of their own (Firefox) must be told of {CERTIFICATE}");
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "files of the system")]
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[allow(clippy::disallowed_methods, reason = "files of the system")]
fn act(step: &Step, root: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(exit::FAILED, format!("{step}: {error}"));
    match step {
        Step::Write(path, text) => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            std::fs::write(path, text).map_err(failed)
        }
        Step::Remove(path) => std::fs::remove_file(path).map_err(failed),
        // Of another root nothing runs.
        Step::Run(_) if root != Path::new("/") => Ok(()),
        Step::Run(words) => {
            let (program, rest) = words.split_first().unwrap_or((&"", &[]));
            let done = Command::new(program).args(rest).output().map_err(failed)?;
            match done.status.success() {
                true => Ok(()),
                false => {
                    let text = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                    Err(Failure::new(exit::FAILED, format!("{step}: {text}")))
                }
            }
        }
    }
}

/// Only the certificate: what stands before it in our file is for us.
fn certificate(pem: &str) -> &str {
    pem.find("-----BEGIN").map_or(pem, |at| &pem[at..])
}

fn installation(root: &Path, pem: &str, dns: SocketAddr) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    let mut write = |path: PathBuf, text: String, then: &'static [&'static str]| {
        if read(&path).as_deref() != Some(&text) {
            steps.push(Step::Write(path, text));
            steps.extend((!then.is_empty()).then_some(Step::Run(then)));
        }
    };
    let Some(store) = STORES.iter().find(|store| root.join(store.folder).is_dir()) else {
        let folders: Vec<&str> = STORES.iter().map(|store| store.folder).collect();
        let text = format!(
            "no folder for trusted certificates is known here (/{}); install the package \
             ca-certificates, or use `cumulet shell`",
            folders.join(", /")
        );
        return Err(Failure::new(exit::FAILED, text));
    };
    let file = root.join(store.folder).join(CERTIFICATE);
    write(file, certificate(pem).to_owned(), store.update);
    if root.join(RESOLVED).is_dir() {
        let domains: Vec<String> = CLOSED.iter().map(|domain| format!("~{domain}")).collect();
        let text = format!("[Resolve]\nDNS={dns}\nDomains={}\n", domains.join(" "));
        write(root.join(RESOLVED_FOLDER).join(RESOLVED_FILE), text, RESTART_RESOLVED);
        return Ok(steps);
    }
    if dns.port() != shell::inside::DNS_PORT {
        let text = format!("dns_listen is {dns}, but resolv.conf can name port 53 alone");
        return Err(Failure::new(exit::USAGE, text));
    }
    let path = root.join(RESOLV_CONF);
    let text =
        format!("{BEGIN}nameserver {}\n{}", dns.ip(), plain(&read(&path).unwrap_or_default()));
    write(path, text, &[]);
    Ok(steps)
}

/// A resolv.conf without our two lines.
fn plain(resolv_conf: &str) -> String {
    let Some((before, rest)) = resolv_conf.split_once(BEGIN) else {
        return resolv_conf.to_owned();
    };
    before.to_owned() + rest.split_once('\n').map_or("", |(_, after)| after)
}

/// Whatever of ours is there.
fn removal(root: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    for store in &STORES {
        let file = root.join(store.folder).join(CERTIFICATE);
        if file.is_file() {
            steps.extend([Step::Remove(file), Step::Run(store.refresh)]);
        }
    }
    let file = root.join(RESOLVED_FOLDER).join(RESOLVED_FILE);
    if file.is_file() {
        steps.extend([Step::Remove(file), Step::Run(RESTART_RESOLVED)]);
    }
    let path = root.join(RESOLV_CONF);
    if let Some(text) = read(&path).filter(|text| text.contains(BEGIN)) {
        let text = plain(&text);
        // A file that was not there before is not left behind.
        steps.push(if text.is_empty() { Step::Remove(path) } else { Step::Write(path, text) });
    }
    steps
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "folders of the tests")]
mod tests {
    use super::*;
    use std::fs;

    const PEM: &str = "name: x\n-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, folders: &[&str]) -> Root {
            let name = format!("cumulet-trust-{}-{name}", std::process::id());
            let root = Root(std::env::temp_dir().join(name));
            let _ = fs::remove_dir_all(&root.0);
            for folder in folders {
                fs::create_dir_all(root.0.join(folder)).unwrap();
            }
            root
        }

        fn install(&self) -> Vec<Step> {
            installation(&self.0, PEM, "127.0.0.1:53".parse().unwrap()).unwrap()
        }

        fn run(&self, steps: &[Step]) {
            steps.iter().for_each(|step| act(step, &self.0).unwrap());
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_kind_of_system() {
        for (n, store) in STORES.iter().enumerate() {
            let root = Root::new(&format!("kind{n}"), &[store.folder, "etc"]);
            let before = "search lan\nnameserver 10.0.0.1";
            fs::write(root.0.join(RESOLV_CONF), before).unwrap();
            let steps = root.install();
            assert_eq!(steps.len(), 3, "{steps:?}");
            assert_eq!(steps[1], Step::Run(store.update));
            root.run(&steps);
            let text = read(&root.0.join(RESOLV_CONF)).unwrap();
            assert_eq!(text, format!("{BEGIN}nameserver 127.0.0.1\n{before}"));
            let trusted = read(&root.0.join(store.folder).join(CERTIFICATE)).unwrap();
            assert!(trusted.starts_with("-----BEGIN"));
            // Again: nothing more.
            assert_eq!(root.install(), []);
            // Somebody else changes the file meanwhile.
            fs::write(root.0.join(RESOLV_CONF), format!("{text}\noptions edns0\n")).unwrap();
            root.run(&removal(&root.0));
            let left = read(&root.0.join(RESOLV_CONF)).unwrap();
            assert_eq!(left, format!("{before}\noptions edns0\n"));
            assert_eq!(removal(&root.0), []);
        }
    }

    #[test]
    fn systemd_resolved_gets_a_file_of_its_own() {
        let root = Root::new("resolved", &[STORES[0].folder, RESOLVED, "etc"]);
        fs::write(root.0.join(RESOLV_CONF), "nameserver 127.0.0.53\n").unwrap();
        root.run(&root.install());
        let file = root.0.join(RESOLVED_FOLDER).join(RESOLVED_FILE);
        let text = read(&file).unwrap();
        assert!(text.contains("DNS=127.0.0.1:53\nDomains=~amazonaws.com "), "{text}");
        assert_eq!(read(&root.0.join(RESOLV_CONF)).unwrap(), "nameserver 127.0.0.53\n");
        root.run(&removal(&root.0));
        assert!(!file.exists());
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let dns = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let root = Root::new("unknown", &["etc"]);
        assert!(installation(&root.0, PEM, dns(53)).unwrap_err().text.contains("ca-certificates"));
        let root = Root::new("port", &[STORES[0].folder, "etc"]);
        assert!(installation(&root.0, PEM, dns(5353)).unwrap_err().text.contains("port 53"));
        // Where there was no resolv.conf there is none afterwards.
        root.run(&root.install());
        root.run(&removal(&root.0));
        assert!(!root.0.join(RESOLV_CONF).exists());
    }
}
