//! Their variables, each with what is made of it. A name that ends with `*` stands for all that begin so.

/// What is made of a variable of theirs.
#[derive(Clone, Copy)]
pub(super) enum Made {
    /// A setting of ours with the same value.
    Setting(&'static str),
    /// Of ours, with the value that this function makes of it; `None` leaves the default.
    With(&'static str, fn(&str) -> Option<String>),
    /// Where we listen.
    Listen,
    /// Nothing, because there is no need.
    Nothing(&'static str),
    /// Nothing: what it asks for is not done, or by other means.
    Absent(&'static str),
    /// Read where the others are not enough.
    Apart,
}
use Made::{Absent, Apart, Listen, Nothing, Setting, With};

const ALWAYS_THERE: &str = "every service is there from the start";
const ALL_FREE: &str = "nothing here has to be unlocked";
const ALL_KEPT: &str = "what was answered is on the disk already; `--ephemeral` keeps nothing";
const NO_TELEMETRY: &str = "nothing is ever reported to anybody";
const NO_FUNCTIONS: &str = "functions are not served yet";
const OWN_ENGINE: &str = "no other engine is asked: containers are this cloud's own";
const OWN_TABLES: &str = "tables are served by the cloud itself";
const FAULTS: &str = "`cumulet fault add` lets operations fail";
const SDK_HEADERS: &str =
    "a page may send and read the headers of the SDKs, and those in the CORS rules of its bucket";
const ONE_PORT: &str = "there is one port for everything";
const ONE_DISK: &str = "there is one disk, and one copy";
const PAGES: &str = "a web page needs EXTRA_CORS_ALLOWED_ORIGINS or --allow-origin";

/// The later one wins, of two that say the same.
pub(super) const LOCALSTACK: &[(&str, Made)] = &[
    ("EDGE_PORT", Listen),
    ("GATEWAY_LISTEN", Listen),
    ("HOSTNAME_EXTERNAL", With("host_name", host)),
    ("LOCALSTACK_HOST", With("host_name", host)),
    ("DEFAULT_REGION", Setting("region")),
    ("EXTRA_CORS_ALLOWED_ORIGINS", Setting("allow_origin")),
    ("DEBUG", With("log", |value| is_on(value).then(|| "debug".to_owned()))),
    ("LS_LOG", With("log", level)),
    ("PERSISTENCE", Nothing("all is kept, always; `--ephemeral` keeps nothing")),
    ("PERSIST_ALL", Nothing(ALL_KEPT)),
    ("SNAPSHOT_SAVE_STRATEGY", Nothing(ALL_KEPT)),
    ("SNAPSHOT_LOAD_STRATEGY", Nothing(ALL_KEPT)),
    ("SNAPSHOT_FLUSH_INTERVAL", Nothing(ALL_KEPT)),
    ("SERVICES", Nothing(ALWAYS_THERE)),
    ("EAGER_SERVICE_LOADING", Nothing(ALWAYS_THERE)),
    ("STRICT_SERVICE_LOADING", Nothing(ALWAYS_THERE)),
    ("PROVIDER_OVERRIDE_*", Nothing("there is one of each service")),
    ("FAIL_FAST", Nothing("a start that fails fails as a whole")),
    ("ENFORCE_IAM", Nothing("policies are always asked")),
    (
        "IAM_SOFT_MODE",
        Absent("policies always decide; `cumulet events --denied` explains each refusal"),
    ),
    ("S3_SKIP_SIGNATURE_VALIDATION", Absent("signatures are always checked")),
    ("DISABLE_CORS_CHECKS", Absent(PAGES)),
    ("DISABLE_CORS_HEADERS", Absent(PAGES)),
    ("EXTRA_CORS_ALLOWED_HEADERS", Absent(SDK_HEADERS)),
    ("EXTRA_CORS_EXPOSE_HEADERS", Absent(SDK_HEADERS)),
    ("ALLOW_NONSTANDARD_REGIONS", Nothing("every name that is a region's is one")),
    ("USE_SINGLE_REGION", Absent("each region has what was made in it")),
    ("USE_SSL", Nothing("each port answers TLS and plain HTTP")),
    ("SKIP_SSL_CERT_DOWNLOAD", Nothing("certificates are made here")),
    ("CUSTOM_SSL_CERT_PATH", Absent("give --tls-cert and --tls-key")),
    ("EDGE_BIND_HOST", Absent("GATEWAY_LISTEN=HOST:PORT says where to listen")),
    ("LOCALSTACK_HOSTNAME", Nothing("every name that leads here is answered")),
    ("DISABLE_EVENTS", Nothing(NO_TELEMETRY)),
    ("LOCALSTACK_AUTH_TOKEN", Nothing(ALL_FREE)),
    ("LOCALSTACK_API_KEY", Nothing(ALL_FREE)),
    ("ACTIVATE_PRO", Nothing(ALL_FREE)),
    ("DATA_DIR", Absent("give --data")),
    ("LOCALSTACK_VOLUME_DIR", Absent("give --data")),
    ("AUTO_LOAD_POD", Absent("`cumulet up --ephemeral --from SNAPSHOT` begins with one")),
    ("HOST_TMP_FOLDER", Nothing("no folder is shared with other containers")),
    ("DOCKER_HOST", Nothing(OWN_ENGINE)),
    ("DOCKER_SOCK", Nothing(OWN_ENGINE)),
    ("DOCKER_FLAGS", Nothing(OWN_ENGINE)),
    ("MAIN_CONTAINER_NAME", Nothing("no other container is started for the cloud itself")),
    ("LAMBDA_EXECUTOR", Absent(NO_FUNCTIONS)),
    ("LAMBDA_DOCKER_NETWORK", Absent(NO_FUNCTIONS)),
    ("LAMBDA_DOCKER_FLAGS", Absent(NO_FUNCTIONS)),
    ("LAMBDA_REMOTE_DOCKER", Absent(NO_FUNCTIONS)),
    ("LAMBDA_REMOVE_CONTAINERS", Absent(NO_FUNCTIONS)),
    ("LAMBDA_KEEPALIVE_MS", Absent(NO_FUNCTIONS)),
    ("LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT", Absent(NO_FUNCTIONS)),
    ("DYNAMODB_SHARE_DB", Absent("each account and region has tables of its own")),
    ("DYNAMODB_IN_MEMORY", Absent("`--ephemeral` keeps all in memory")),
    ("DYNAMODB_HEAP_SIZE", Nothing(OWN_TABLES)),
    ("DYNAMODB_ERROR_PROBABILITY", Absent(FAULTS)),
    ("DYNAMODB_READ_ERROR_PROBABILITY", Absent(FAULTS)),
    ("DYNAMODB_WRITE_ERROR_PROBABILITY", Absent(FAULTS)),
    ("DNS_ADDRESS", Absent("--dns-listen says where names are answered")),
    ("OUTBOUND_HTTP_PROXY", Absent("nothing goes out by a proxy")),
    ("OUTBOUND_HTTPS_PROXY", Absent("nothing goes out by a proxy")),
    ("DEVELOP", Nothing("there is no interpreter to attach to")),
];

pub(super) const MINIO: &[(&str, Made)] = &[
    ("MINIO_ADDRESS", Listen),
    ("MINIO_VOLUMES", Apart),
    ("MINIO_DOMAIN", With("host_name", host)),
    ("MINIO_REGION", Setting("region")),
    ("MINIO_REGION_NAME", Setting("region")),
    ("MINIO_SITE_REGION", Setting("region")),
    ("MINIO_SITE_NAME", Nothing("there is one site")),
    (
        "MINIO_OPTS",
        Absent("MINIO_ADDRESS says where to listen, and there is one port for everything"),
    ),
    ("MINIO_CONSOLE_ADDRESS", Nothing(ONE_PORT)),
    ("MINIO_BROWSER", Nothing(ONE_PORT)),
    ("MINIO_BROWSER_REDIRECT_URL", Nothing(ONE_PORT)),
    ("MINIO_SERVER_URL", Nothing("every name that leads here is answered")),
    ("MINIO_ROOT_USER", Apart),
    ("MINIO_ROOT_PASSWORD", Apart),
    ("MINIO_ACCESS_KEY", Apart),
    ("MINIO_SECRET_KEY", Apart),
    ("MINIO_ROOT_USER_FILE", Apart),
    ("MINIO_ROOT_PASSWORD_FILE", Apart),
    ("MINIO_CONFIG_ENV_FILE", Apart),
    ("MINIO_API_ROOT_ACCESS", Absent("root always may; --auth strict turns well-known keys off")),
    ("MINIO_API_*", Absent("nothing of that is set by hand here")),
    (
        "MINIO_DEFAULT_BUCKETS",
        Absent("a seed makes them: CreateBucket in a .json file in init/ready.d"),
    ),
    ("MINIO_STORAGE_CLASS_STANDARD", Nothing(ONE_DISK)),
    ("MINIO_STORAGE_CLASS_RRS", Nothing(ONE_DISK)),
    ("MINIO_KMS_*", Absent("no server of keys is asked")),
    ("MINIO_NOTIFY_*", Absent("no events are sent to other servers")),
    ("MINIO_IDENTITY_*", Absent("identity providers are those of IAM: OpenID Connect and SAML")),
    ("MINIO_PROMETHEUS_*", Nothing("/metrics tells nothing that is anybody's")),
    ("MINIO_UPDATE", Nothing("nothing updates itself")),
];

/// Whether a name of the table is this one.
pub(super) fn is(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |begin| name.starts_with(begin))
}

/// `0.0.0.0:4566,0.0.0.0:443`, `:4566` or `4566`; `usual` is the host where none is said.
pub(super) fn addresses(text: &str, usual: &str) -> Vec<String> {
    let one = |part: &str| match part.rsplit_once(':') {
        None => format!("{usual}:{part}"),
        Some(("", port)) => format!("{usual}:{port}"),
        Some(_) => part.to_owned(),
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_hosts() {
        for (text, usual, expected) in [
            ("4566", "127.0.0.1", &["127.0.0.1:4566"][..]),
            (":4566", "0.0.0.0", &["0.0.0.0:4566"]),
            ("0.0.0.0:4566, [::]:443,", "127.0.0.1", &["0.0.0.0:4566", "[::]:443"]),
        ] {
            assert_eq!(addresses(text, usual), expected);
        }
        assert_eq!(host("localhost.localstack.cloud:4566"), None);
        assert_eq!(host("127.0.0.1"), None);
        assert_eq!(host("Cloud.Test:1").as_deref(), Some("cloud.test"));
        assert!(is("MINIO_KMS_*", "MINIO_KMS_SERVER") && !is("MINIO_UPDATE", "MINIO_UPDATER"));
    }
}
