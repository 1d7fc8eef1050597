//! Configuration: one table of keys, from which flags, variables and the TOML file all derive.
//!
//! A later source wins: defaults, the file, `CUMULET_*` variables, flags. Lists are replaced, not
//! joined. An unknown key in the file is an error that names the known ones.

use base::{AccountId, Region};
use gateway::RootKey;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::Durability;

/// What our image sets, which counts less than all that is given to a container.
pub const IMAGE: &str = "/etc/cumulet.toml";

/// One setting.
pub struct Key {
    /// As in the file; flags have hyphens, variables capitals.
    pub name: &'static str,
    pub value: &'static str,
    pub default: &'static str,
    /// May be given several times; in a variable separated by commas.
    pub many: bool,
    pub help: &'static str,
}

const fn key(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { name, value, default, many: false, help }
}

const fn keys(name: &'static str, value: &'static str, help: &'static str) -> Key {
    Key { name, value, default: "", many: true, help }
}

/// All of them, in the order in which help shows them.
pub const KEYS: &[Key] = &[
    key(
        "data",
        "DIR",
        "",
        "Where everything is kept [default: $XDG_DATA_HOME/cumulet or ~/.local/share/cumulet]",
    ),
    Key {
        many: true,
        ..key(
            "listen",
            "ADDR:PORT",
            "127.0.0.1:4566",
            "Where to listen; port 0 takes a free one. Of several, the first is the one that is told",
        )
    },
    key(
        "auth",
        "MODE",
        "local",
        "local: test/test and 12-digit key ids are root on this machine; strict: only keys that were issued or given; open: test/test is root for whoever reaches the port, for a cloud that is thrown away",
    ),
    keys(
        "root_key",
        "ID:SECRET",
        "A key that is root of the default account; ID:SECRET:ACCOUNT of another",
    ),
    keys(
        "allow_origin",
        "ORIGIN",
        "A web page's origin (http://localhost:3000) that may act with well-known keys",
    ),
    keys("host_name", "NAME", "A further name of this cloud; BUCKET.s3.NAME is understood too"),
    key("region", "NAME", "us-east-1", "The region of requests that name none"),
    key(
        "durability",
        "MODE",
        "synced",
        "synced: an answer means it is on the disk; relaxed: a crash may lose the last moments",
    ),
    key(
        "bucket_defaults",
        "YEAR",
        "2018",
        "New buckets: 2018 lets lists and policies make things public; today blocks it, as S3 does now",
    ),
    key(
        "dynamodb_throttling",
        "on|off",
        "off",
        "on: tables give what is provisioned for them and no more, as DynamoDB does",
    ),
    key(
        "https_listen",
        "ADDR:PORT",
        "",
        "Where to take TLS alone, as 127.0.0.1:443; for names of AWS, with certificates of the local authority",
    ),
    key("http_listen", "ADDR:PORT", "", "A further place for HTTP, as 127.0.0.1:80 for websites"),
    key(
        "dns_listen",
        "ADDR:PORT",
        "",
        "Where to answer DNS, as 127.0.0.1:53: names of AWS lead here, others are handed on",
    ),
    key(
        "dns_forward",
        "WHERE",
        "host",
        "Who is asked for other names: host (as /etc/resolv.conf says), none, or ADDR[:PORT],...",
    ),
    key(
        "tls_cert",
        "FILE",
        "",
        "A certificate chain in PEM, in place of those of the local authority",
    ),
    key("tls_key", "FILE", "", "Its private key in PEM"),
    keys(
        "docker_socket",
        "PATH",
        "Where the Docker API listens; none turns it off [default: run/docker.sock in the data folder, and for the default data folder /var/run/docker.sock where nothing holds it]",
    ),
    key(
        "bridge_ipv6",
        "on|off",
        "off",
        "on: containers in the default network have IPv6, too, with a prefix that is this cloud's own",
    ),
    key(
        "storage_driver",
        "NAME",
        "auto",
        "How containers see the layers of their images: overlay2, vfs (all files are copied), or auto: the first that works here",
    ),
    key(
        "userns_remap",
        "USER[:GROUP]",
        "",
        "Root in containers is none outside: users of containers are the numbers granted to this user; default is dockremap",
    ),
    key(
        "user",
        "NAME",
        "",
        "Started by root, become this user: of root nothing stays but a small process that binds ports below 1024; data then are in /var/lib/cumulet by default",
    ),
    key(
        "collect_after_s",
        "S",
        "86400",
        "What no image in the registry names is freed after so long; 0 keeps it",
    ),
    keys(
        "registry_mirror",
        "URL",
        "A registry that is asked for images of Docker Hub first; with a key: http://ID:SECRET@host:port",
    ),
    keys(
        "registry_upstream",
        "NAME=URL",
        "Repositories below NAME/ in our registry are copies of that one, fetched when asked for",
    ),
    key(
        "docker_listen",
        "ADDR:PORT",
        "",
        "Where the Docker API is for clients over TCP, as 0.0.0.0:2376; each must show a certificate",
    ),
    key(
        "docker_tls_ca",
        "FILE",
        "",
        "Who may use it: certificates in PEM that sign those of clients",
    ),
    key("docker_tls_cert", "FILE", "", "Its own certificate chain in PEM"),
    key("docker_tls_key", "FILE", "", "Its private key in PEM"),
    key(
        "drop_in",
        "FOR",
        "none",
        "localstack or minio: take their variables, answer their pages, and where they listen by default",
    ),
    key(
        "init",
        "DIR",
        "",
        "Scripts and seeds in its ready.d run once the cloud answers, each once; scripts in boot.d, start.d and shutdown.d each time [default: init in the data folder]",
    ),
    key("init_timeout_s", "S", "120", "For each of them"),
    key(
        "ready_file",
        "FILE",
        "",
        "Written once requests are answered and the scripts of ready.d have ended: address and process number in JSON",
    ),
    key(
        "log",
        "LEVEL",
        "warn",
        "error, warn, info (a line for each request), debug or trace; or target=level,...",
    ),
    key("threads", "N", "0", "Threads that answer requests; 0 is one for each processor"),
    key("cache_mb", "MB", "32", "Memory for values that are read often"),
    key("connections", "N", "4096", "Connections at a time; more wait"),
    key("head_timeout_s", "S", "30", "For the head of a request, and between two requests"),
    key("stall_timeout_s", "S", "60", "For the next 4 KiB of a body, or its end"),
    key("drain_timeout_s", "S", "10", "For requests under way when the end has come"),
];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// Another program's variable.
    Foreign(&'static str),
    Variable,
    Flag,
}

/// Values as text, each with where it came from.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<&'static str, (Vec<String>, Source)>);

/// A setting is wrong; the text says which and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingError(pub String);

impl std::fmt::Display for SettingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong<T>(text: impl Into<String>) -> Result<T, SettingError> {
    Err(SettingError(text.into()))
}

pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Settings {
    /// Whether any source says something of it.
    pub fn is_given(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn set(&mut self, key: &'static Key, values: Vec<String>, source: Source) {
        self.0.insert(key.name, (values, source));
    }

    /// Takes the settings of a TOML document.
    pub fn read_toml(&mut self, path: &Path, text: &str) -> Result<(), SettingError> {
        let shown = path.display();
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return wrong(format!("{shown}: {error}")),
        };
        for (name, value) in table {
            let Some(key) = find(&name) else {
                let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
                return wrong(format!(
                    "{shown}: {name} is no setting; there are {}",
                    known.join(", ")
                ));
            };
            let values = match value {
                toml::Value::Array(list) if key.many => list.into_iter().map(scalar).collect(),
                one => scalar(one).map(|one| vec![one]),
            };
            let Some(values) = values else {
                return wrong(format!("{shown}: {name} must be a text or a number"));
            };
            self.set(key, values, Source::File(path.to_owned()));
        }
        Ok(())
    }

    /// Takes `CUMULET_*` from what the environment holds.
    pub fn read_variables(&mut self, get: impl Fn(&str) -> Option<String>) {
        for key in KEYS {
            let name = format!("CUMULET_{}", key.name.to_ascii_uppercase());
            let Some(value) = get(&name).filter(|value| !value.is_empty()) else { continue };
            let values = match key.many {
                true => value.split(',').map(|part| part.trim().to_owned()).collect(),
                false => vec![value],
            };
            self.set(key, values, Source::Variable);
        }
    }

    /// Where a setting came from, if it is not the default.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.0.get(name).map(|(_, source)| source)
    }

    /// Whether the image's own settings are among them.
    pub fn is_of_image(&self) -> bool {
        self.0
            .values()
            .any(|(_, source)| matches!(source, Source::File(path) if path == Path::new(IMAGE)))
    }

    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], |(values, _)| values)
    }

    pub fn text(&self, name: &'static str) -> &str {
        let default = find(name).map_or("", |key| key.default);
        self.0.get(name).and_then(|(values, _)| values.first()).map_or(default, String::as_str)
    }

    fn number(&self, name: &'static str, least: u64, most: u64) -> Result<u64, SettingError> {
        let text = self.text(name);
        match text.parse() {
            Ok(n) if (least..=most).contains(&n) => Ok(n),
            _ => wrong(format!("{name} is {text:?}, but must be a number from {least} to {most}")),
        }
    }

    /// What differs from the defaults, a line each; secrets are covered.
    pub fn shown(&self) -> String {
        let mut out = String::new();
        for key in KEYS {
            let Some((values, source)) = self.0.get(key.name) else { continue };
            let values: Vec<String> = values
                .iter()
                .map(|value| match key.name {
                    "root_key" => format!("{}:***", value.split(':').next().unwrap_or("")),
                    "registry_upstream" => registry::Upstream::parse(value)
                        .map_or_else(|| "***".to_owned(), |upstream| upstream.shown()),
                    "registry_mirror" => registry::Mirror::parse(value)
                        .map_or_else(|| "***".to_owned(), |mirror| mirror.url().to_owned()),
                    _ => value.clone(),
                })
                .collect();
            let source = source_text(key.name, source);
            let _ = writeln!(out, "  {} = {}  ({source})", key.name, values.join(", "));
        }
        out
    }
}

pub fn source_text(name: &str, source: &Source) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::Foreign(variable) => (*variable).to_owned(),
        Source::Variable => format!("CUMULET_{}", name.to_ascii_uppercase()),
        Source::Flag => format!("--{}", name.replace('_', "-")),
    }
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(n) => Some(n.to_string()),
        toml::Value::Boolean(b) => Some(b.to_string()),
        _ => None,
    }
}

/// Who is asked for names that are not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Those that /etc/resolv.conf names, whenever that is.
    Host,
    /// These; nobody where there are none.
    To(Vec<SocketAddr>),
}

/// What this cloud stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropIn {
    None,
    LocalStack,
    MinIo,
}

/// The Docker API over TCP, which is never without certificates on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerTls {
    pub listen: SocketAddr,
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The settings, understood.
#[derive(Clone, Debug)]
pub struct Config {
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// Further places of the same kind.
    pub listen_too: Vec<SocketAddr>,
    pub well_known_pairs: bool,
    pub open: bool,
    pub drop_in: DropIn,
    /// Empty is the folder's default.
    pub init: Option<PathBuf>,
    pub init_timeout: Duration,
    /// Whether tables of DynamoDB are held to their throughput.
    pub dynamodb_throttling: bool,
    pub bucket_defaults: service_s3::Defaults,
    pub root_keys: Vec<RootKey>,
    pub allow_origins: Vec<String>,
    pub host_names: Vec<String>,
    pub region: Region,
    pub durability: Durability,
    pub https_listen: Option<SocketAddr>,
    pub http_listen: Option<SocketAddr>,
    pub dns_listen: Option<SocketAddr>,
    pub dns_forward: Forward,
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Empty is the default places, `none` alone is nowhere.
    pub docker_sockets: Vec<PathBuf>,
    pub docker_tls: Option<DockerTls>,
    pub mirrors: Vec<registry::Mirror>,
    pub upstreams: Vec<registry::Upstream>,
    /// Whether this is the cloud that a user has without saying which.
    pub is_default: bool,
    /// Whether somebody said where it listens: commands then look nowhere else.
    pub listen_given: bool,
    /// Whether its containers end with it, however it ends.
    pub ends_containers: bool,
    /// Whether nothing of it stays when it ends.
    pub is_ephemeral: bool,
    /// Whether the default network of containers has IPv6.
    pub default_six: bool,
    /// Whose numbers users of containers are outside.
    pub userns_remap: Option<String>,
    /// None is the first that works.
    pub driver: Option<engine::image::Driver>,
    /// Whom to become.
    pub user: Option<String>,
    /// What there is to say of containers at the start.
    pub containers: Option<String>,
    pub ready_file: Option<PathBuf>,
    pub log: String,
    pub threads: usize,
    pub cache_bytes: usize,
    pub connections: usize,
    pub head_timeout: Duration,
    pub stall_timeout: Duration,
    pub drain_timeout: Duration,
    /// None keeps all.
    pub collect_after: Option<Duration>,
}

fn docker_tls(settings: &Settings) -> Result<Option<DockerTls>, SettingError> {
    let listen = optional(settings, "docker_listen", "2376")?;
    let given = ["docker_tls_ca", "docker_tls_cert", "docker_tls_key"]
        .map(|name| Some(settings.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from));
    match (listen, given) {
        (Some(listen), [Some(ca), Some(cert), Some(key)]) => {
            Ok(Some(DockerTls { listen, ca, cert, key }))
        }
        (None, [None, None, None]) => Ok(None),
        _ => wrong(
            "docker_listen needs docker_tls_ca, docker_tls_cert and docker_tls_key, and they need it: \
             whoever reaches the Docker API is root on this machine",
        ),
    }
}

/// Where data is kept if root starts a cloud for a user and says nothing else.
const DATA_OF_USER: &str = "/var/lib/cumulet";

/// Where data is kept if nobody says where.
pub fn default_data(get: impl Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name| get(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    match (set("XDG_DATA_HOME"), set("HOME")) {
        (Some(data), _) => data.join("cumulet"),
        (None, Some(home)) => home.join(".local/share/cumulet"),
        (None, None) => PathBuf::from("cumulet-data"),
    }
}

impl Config {
    /// An error says where the setting came from.
    pub fn new(settings: &Settings, default_data: PathBuf) -> Result<Config, SettingError> {
        Config::read(settings, default_data).map_err(|SettingError(text)| {
            let name = text.split(' ').next().unwrap_or("");
            match settings.0.get(name) {
                Some((_, source)) => {
                    SettingError(format!("{text} ({})", source_text(name, source)))
                }
                None => SettingError(text),
            }
        })
    }

    fn read(settings: &Settings, default_data: PathBuf) -> Result<Config, SettingError> {
        let path = |name| Some(settings.text(name)).filter(|t| !t.is_empty()).map(PathBuf::from);
        let listen = address(settings, "listen", "4566")?;
        let too = settings.all("listen").iter().skip(1);
        let listen_too =
            too.map(|text| parse_address("listen", text, "4566")).collect::<Result<_, _>>()?;
        let (well_known_pairs, open) = match settings.text("auth") {
            "local" => (true, false),
            "strict" => (false, false),
            "open" => (true, true),
            other => return wrong(format!("auth is {other:?}, but must be local, strict or open")),
        };
        let drop_in = match settings.text("drop_in") {
            "none" => DropIn::None,
            "localstack" => DropIn::LocalStack,
            "minio" => DropIn::MinIo,
            other => {
                return wrong(format!(
                    "drop_in is {other:?}, but must be localstack, minio or none"
                ));
            }
        };
        let bucket_defaults = match settings.text("bucket_defaults") {
            "2018" => service_s3::Defaults::Of2018,
            "today" => service_s3::Defaults::OfToday,
            other => {
                let text = format!("bucket_defaults is {other:?}, but must be 2018 or today");
                return wrong(text);
            }
        };
        let dynamodb_throttling = match settings.text("dynamodb_throttling") {
            "on" => true,
            "off" => false,
            other => {
                return wrong(format!("dynamodb_throttling is {other:?}, but must be on or off"));
            }
        };
        let default_six = match settings.text("bridge_ipv6") {
            "on" => true,
            "off" => false,
            other => return wrong(format!("bridge_ipv6 is {other:?}, but must be on or off")),
        };
        let driver = match settings.text("storage_driver") {
            "auto" => None,
            "overlay2" => Some(engine::image::Driver::Overlay),
            "vfs" => Some(engine::image::Driver::Copy),
            other => {
                let text =
                    format!("storage_driver is {other:?}, but must be auto, overlay2 or vfs");
                return wrong(text);
            }
        };
        let durability = match settings.text("durability") {
            "synced" => Durability::Synced,
            "relaxed" => Durability::Relaxed,
            other => {
                return wrong(format!("durability is {other:?}, but must be synced or relaxed"));
            }
        };
        let tls = match (path("tls_cert"), path("tls_key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return wrong("tls_cert and tls_key belong together: give both or neither"),
        };
        let region = settings.text("region");
        let Some(region) = Region::parse(region) else {
            return wrong(format!("region is {region:?}, which is no region's name"));
        };
        let seconds = |name| settings.number(name, 1, 3600).map(Duration::from_secs);
        let config = Config {
            data: path("data").unwrap_or(if settings.text("user").is_empty() {
                default_data
            } else {
                PathBuf::from(DATA_OF_USER)
            }),
            listen,
            listen_too,
            https_listen: optional(settings, "https_listen", "443")?,
            http_listen: optional(settings, "http_listen", "80")?,
            dns_listen: optional(settings, "dns_listen", "53")?,
            dns_forward: forward(settings.text("dns_forward"))?,
            well_known_pairs,
            open,
            drop_in,
            init: path("init"),
            init_timeout: seconds("init_timeout_s")?,
            dynamodb_throttling,
            default_six,
            driver,
            userns_remap: Some(settings.text("userns_remap").to_owned()).filter(|t| !t.is_empty()),
            bucket_defaults,
            root_keys: settings
                .all("root_key")
                .iter()
                .map(|t| root_key(t))
                .collect::<Result<_, _>>()?,
            allow_origins: settings
                .all("allow_origin")
                .iter()
                .map(|t| origin(t))
                .collect::<Result<_, _>>()?,
            host_names: settings
                .all("host_name")
                .iter()
                .map(|t| host_name(t))
                .collect::<Result<_, _>>()?,
            region,
            durability,
            tls,
            is_default: path("data").is_none(),
            listen_given: matches!(
                settings.source("listen"),
                Some(Source::Flag | Source::Variable)
            ),
            ends_containers: false,
            is_ephemeral: false,
            containers: None,
            user: Some(settings.text("user").to_owned()).filter(|name| !name.is_empty()),
            docker_sockets: settings.all("docker_socket").iter().map(PathBuf::from).collect(),
            docker_tls: docker_tls(settings)?,
            upstreams: settings
                .all("registry_upstream")
                .iter()
                .map(|text| match registry::Upstream::parse(text) {
                    Some(upstream) => Ok(upstream),
                    None => wrong(format!(
                        "registry_upstream is {text:?}, but must be as docker.io=https://host"
                    )),
                })
                .collect::<Result<_, _>>()?,
            mirrors: settings
                .all("registry_mirror")
                .iter()
                .map(|text| match registry::Mirror::parse(text) {
                    Some(mirror) => Ok(mirror),
                    None => wrong(format!(
                        "registry_mirror is {text:?}, but must be as http://host:port"
                    )),
                })
                .collect::<Result<_, _>>()?,
            ready_file: path("ready_file"),
            log: settings.text("log").to_owned(),
            threads: settings.number("threads", 0, 1024)? as usize,
            cache_bytes: settings.number("cache_mb", 1, 1 << 20)? as usize * (1 << 20),
            connections: settings.number("connections", 1, 1_000_000)? as usize,
            head_timeout: seconds("head_timeout_s")?,
            stall_timeout: seconds("stall_timeout_s")?,
            drain_timeout: seconds("drain_timeout_s")?,
            collect_after: match settings.number("collect_after_s", 0, 31_536_000)? {
                0 => None,
                after_s => Some(Duration::from_secs(after_s)),
            },
        };
        config.check_exposure()?;
        Ok(config)
    }

    /// Beyond this machine nothing may rest on its being this machine.
    fn check_exposure(&self) -> Result<(), SettingError> {
        let beyond = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        if let Some(dns) = self.dns_listen.filter(beyond) {
            return wrong(format!(
                "dns_listen is {dns}, but must be a loopback address: only this machine is answered"
            ));
        }
        let all = [Some(self.listen), self.https_listen, self.http_listen].into_iter().flatten();
        let Some(beyond) = all.chain(self.listen_too.iter().copied()).find(beyond) else {
            return Ok(());
        };
        if !self.well_known_pairs || self.open || !self.root_keys.is_empty() {
            return Ok(());
        }
        wrong(format!(
            "listening on {} lets other machines and containers in. Say who may act as root: \
             --root-key ID:SECRET adds a key of yours (test/test stays for this machine alone), or \
             --auth strict turns well-known keys off; --auth open lets everybody be root; or listen on \
             127.0.0.1 only",
            beyond.ip()
        ))
    }
}

fn address(
    settings: &Settings,
    name: &'static str,
    port: &str,
) -> Result<SocketAddr, SettingError> {
    parse_address(name, settings.text(name), port)
}

fn parse_address(name: &str, text: &str, port: &str) -> Result<SocketAddr, SettingError> {
    text.replace("localhost", "127.0.0.1").parse().or_else(|_| {
        wrong(format!("{name} is {text:?}, but must be ADDRESS:PORT, as 127.0.0.1:{port}"))
    })
}

fn optional(
    settings: &Settings,
    name: &'static str,
    port: &str,
) -> Result<Option<SocketAddr>, SettingError> {
    match settings.text(name) {
        "" => Ok(None),
        _ => address(settings, name, port).map(Some),
    }
}

fn forward(text: &str) -> Result<Forward, SettingError> {
    let address = |part: &str| {
        let alone = || part.parse().ok().map(|ip| SocketAddr::new(ip, 53));
        part.parse::<SocketAddr>().ok().or_else(alone)
    };
    match text {
        "host" => Ok(Forward::Host),
        "none" => Ok(Forward::To(Vec::new())),
        list => {
            match list.split(',').map(|part| address(part.trim())).collect::<Option<Vec<_>>>() {
                Some(all) => Ok(Forward::To(all)),
                None => wrong(format!(
                    "dns_forward is {list:?}, but must be host, none, or addresses as 10.0.0.53 or [::1]:5353"
                )),
            }
        }
    }
}

fn root_key(text: &str) -> Result<RootKey, SettingError> {
    let mut parts = text.splitn(3, ':');
    let (id, secret, account) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next());
    let id_ok = (3..=128).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !id_ok {
        return wrong("root_key: the ID must have 3 to 128 letters, digits, or one of _ - .");
    }
    if secret.len() < 8 {
        return wrong(format!("root_key {id}: the SECRET must have 8 characters or more"));
    }
    let account = match account {
        None => AccountId::DEFAULT,
        Some(account) => match AccountId::parse(account) {
            Some(account) => account,
            None => return wrong(format!("root_key {id}: the ACCOUNT must have 12 digits")),
        },
    };
    Ok(RootKey { id: id.to_owned(), secret: secret.to_owned(), account })
}

fn origin(text: &str) -> Result<String, SettingError> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let ok = rest.is_some_and(|rest| {
        let host_char =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b);
        !rest.is_empty() && rest.bytes().all(host_char)
    });
    if ok {
        return Ok(text.to_owned());
    }
    wrong(format!(
        "allow_origin is {text:?}, but must be one origin as browsers send it, scheme://host[:port] \
         in lower case without a path; there is no * because every web page could then act as root"
    ))
}

fn host_name(text: &str) -> Result<String, SettingError> {
    let ok = !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
        && !text.starts_with('.')
        && !text.ends_with('.');
    if ok {
        Ok(text.to_owned())
    } else {
        wrong(format!("host_name is {text:?}, which is no lower-case host name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Result<Config, SettingError> {
        let mut settings = Settings::default();
        settings.read_toml(Path::new("c.toml"), toml)?;
        Config::new(&settings, "d".into())
    }

    fn check_refused(toml: &str, part: &str) {
        let error = config(toml).expect_err(toml);
        assert!(error.0.contains(part), "{toml}: {error}");
    }

    #[test]
    fn defaults() {
        let config = config("").unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:4566");
        assert_eq!(config.data, PathBuf::from("d"));
        assert!(config.well_known_pairs && config.durability == Durability::Synced);
    }

    #[test]
    fn later_sources_win() {
        let mut settings = Settings::default();
        settings.read_toml(Path::new("c.toml"), "region = \"eu-west-1\"\nlog = \"info\"").unwrap();
        settings.read_variables(|name| {
            (name == "CUMULET_REGION").then(|| "eu-west-2".to_owned()).or_else(|| {
                (name == "CUMULET_ROOT_KEY")
                    .then(|| "AKA:secretsecret, AKB:secretsecret:123456789012".into())
            })
        });
        let config = Config::new(&settings, "d".into()).unwrap();
        assert_eq!((config.region.as_str(), config.log.as_str()), ("eu-west-2", "info"));
        assert_eq!(config.root_keys.len(), 2);
        settings.set(find("region").unwrap(), vec!["eu-west-3".into()], Source::Flag);
        let config = Config::new(&settings, "d".into()).unwrap();
        assert_eq!(config.region.as_str(), "eu-west-3");
        let shown = settings.shown();
        assert!(shown.contains("region = eu-west-3  (--region)"), "{shown}");
        assert!(!shown.contains("secretsecret"), "{shown}");
    }

    #[test]
    fn wrong_settings() {
        check_refused("regoin = 1", "regoin is no setting; there are data, listen");
        check_refused("listen = \"4566\"", "ADDRESS:PORT");
        check_refused("region = \"US\"", "no region");
        check_refused("auth = \"none\"", "local, strict or open");
        check_refused("drop_in = \"moto\"", "localstack, minio or none");
        check_refused("bucket_defaults = \"2019\"", "2018 or today");
        check_refused("durability = \"no\"", "synced or relaxed");
        check_refused("threads = -1", "a number from 0");
        check_refused("tls_cert = \"a\"", "belong together");
        check_refused("root_key = \"a:b\"", "3 to 128");
        check_refused("root_key = \"abc:short\"", "8 characters");
        check_refused("root_key = \"abc:longenough:1\"", "12 digits");
        check_refused("allow_origin = \"*\"", "no *");
        check_refused("allow_origin = \"http://a/\"", "without a path");
        check_refused("host_name = \"A B\"", "no lower-case host name");
        check_refused("listen = [1]", "ADDRESS:PORT");
        check_refused("listen = [\"127.0.0.1:1\", \"4566\"]", "listen is \"4566\"");
        check_refused("listen = [\"127.0.0.1:1\", \"0.0.0.0:2\"]", "listening on 0.0.0.0");
        check_refused("region = [1]", "must be a text");
        check_refused("https_listen = \"443\"", "ADDRESS:PORT, as 127.0.0.1:443");
        check_refused("dns_listen = \"10.0.0.1:53\"", "only this machine is answered");
        check_refused("dns_forward = \"somewhere\"", "host, none, or addresses");
    }

    #[test]
    fn who_is_asked_for_other_names() {
        let check = |text: &str, expected: &[&str]| {
            let all = expected.iter().map(|a| a.parse().unwrap()).collect();
            let config = config(&format!("dns_forward = \"{text}\"")).unwrap();
            assert_eq!(config.dns_forward, Forward::To(all));
        };
        check("none", &[]);
        check("10.0.0.53, ::1,[::1]:5353", &["10.0.0.53:53", "[::1]:53", "[::1]:5353"]);
        assert_eq!(config("").unwrap().dns_forward, Forward::Host);
    }

    #[test]
    fn beyond_this_machine_somebody_must_be_named() {
        check_refused("https_listen = \"0.0.0.0:443\"", "--root-key ID:SECRET");
        check_refused("http_listen = \"0.0.0.0:80\"", "--root-key ID:SECRET");
        for listen in ["0.0.0.0:4566", "[::]:4566", "192.168.0.1:1"] {
            check_refused(&format!("listen = \"{listen}\""), "--root-key ID:SECRET");
            assert!(config(&format!("listen = \"{listen}\"\nauth = \"strict\"")).is_ok());
            assert!(
                config(&format!("listen = \"{listen}\"\nroot_key = \"abc:longenough\"")).is_ok()
            );
        }
        for listen in
            ["127.0.0.1:0", "[::1]:1", "127.9.9.9:1", "[::ffff:127.0.0.1]:1", "localhost:1"]
        {
            assert!(config(&format!("listen = \"{listen}\"")).is_ok(), "{listen}");
        }
    }

    #[test]
    fn data_is_kept_with_the_users_other_data() {
        let of = |pairs: &[(&str, &str)]| {
            default_data(|name| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), PathBuf::from("/x/cumulet"));
        assert_eq!(of(&[("HOME", "/h")]), PathBuf::from("/h/.local/share/cumulet"));
        assert_eq!(of(&[("XDG_DATA_HOME", "relative")]), PathBuf::from("cumulet-data"));
    }

    #[test]
    fn noise_in_the_file_is_an_error_that_names_it() {
        let seeds: [&[u8]; 2] = [
            b"listen = \"127.0.0.1:1\"\nregion = \"eu-west-1\"\nthreads = 3\nallow_origin = [\"http://a:1\"]",
            b"root_key = [\"abc:longenough:123456789012\"]\ndns_forward = \"none\"\nhost_name = \"a.b\"",
        ];
        let words: [&[u8]; 7] = [b"=", b"\"", b"[", b"]", b"\n", b"\\u", b"99999999999999999999"];
        base::noise::run(2, 20_000, &seeds, &words, |data| {
            if let Err(error) = config(&String::from_utf8_lossy(data)) {
                assert!(!error.0.is_empty());
            }
        });
    }
}
