//! In the place of LocalStack or MinIO: their variables as settings of ours, and the pages that their users
//! and tools ask whether the cloud is there.
//!
//! A variable that means nothing here is named at the start, with the reason; none is passed over.

use crate::init::Progress;
use crate::settings::{self, DropIn, Settings, Source};
use gateway::{Gateway, Pages};
use smithy::json::Writer;
use std::sync::{Arc, OnceLock, Weak};

/// What is made of a variable of theirs.
#[derive(Clone, Copy)]
enum Made {
    /// A setting of ours with the same value.
    Setting(&'static str),
    /// Of ours, with the value that this function makes of it; `None` leaves the default.
    With(&'static str, fn(&str) -> Option<String>),
    /// Nothing, because of this.
    Nothing(&'static str),
}
use Made::{Nothing, Setting, With};

const ALWAYS_THERE: &str = "every service is there from the start";
const ALL_FREE: &str = "nothing here has to be unlocked";
const NO_TELEMETRY: &str = "nothing is ever reported to anybody";

const LOCALSTACK: &[(&str, Made)] = &[
    ("GATEWAY_LISTEN", With("listen", first_address)),
    ("EDGE_PORT", With("listen", |port| Some(format!("127.0.0.1:{port}")))),
    ("LOCALSTACK_HOST", With("host_name", host)),
    ("HOSTNAME_EXTERNAL", With("host_name", host)),
    ("DEFAULT_REGION", Setting("region")),
    ("EXTRA_CORS_ALLOWED_ORIGINS", Setting("allow_origin")),
    ("DEBUG", With("log", |value| is_on(value).then(|| "debug".to_owned()))),
    ("LS_LOG", With("log", level)),
    ("PERSISTENCE", Nothing("all is kept, always; `--ephemeral` keeps nothing")),
    ("SERVICES", Nothing(ALWAYS_THERE)),
    ("EAGER_SERVICE_LOADING", Nothing(ALWAYS_THERE)),
    ("STRICT_SERVICE_LOADING", Nothing(ALWAYS_THERE)),
    ("ENFORCE_IAM", Nothing("policies are always asked")),
    (
        "IAM_SOFT_MODE",
        Nothing("policies always decide; `cumulet events --denied` explains each refusal"),
    ),
    ("S3_SKIP_SIGNATURE_VALIDATION", Nothing("signatures are always checked")),
    (
        "DISABLE_CORS_CHECKS",
        Nothing("a web page needs EXTRA_CORS_ALLOWED_ORIGINS or --allow-origin"),
    ),
    (
        "DISABLE_CORS_HEADERS",
        Nothing("a web page needs EXTRA_CORS_ALLOWED_ORIGINS or --allow-origin"),
    ),
    ("ALLOW_NONSTANDARD_REGIONS", Nothing("every name that is a region's is one")),
    ("USE_SSL", Nothing("each port answers TLS and plain HTTP")),
    ("SKIP_SSL_CERT_DOWNLOAD", Nothing("certificates are made here")),
    ("DISABLE_EVENTS", Nothing(NO_TELEMETRY)),
    ("LOCALSTACK_AUTH_TOKEN", Nothing(ALL_FREE)),
    ("LOCALSTACK_API_KEY", Nothing(ALL_FREE)),
    ("ACTIVATE_PRO", Nothing(ALL_FREE)),
    ("DATA_DIR", Nothing("give --data")),
    ("LAMBDA_EXECUTOR", Nothing("functions are not served yet")),
    ("LAMBDA_DOCKER_NETWORK", Nothing("functions are not served yet")),
    ("LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT", Nothing("functions are not served yet")),
    ("MAIN_CONTAINER_NAME", Nothing("no other container is started for the cloud itself")),
];

const MINIO: &[(&str, Made)] = &[
    ("MINIO_ADDRESS", With("listen", first_address)),
    ("MINIO_VOLUMES", Setting("data")),
    ("MINIO_DOMAIN", With("host_name", host)),
    ("MINIO_REGION", Setting("region")),
    ("MINIO_REGION_NAME", Setting("region")),
    ("MINIO_SITE_REGION", Setting("region")),
    ("MINIO_CONSOLE_ADDRESS", Nothing("there is one port for everything")),
    ("MINIO_BROWSER", Nothing("there is one port for everything")),
    ("MINIO_SERVER_URL", Nothing("every name that leads here is answered")),
    ("MINIO_ROOT_USER", Nothing("it belongs with MINIO_ROOT_PASSWORD")),
    ("MINIO_ROOT_PASSWORD", Nothing("it belongs with MINIO_ROOT_USER")),
    ("MINIO_STORAGE_CLASS_STANDARD", Nothing("there is one disk, and one copy")),
    ("MINIO_PROMETHEUS_AUTH_TYPE", Nothing("/metrics tells nothing that is anybody's")),
    ("MINIO_UPDATE", Nothing("nothing updates itself")),
];

/// What MinIO's root is called if nobody says.
const MINIO_ROOT: &str = "minioadmin:minioadmin";

/// Takes what the environment holds. Settings that our own variables and flags give stay. Gives a line
/// for each variable of which nothing is made.
pub fn read(settings: &mut Settings, get: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let (table, prefix, port): (_, _, &str) = match settings.text("drop_in") {
        "localstack" => (LOCALSTACK, "LOCALSTACK_", "127.0.0.1:4566"),
        "minio" => (MINIO, "", "127.0.0.1:9000"),
        _ => return Vec::new(),
    };
    let set = |settings: &mut Settings, name: &str, value: String, source: Source| {
        let Some(key) = settings::find(name) else { return };
        if !matches!(settings.source(name), Some(Source::Variable | Source::Flag)) {
            let values = match key.many {
                true => value.split(',').map(|part| part.trim().to_owned()).collect(),
                false => vec![value],
            };
            settings.set(key, values, source);
        }
    };
    let given = |name: &str| get(name).filter(|value| !value.is_empty());
    let mut lines = Vec::new();
    let root = (given("MINIO_ROOT_USER"), given("MINIO_ROOT_PASSWORD"));
    if port.ends_with("9000") {
        let whole = |(user, password)| match (user, password) {
            (Some(user), Some(password)) => Some(format!("{user}:{password}")),
            _ => None,
        };
        let old = || whole((given("MINIO_ACCESS_KEY"), given("MINIO_SECRET_KEY")));
        let key = whole(root.clone()).or_else(old);
        let is_given = key.is_some();
        let source = Source::Foreign(if is_given { "MINIO_ROOT_USER" } else { "drop_in = minio" });
        let on_loopback = given("MINIO_ADDRESS").is_none() && !settings.is_given("listen");
        if is_given || on_loopback {
            set(settings, "root_key", key.unwrap_or_else(|| MINIO_ROOT.to_owned()), source);
        }
    }
    for &(name, made) in table {
        let value = given(name).or_else(|| match prefix {
            "" => None,
            prefix => given(&format!("{prefix}{name}")),
        });
        let Some(value) = value else { continue };
        match made {
            Setting(ours) => set(settings, ours, value, Source::Foreign(name)),
            With(ours, make) => {
                if let Some(value) = make(&value) {
                    set(settings, ours, value, Source::Foreign(name));
                }
            }
            Nothing(_)
                if name.starts_with("MINIO_ROOT") && root.0.is_some() && root.1.is_some() => {}
            Nothing(why) => lines.push(format!("{name} is not needed: {why}")),
        }
    }
    if !settings.is_given("listen") {
        set(settings, "listen", port.to_owned(), Source::Foreign("drop_in"));
    }
    lines
}

/// `0.0.0.0:4566,0.0.0.0:443`, `:4566` or `4566`.
fn first_address(text: &str) -> Option<String> {
    let first = text.split(',').next().unwrap_or(text).trim();
    Some(match first.rsplit_once(':') {
        None => format!("127.0.0.1:{first}"),
        Some(("", port)) => format!("0.0.0.0:{port}"),
        Some(_) => first.to_owned(),
    })
}

/// Of `name:port`.
fn host(text: &str) -> Option<String> {
    let name = text.split(':').next().unwrap_or(text).trim_start_matches('.').to_ascii_lowercase();
    // These are names of ours anyway, and addresses are no names.
    let known = matches!(name.as_str(), "localhost" | "localhost.localstack.cloud");
    (!known && name.parse::<std::net::IpAddr>().is_err()).then_some(name)
}

fn is_on(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "true")
}

fn level(text: &str) -> Option<String> {
    Some(match text.to_ascii_lowercase().as_str() {
        "trace" | "trace-internal" => "trace".to_owned(),
        "warning" => "warn".to_owned(),
        other => other.to_owned(),
    })
}

/// The pages of both, whatever the cloud stands in for: they tell only that it is there.
pub struct DropInPages {
    gateway: OnceLock<Weak<Gateway>>,
    progress: Arc<Progress>,
    /// In the form of an identifier; of this start.
    session: String,
}

impl DropInPages {
    pub fn new(progress: Arc<Progress>, session: String) -> Arc<DropInPages> {
        Arc::new(DropInPages { gateway: OnceLock::new(), progress, session })
    }

    /// The gateway that answers them.
    pub fn speak_for(&self, gateway: &Arc<Gateway>) {
        let _ = self.gateway.set(Arc::downgrade(gateway));
    }

    fn health(&self) -> String {
        let mut out = Writer::with_capacity(256);
        out.open('{');
        out.key("services");
        out.open('{');
        let gateway = self.gateway.get().and_then(Weak::upgrade);
        for name in gateway.map(|gateway| gateway.services()).unwrap_or_default() {
            out.key(name);
            out.string("running");
        }
        out.close('}');
        out.key("edition");
        out.string("community");
        out.key("version");
        out.string(env!("CARGO_PKG_VERSION"));
        out.close('}');
        out.finish()
    }

    fn info(&self) -> String {
        let mut out = Writer::with_capacity(256);
        out.open('{');
        let texts = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("edition", "community"),
            ("product", "cumulet"),
            ("session_id", &self.session),
            ("system", "linux"),
        ];
        for (name, value) in texts {
            out.key(name);
            out.string(value);
        }
        out.key("is_license_activated");
        out.boolean(false);
        out.close('}');
        out.finish()
    }
}

impl Pages for DropInPages {
    fn page(&self, path: &str) -> Option<(u16, String)> {
        let text = match path {
            "/_localstack/health" => self.health(),
            "/_localstack/info" => self.info(),
            "/_localstack/init" => self.progress.page(None)?,
            // The store answered its own opening; a stopped one ends the process.
            "/minio/health/live"
            | "/minio/health/ready"
            | "/minio/health/cluster"
            | "/minio/health/cluster/read" => String::new(),
            _ => {
                return path.strip_prefix("/_localstack/init/").map(|stage| {
                    match self.progress.page(Some(stage)) {
                        Some(text) => (200, text),
                        None => (404, String::new()),
                    }
                });
            }
        };
        Some((200, text))
    }
}

/// For the greeting.
pub fn name(drop_in: DropIn) -> Option<&'static str> {
    match drop_in {
        DropIn::None => None,
        DropIn::LocalStack => Some("LocalStack"),
        DropIn::MinIo => Some("MinIO"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Config;

    fn read_with(drop_in: &str, pairs: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let mut settings = Settings::default();
        let key = settings::find("drop_in").unwrap();
        settings.set(key, vec![drop_in.to_owned()], Source::Flag);
        let lines = read(&mut settings, |name| {
            pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        });
        (settings, lines)
    }

    fn config(drop_in: &str, pairs: &[(&str, &str)]) -> Config {
        Config::new(&read_with(drop_in, pairs).0, "d".into()).unwrap()
    }

    #[test]
    fn nothing_is_read_unless_asked() {
        let (settings, lines) = read_with("none", &[("DEBUG", "1"), ("SERVICES", "s3")]);
        assert!(lines.is_empty() && !settings.is_given("log") && !settings.is_given("listen"));
    }

    #[test]
    fn variables_of_localstack() {
        let all = [
            ("GATEWAY_LISTEN", "127.0.0.1:4577,127.0.0.1:443"),
            ("LOCALSTACK_DEBUG", "1"),
            ("DEFAULT_REGION", "eu-west-1"),
            ("LOCALSTACK_HOST", "my.cloud:4566"),
            ("EXTRA_CORS_ALLOWED_ORIGINS", "http://localhost:3000,http://localhost:4000"),
        ];
        let config = config("localstack", &all);
        assert_eq!(config.listen.to_string(), "127.0.0.1:4577");
        assert_eq!((config.log.as_str(), config.region.as_str()), ("debug", "eu-west-1"));
        assert_eq!(config.host_names, ["my.cloud"]);
        assert_eq!(config.allow_origins.len(), 2);
        let (_, lines) = read_with("localstack", &[("SERVICES", "s3,sqs"), ("PERSISTENCE", "1")]);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("SERVICES is not needed: every service"), "{lines:?}");
    }

    #[test]
    fn variables_of_minio() {
        let config = config(
            "minio",
            &[
                ("MINIO_ROOT_USER", "admin"),
                ("MINIO_ROOT_PASSWORD", "long-enough"),
                ("MINIO_ADDRESS", ":9001"),
                ("MINIO_VOLUMES", "/data"),
            ],
        );
        assert_eq!(config.listen.to_string(), "0.0.0.0:9001");
        assert_eq!(config.data, std::path::PathBuf::from("/data"));
        assert_eq!((config.root_keys[0].id.as_str(), config.root_keys.len()), ("admin", 1));
        let config = self::config("minio", &[]);
        assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
        assert_eq!(config.root_keys[0].id, "minioadmin");
        // Their well-known pair is worth no more than ours beyond this machine.
        let (settings, _) = read_with("minio", &[("MINIO_ADDRESS", ":9000")]);
        assert!(Config::new(&settings, "d".into()).is_err());
    }

    #[test]
    fn our_own_settings_stay() {
        let mut settings = Settings::default();
        for (name, value) in [("drop_in", "localstack"), ("region", "eu-west-3")] {
            settings.set(settings::find(name).unwrap(), vec![value.to_owned()], Source::Variable);
        }
        read(&mut settings, |name| (name == "DEFAULT_REGION").then(|| "eu-west-1".to_owned()));
        assert_eq!(Config::new(&settings, "d".into()).unwrap().region.as_str(), "eu-west-3");
    }

    #[test]
    fn addresses_and_hosts() {
        for (text, expected) in [("4566", "127.0.0.1:4566"), (":4566", "0.0.0.0:4566")] {
            assert_eq!(first_address(text).as_deref(), Some(expected));
        }
        assert_eq!(host("localhost.localstack.cloud:4566"), None);
        assert_eq!(host("127.0.0.1"), None);
        assert_eq!(host("Cloud.Test:1").as_deref(), Some("cloud.test"));
    }
}
