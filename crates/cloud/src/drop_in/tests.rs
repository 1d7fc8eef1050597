use super::*;
use crate::settings::Config;
use std::path::PathBuf;

fn outside(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn give(settings: &mut Settings, name: &str, value: &str, source: Source) {
    settings.set(settings::find(name).unwrap(), vec![value.to_owned()], source);
}

fn read_into(
    settings: &mut Settings,
    pairs: &[(&str, &str)],
    mounts: &[&str],
) -> Result<Vec<String>, SettingError> {
    let is_mounted = |path: &str| mounts.contains(&path);
    read(settings, &Outside { variables: outside(pairs), is_mounted: &is_mounted })
}

fn read_with(drop_in: &str, pairs: &[(&str, &str)]) -> (Settings, Vec<String>) {
    let mut settings = Settings::default();
    give(&mut settings, "drop_in", drop_in, Source::Flag);
    let lines = read_into(&mut settings, pairs, &[]).unwrap();
    (settings, lines)
}

fn config(drop_in: &str, pairs: &[(&str, &str)]) -> Config {
    Config::new(&read_with(drop_in, pairs).0, "d".into()).unwrap()
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    let mut settings = Settings::default();
    give(&mut settings, "drop_in", "minio", Source::Flag);
    read_into(&mut settings, pairs, &[]).unwrap_err().0
}

/// As it is where the image's own settings are.
fn in_image(drop_in: &str) -> Settings {
    let mut settings = Settings::default();
    let file = || Source::File(PathBuf::from(settings::IMAGE));
    give(&mut settings, "drop_in", drop_in, file());
    give(&mut settings, "auth", "open", file());
    give(&mut settings, "listen", "0.0.0.0:4566", file());
    give(&mut settings, "data", "/no/such/folder", file());
    settings
}

#[test]
fn nothing_is_read_unless_asked() {
    let (settings, lines) =
        read_with("none", &[("DEBUG", "1"), ("DOCKER_HOST", "x"), ("LOCALSTACK_X", "1")]);
    assert!(lines.is_empty() && !settings.is_given("log") && !settings.is_given("listen"));
}

#[test]
fn variables_of_localstack() {
    let all = [
        ("GATEWAY_LISTEN", "127.0.0.1:4577,127.0.0.1:443"),
        ("EDGE_PORT", "4599"),
        ("LOCALSTACK_DEBUG", "1"),
        ("DEFAULT_REGION", "eu-west-1"),
        ("LOCALSTACK_HOST", "my.cloud:4566"),
        ("EXTRA_CORS_ALLOWED_ORIGINS", "http://localhost:3000,http://localhost:4000"),
    ];
    let config = config("localstack", &all);
    assert_eq!(config.listen.to_string(), "127.0.0.1:4577");
    assert_eq!(
        config.listen_too.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:443"]
    );
    assert_eq!((config.log.as_str(), config.region.as_str()), ("debug", "eu-west-1"));
    assert_eq!(config.host_names, ["my.cloud"]);
    assert_eq!(config.allow_origins.len(), 2);
}

/// Each with a word of the one line that there is of it.
#[test]
fn what_is_not_done_is_named() {
    let localstack = [
        ("SERVICES", "every service"),
        ("PERSISTENCE", "all is kept"),
        ("PERSIST_ALL", "on the disk already"),
        ("SNAPSHOT_SAVE_STRATEGY", "on the disk already"),
        ("SNAPSHOT_LOAD_STRATEGY", "on the disk already"),
        ("SNAPSHOT_FLUSH_INTERVAL", "on the disk already"),
        ("EXTRA_CORS_ALLOWED_HEADERS", "headers"),
        ("EXTRA_CORS_EXPOSE_HEADERS", "headers"),
        ("DOCKER_HOST", "engine"),
        ("DOCKER_SOCK", "engine"),
        ("DOCKER_FLAGS", "engine"),
        ("LAMBDA_KEEPALIVE_MS", "functions"),
        ("LAMBDA_REMOVE_CONTAINERS", "functions"),
        ("LAMBDA_REMOTE_DOCKER", "functions"),
        ("LAMBDA_DOCKER_FLAGS", "functions"),
        ("DYNAMODB_SHARE_DB", "tables of its own"),
        ("DYNAMODB_IN_MEMORY", "--ephemeral"),
        ("DYNAMODB_ERROR_PROBABILITY", "cumulet fault add"),
        ("DNS_ADDRESS", "--dns-listen"),
        ("OUTBOUND_HTTP_PROXY", "proxy"),
        ("HOST_TMP_FOLDER", "no folder is shared"),
        ("USE_SINGLE_REGION", "region"),
        ("PROVIDER_OVERRIDE_S3", "one of each service"),
        ("FAIL_FAST", "fails as a whole"),
        ("AUTO_LOAD_POD", "--from SNAPSHOT"),
        ("DEVELOP", "interpreter"),
        ("LOCALSTACK_AUTH_TOKEN", "unlocked"),
        ("LOCALSTACK_NEVER_HEARD_OF", "is not known here"),
    ];
    let minio = [
        ("MINIO_OPTS", "MINIO_ADDRESS"),
        ("MINIO_BROWSER_REDIRECT_URL", "one port"),
        ("MINIO_API_ROOT_ACCESS", "--auth strict"),
        ("MINIO_API_REQUESTS_MAX", "by hand"),
        ("MINIO_STORAGE_CLASS_RRS", "one disk"),
        ("MINIO_SITE_NAME", "one site"),
        ("MINIO_DEFAULT_BUCKETS", "a seed makes them"),
        ("MINIO_KMS_SERVER", "keys"),
        ("MINIO_NOTIFY_WEBHOOK_ENABLE", "events"),
        ("MINIO_IDENTITY_OPENID_CONFIG_URL", "IAM"),
        ("MINIO_NEVER_HEARD_OF", "is not known here"),
    ];
    for (drop_in, table) in [("localstack", &localstack[..]), ("minio", &minio[..])] {
        for &(name, word) in table {
            let (settings, lines) = read_with(drop_in, &[(name, "some")]);
            assert_eq!(lines.len(), 1, "{name}: {lines:?}");
            assert!(lines[0].starts_with(name) && lines[0].contains(word), "{lines:?}");
            assert!(Config::new(&settings, "d".into()).is_ok(), "{name}");
            // Theirs alone, and not without a value.
            let (_, lines) = read_with(drop_in, &[(name, ""), ("HOME", "/h"), ("AWS_REGION", "x")]);
            assert!(lines.is_empty(), "{name}: {lines:?}");
        }
    }
    let (_, lines) = read_with("localstack", &[("LOCALSTACK_SERVICES", "s3"), ("SERVICES", "s3")]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn variables_of_minio() {
    let config = config(
        "minio",
        &[
            ("MINIO_ROOT_USER", "admin"),
            ("MINIO_ROOT_PASSWORD", "long-enough"),
            ("MINIO_ADDRESS", ":9001"),
            ("MINIO_VOLUMES", "/nowhere/data"),
        ],
    );
    assert_eq!(config.listen.to_string(), "0.0.0.0:9001");
    assert_eq!(config.data, PathBuf::from("/nowhere/data"));
    assert_eq!((config.root_keys[0].id.as_str(), config.root_keys.len()), ("admin", 1));
    let config = self::config("minio", &[]);
    assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(config.root_keys[0].id, "minioadmin");
    // Their well-known pair is worth no more than ours beyond this machine.
    let (settings, _) = read_with("minio", &[("MINIO_ADDRESS", ":9000")]);
    assert!(Config::new(&settings, "d".into()).is_err());
}

#[test]
fn what_must_not_be_passed_over_is_refused() {
    for volumes in ["/data{1...4}", "/data1 /data2", "http://node{1...4}/disk", "https://node/disk"]
    {
        let text = refusal(&[("MINIO_VOLUMES", volumes)]);
        assert!(text.starts_with("MINIO_VOLUMES is") && text.contains("one folder"), "{text}");
    }
    assert!(refusal(&[("MINIO_ROOT_USER", "admin")]).contains("MINIO_ROOT_PASSWORD: give both"));
    for name in ["MINIO_ROOT_USER_FILE", "MINIO_CONFIG_ENV_FILE"] {
        let text = refusal(&[(name, "no-such-secret")]);
        assert!(text.contains(name) && text.contains("/run/secrets/no-such-secret"), "{text}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "files for a test")]
fn files_that_minios_variables_name() {
    let folder = std::env::temp_dir().join(format!("cumulet-minio-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("old/.minio.sys")).unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).display().to_string()
    };
    let user = file("user", "admin\n");
    let password = file("password", "long-enough\n");
    let secrets = config(
        "minio",
        &[("MINIO_ROOT_USER_FILE", &user), ("MINIO_ROOT_PASSWORD_FILE", &password)],
    );
    assert_eq!(
        (&*secrets.root_keys[0].id, &*secrets.root_keys[0].secret),
        ("admin", "long-enough")
    );
    let lines = "# of ours\nexport MINIO_ROOT_USER=\"other\"\nMINIO_ROOT_PASSWORD='long-enough'\nMINIO_REGION=eu-west-1\n";
    let env =
        config("minio", &[("MINIO_CONFIG_ENV_FILE", &file("env", lines)), ("MINIO_REGION", "x")]);
    assert_eq!((&*env.root_keys[0].id, env.region.as_str()), ("other", "eu-west-1"));
    let old = folder.join("old").display().to_string();
    assert!(refusal(&[("MINIO_VOLUMES", &old)]).contains("cumulet import s3"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn our_own_settings_stay_and_say_so() {
    let mut settings = Settings::default();
    give(&mut settings, "drop_in", "localstack", Source::Variable);
    give(&mut settings, "region", "eu-west-3", Source::Variable);
    give(&mut settings, "listen", "127.0.0.1:1", Source::Flag);
    give(&mut settings, "log", "debug", Source::Flag);
    let pairs = [("DEFAULT_REGION", "eu-west-1"), ("GATEWAY_LISTEN", ":4566"), ("DEBUG", "1")];
    let lines = read_into(&mut settings, &pairs, &[]).unwrap();
    assert_eq!(
        lines,
        [
            "GATEWAY_LISTEN is not taken, since --listen is given",
            "DEFAULT_REGION is not taken, since CUMULET_REGION is given"
        ]
    );
    let config = Config::new(&settings, "d".into()).unwrap();
    assert_eq!((config.region.as_str(), config.listen.port()), ("eu-west-3", 1));
}

#[test]
fn what_the_image_says_counts_less_than_their_variables() {
    for (name, value, expected) in [
        ("GATEWAY_LISTEN", "0.0.0.0:4577", "0.0.0.0:4577"),
        ("LOCALSTACK_GATEWAY_LISTEN", ":4577", "0.0.0.0:4577"),
        ("EDGE_PORT", "4577", "0.0.0.0:4577"),
        ("DEBUG", "1", "0.0.0.0:4566"),
    ] {
        let mut settings = in_image("localstack");
        let lines = read_into(&mut settings, &[(name, value)], &[]).unwrap();
        assert!(lines.is_empty(), "{lines:?}");
        let config = Config::new(&settings, "d".into()).unwrap();
        assert_eq!(config.listen.to_string(), expected, "{name}");
    }
}

#[test]
fn a_volume_of_theirs_is_where_data_is_kept() {
    let data = |settings: &Settings| settings.text("data").to_owned();
    for (drop_in, volume, folder) in [
        ("localstack", "/var/lib/localstack", "/var/lib/localstack/cumulet"),
        ("minio", "/data", "/data/.cumulet"),
    ] {
        let mut settings = in_image(drop_in);
        assert!(read_into(&mut settings, &[], &[volume]).unwrap().is_empty());
        assert_eq!(data(&settings), folder);
        let mut settings = in_image(drop_in);
        assert!(read_into(&mut settings, &[], &["/elsewhere"]).unwrap().is_empty());
        assert_eq!(data(&settings), "/no/such/folder");
        // Somebody said where, or there is data already: then it is told that nothing is kept in it.
        let mut settings = in_image(drop_in);
        give(&mut settings, "data", "/mine", Source::Variable);
        let lines = read_into(&mut settings, &[], &[volume]).unwrap();
        assert!(lines[0].ends_with(&format!("{volume}: CUMULET_DATA says /mine")), "{lines:?}");
        let mut settings = in_image(drop_in);
        give(&mut settings, "data", "/proc", Source::File(PathBuf::from(settings::IMAGE)));
        let lines = read_into(&mut settings, &[], &[volume]).unwrap();
        assert!(lines[0].ends_with("there is data in /proc already"), "{lines:?}");
        assert_eq!(data(&settings), "/proc");
        // On a machine of somebody's own, such a folder is theirs.
        let mut settings = Settings::default();
        give(&mut settings, "drop_in", drop_in, Source::Flag);
        read_into(&mut settings, &[], &[volume]).unwrap();
        assert!(!settings.is_given("data"));
    }
    let mut settings = in_image("minio");
    assert!(
        read_into(&mut settings, &[("MINIO_VOLUMES", "/data")], &["/data"]).unwrap().is_empty()
    );
    assert_eq!(data(&settings), "/data");
}
