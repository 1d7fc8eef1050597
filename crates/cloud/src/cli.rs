//! The command line.

use crate::exit::{self, Failure};
use crate::settings::{self, KEYS, Settings, Source};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use std::path::PathBuf;

/// The command, with help that teaches.
pub fn command() -> Command {
    Command::new("cumulet")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A small cloud in one program: files, tables, users and containers for the clients of AWS and Docker, kept durably on this machine")
        .after_help(exit::TEXT)
        .args(up_args())
        .subcommand(
            Command::new("up")
                .about("Start the cloud (what `cumulet` alone does)")
                .long_about(
                    "Start the cloud and answer until SIGTERM or SIGINT.\n\nSettings come from a TOML \
                     file (--config, $CUMULET_CONFIG, or ~/.config/cumulet/config.toml), then from \
                     CUMULET_* variables, then from flags; the last one wins. In the file and in \
                     variables names have underscores: allow_origin = [\"http://localhost:3000\"], \
                     CUMULET_ALLOW_ORIGIN.",
                )
                .after_help(
                    "Examples:\n\
                    \x20\x20cumulet up\n\
                    \x20\x20cumulet up --data ./cloud --listen 127.0.0.1:0 --ready-file ready.json\n\
                    \x20\x20cumulet up --listen 0.0.0.0:4566 --auth strict --root-key ADMIN:SECRET",
                )
                .args(up_args()),
        )
        .subcommand(
            Command::new("env")
                .about("Print what points AWS CLI and SDKs here: eval \"$(cumulet env)\"")
                .after_help(
                    "Examples:\n\
                    \x20\x20eval \"$(cumulet env)\" && aws s3 ls\n\
                    \x20\x20cumulet env --shell fish | source\n\
                    \x20\x20cumulet env --shell github --data ./cloud >> \"$GITHUB_ENV\"\n\
                    \x20\x20eval \"$(cumulet env --account 111122223333)\"",
                )
                .arg(
                    Arg::new("shell")
                        .long("shell")
                        .value_name("SHELL")
                        .value_parser(["sh", "fish", "powershell", "github"])
                        .default_value("sh")
                        .help("Whose syntax to print; github is that of the file $GITHUB_ENV"),
                )
                .arg(
                    Arg::new("account")
                        .long("account")
                        .value_name("ACCOUNT")
                        .help("Be root of this 12-digit account, in place of the default one"),
                )
                .arg(
                    Arg::new("tls")
                        .long("tls")
                        .action(ArgAction::SetTrue)
                        .help("Come by TLS, and trust the local authority"),
                )
                .args(of_names(&["data", "listen", "region", "docker_socket"])),
        )
        .subcommand(shell())
        .subcommand(inside())
        .subcommand(trust())
        .subcommand(lab())
        .subcommand(import())
        .subcommand(
            Command::new("status")
                .about("Say whether a cloud is running, and where")
                .after_help(
                    "Ends with 0 where one runs whose scripts of ready.d have ended, and with 1 otherwise.\n\
                    \n\
                    Examples:\n\
                    \x20\x20cumulet status\n\
                    \x20\x20cumulet status --data ./cloud || cumulet up --data ./cloud &",
                )
                .args(of_names(&["data", "listen"])),
        )
        .subcommand(
            Command::new("doctor")
                .about("Say what this machine can do, what is missing and how to get it")
                .after_help(
                    "Ends with 1 where something is missing that everything needs, and with 5 where the data is damaged.\n\
                    \n\
                    Examples:\n\
                    \x20\x20cumulet doctor\n\
                    \x20\x20cumulet doctor --data\n\
                    \x20\x20cumulet doctor --data ./cloud",
                )
                .args(of_names(&["listen"]))
                .arg(
                    Arg::new("data")
                        .long("data")
                        .value_name("DIR")
                        .value_hint(ValueHint::DirPath)
                        .num_args(0..=1)
                        .help("Read all that is kept and check it; the cloud must not be running"),
                ),
        )
        .subcommand(events())
        .subcommand(snapshot())
        .subcommand(clock())
        .subcommand(fault())
        .subcommand(reset())
        .subcommand(images())
        .subcommand(
            Command::new("version")
                .about("Print the version")
                .after_help("Example:\n  cumulet version"),
        )
        .subcommand(
            Command::new("completions")
                .about("Print completions for a shell")
                .after_help(
                    "Examples:\n\
                    \x20\x20source <(cumulet completions bash)\n\
                    \x20\x20cumulet completions zsh > ~/.zfunc/_cumulet\n\
                    \x20\x20cumulet completions fish > ~/.config/fish/completions/cumulet.fish",
                )
                .arg(
                    Arg::new("shell")
                        .required(true)
                        .value_parser(clap::value_parser!(clap_complete::Shell)),
                ),
        )
}

/// Whether a command has connections or processes to see to, and not only something to say.
pub fn serves(name: &str, matches: &ArgMatches) -> bool {
    match name {
        "lab" => matches.subcommand_name() == Some("run"),
        _ => ["up", "shell", "inside", "import", "images"].contains(&name),
    }
}

fn shell() -> Command {
    Command::new("shell")
        .about("Run a command, or a shell, for which the names of AWS lead to this cloud")
        .long_about(
            "Run a command for which the names of AWS lead to the running cloud, with nothing on this \
             machine changed: any client works as it is, old ones too.\n\nThe command sees its own \
             resolv.conf, trusted certificates and credentials. Where ports 53, 80 and 443 cannot be \
             had, it sees its own network too: TCP then leads out of it at ports 22, 80, 443, that of \
             the cloud, and those given with --port. Works as root, and as any user where the \
             system allows user namespaces.",
        )
        .after_help(
            "Examples:\n\
            \x20\x20cumulet shell\n\
            \x20\x20cumulet shell -- aws s3 ls\n\
            \x20\x20cumulet shell --account 111122223333 -- python3 program.py",
        )
        .arg(
            Arg::new("account")
                .long("account")
                .value_name("ACCOUNT")
                .help("Be root of this 12-digit account, in place of the default one"),
        )
        .arg(
            Arg::new("network")
                .long("network")
                .value_name("WHICH")
                .value_parser(["auto", "host", "own"])
                .default_value("auto")
                .help("The host's network or one of its own"),
        )
        .arg(
            Arg::new("port")
                .long("port")
                .value_name("N")
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(u16).range(1..))
                .help("A further port that leads out of a network of its own"),
        )
        .arg(command_words().help("What to run [default: $SHELL]"))
        .args(of_names(&["data", "region", "root_key", "auth"]))
}

fn trust() -> Command {
    let more = || {
        let dry = Arg::new("dry_run").long("dry-run").action(ArgAction::SetTrue);
        let root = Arg::new("root").long("root").value_name("DIR").hide(true);
        let mut all = of_names(&["data", "dns_listen"]);
        all.extend([dry.help("Only say what would be done"), root]);
        all
    };
    Command::new("trust")
        .about("Make this whole machine trust the local authority and find names of AWS here")
        .long_about(
            "Make this whole machine trust the certificates of this cloud and ask it for the names of \
             AWS: a certificate among those that the administrator trusts (Debian, Alpine, Fedora, \
             Arch, SUSE), and a file for systemd-resolved or a line in resolv.conf. `remove` takes \
             back all of it. For one command, `cumulet shell` does without.",
        )
        .subcommand_required(true)
        .subcommand(
            Command::new("install")
                .about("Do so")
                .after_help("Examples:\n  cumulet trust install --dry-run\n  sudo cumulet trust install")
                .args(more()),
        )
        .subcommand(
            Command::new("remove")
                .about("Take it back")
                .after_help("Example:\n  sudo cumulet trust remove")
                .args(more()),
        )
}

fn lab() -> Command {
    let name =
        || Arg::new("name").value_name("NAME").required(true).help("A lab's name, or a file");
    let keep = Arg::new("keep").long("keep").action(ArgAction::SetTrue);
    Command::new("lab")
        .about("Walk through what the cloud can do: read a lab, or let it run")
        .long_about(
            "Labs are texts for a person who learns, with commands and what one should see. They stand \
             in them as they would for AWS; `cumulet shell` is where to type them. `lab run` runs one \
             by itself, against the running cloud or one that it starts, and checks each step.",
        )
        .subcommand_required(true)
        .subcommand(
            Command::new("list")
                .about("Say which there are")
                .after_help("Example:\n  cumulet lab list")
                .args(of_names(&["data"])),
        )
        .subcommand(
            Command::new("show")
                .about("Print one")
                .after_help("Example:\n  cumulet lab show introduction | less")
                .arg(name())
                .args(of_names(&["data"])),
        )
        .subcommand(
            Command::new("run")
                .about("Run the steps of one and check them")
                .after_help(
                    "Ends with 1 where a step did not do what the lab says.\n\
                    \n\
                    Examples:\n\
                    \x20\x20cumulet lab run introduction\n\
                    \x20\x20cumulet lab run --keep ./my-lab.md",
                )
                .arg(name())
                .arg(keep.help("Keep the folder in which it ran"))
                .args(of_names(&["data", "region", "root_key", "auth"])),
        )
}

fn import() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name.replace('_', "-")).value_name(value).help(help)
    };
    let again = Arg::new("again").long("again").action(ArgAction::SetTrue);
    Command::new("import").about("Copy what another service keeps into this cloud").subcommand_required(true).subcommand(
        Command::new("s3")
            .about("Copy buckets of MinIO, LocalStack, AWS or any S3 into the running cloud")
            .long_about(
                "Copy buckets with all versions, metadata, tags, policies, lock state and other \
                 settings. Every object is held against its source. Broken off, it goes on where it \
                 was.\n\nThe source's key is CUMULET_SOURCE_KEY=ID:SECRET in the environment, or \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Access control lists are not copied, \
                 since owners differ, and versions get new ids.",
            )
            .after_help(
                "Examples:\n\
                \x20\x20CUMULET_SOURCE_KEY=ID:SECRET cumulet import s3 --endpoint http://127.0.0.1:9000\n\
                \x20\x20cumulet import s3 --endpoint http://127.0.0.1:4566 --bucket photos --account 111122223333",
            )
            .arg(option("endpoint", "URL", "Where the source is: http://127.0.0.1:9000").required(true))
            .arg(option("bucket", "NAME", "Only this bucket").action(ArgAction::Append))
            .arg(option("source_region", "NAME", "The source's region [default: us-east-1]"))
            .arg(option("account", "ACCOUNT", "Into this 12-digit account"))
            .arg(option("journal", "FILE", "What was copied [default: in the data folder]"))
            .arg(again.help("Forget what was copied, and copy all"))
            .args(of_names(&["data", "listen", "region", "root_key"])),
    )
}

/// What `shell` runs between itself and the command; see `shell::inside`.
fn inside() -> Command {
    Command::new("inside")
        .hide(true)
        .arg(Arg::new("folder").long("folder").required(true))
        .arg(Arg::new("ports").long("ports").required(true))
        .arg(Arg::new("mount").long("mount").action(ArgAction::Append))
        .arg(command_words())
}

fn command_words() -> Arg {
    Arg::new("command")
        .value_name("CMD")
        .last(true)
        .num_args(0..)
        .value_parser(clap::value_parser!(std::ffi::OsString))
}

fn events() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name.replace('_', "-")).action(ArgAction::SetTrue).help(help)
    };
    Command::new("events")
        .about("Show who did what, and what was refused")
        .long_about(
            "Show the audit trail of the running cloud: every change, and the latest reads, failures \
             and denials. A filter looks through the newest million changes.\n\nSigned with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or with \
             test/test. Needs the permission cumulet:ListEvents.",
        )
        .after_help(
            "Examples:\n\
            \x20\x20cumulet events --denied --follow\n\
            \x20\x20cumulet events --service s3 --no-reads --limit 20\n\
            \x20\x20cumulet events --json | jq .eventName",
        )
        .args([
            option("service", "NAME", "Only this service: s3"),
            option("operation", "NAME", "Only this operation: PutObject"),
            option("who", "TEXT", "Only callers whose ARN holds this, or whose key it is"),
            option("account", "ACCOUNT", "Only callers of this account"),
            option("since", "TIME", "From then on: 2026-11-20T17:30:00Z"),
            option("limit", "N", "The newest N [default: 100]"),
            flag("denied", "Only what was denied"),
            flag("failed", "Only what failed"),
            flag("no_reads", "Without reads"),
            flag("follow", "Go on showing what comes"),
            flag("json", "A CloudTrail record in JSON on each line"),
        ])
        .args(of_names(&["data", "listen", "region", "root_key"]))
}

fn snapshot() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("The snapshot's name");
    let to = || {
        let to = Arg::new("to").long("to").value_name("DIR").required(true);
        to.value_hint(ValueHint::DirPath).help("The new folder, empty or absent")
    };
    let whose = || of_names(&["data", "listen", "region", "root_key"]);
    Command::new("snapshot")
        .about("Save the whole state under a name, list what was saved, restore it elsewhere")
        .subcommand_required(true)
        .subcommand(
            Command::new("save")
                .about("Save, while the cloud runs or rests")
                .after_help(
                    "Example:\n\
                    \x20\x20cumulet snapshot save before-the-upgrade",
                )
                .arg(name())
                .args(whose()),
        )
        .subcommand(
            Command::new("restore")
                .about("Make a new data folder out of a snapshot")
                .after_help(
                    "Example:\n\
                    \x20\x20cumulet snapshot restore before-the-upgrade --to ./old && cumulet up --data ./old",
                )
                .arg(name())
                .arg(to())
                .args(whose()),
        )
        .subcommand(
            Command::new("fork")
                .about("Make a new data folder out of the state as it is now, while the cloud runs or rests")
                .after_help(
                    "Example:\n\
                    \x20\x20cumulet snapshot fork --to ./try && cumulet up --data ./try --listen 127.0.0.1:0",
                )
                .arg(to())
                .args(whose()),
        )
        .subcommand(
            Command::new("remove")
                .about("Forget a snapshot")
                .after_help("Example:\n  cumulet snapshot remove before-the-upgrade")
                .arg(name())
                .args(whose()),
        )
        .subcommand(
            Command::new("list")
                .about("List snapshots")
                .after_help("Example:\n  cumulet snapshot list")
                .args(whose()),
        )
}

fn clock() -> Command {
    let whose = || of_names(&["data", "listen", "region", "root_key"]);
    Command::new("clock")
        .about("Show the cloud's clock, or move it: to see what a month does")
        .long_about(
            "Show the running cloud's clock, or move it. Lifecycle rules, times to live, expiring \
             sessions and all else in the cloud go by it; signatures go by the clock outside. It only \
             goes forward, and a restart keeps it.\n\nMoving it needs the permission cumulet:SetClock.",
        )
        .args(whose())
        .subcommand(
            Command::new("advance")
                .about("Make it later by a duration: 31d, 12h, 15m, 90s, 1d12h")
                .after_help(
                    "Example:\n\
                    \x20\x20cumulet clock advance 31d",
                )
                .arg(Arg::new("duration").value_name("DURATION").required(true))
                .args(whose()),
        )
        .subcommand(
            Command::new("set")
                .about("Stop it at a time to come: 2026-12-24T18:00:00Z")
                .after_help(
                    "Example:\n\
                    \x20\x20cumulet clock set 2026-12-24T18:00:00Z",
                )
                .arg(Arg::new("time").value_name("TIME").required(true))
                .args(whose()),
        )
        .subcommand(
            Command::new("run")
                .about("Let it go on from where it stands")
                .after_help("Example:\n  cumulet clock run")
                .args(whose()),
        )
}

fn fault() -> Command {
    let whose = || of_names(&["data", "listen", "region", "root_key"]);
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("fault")
        .about("Let operations fail or be slow, to see what a client does about it")
        .long_about(
            "Let operations of the running cloud fail or be slow, after the caller was found to be \
             allowed, in place of being done. The errors are those that the service has; the answer \
             says in x-cumulet-fault which fault it was. Kept over a restart, until removed or reset.\n\n\
             Needs the permissions cumulet:CreateFault, cumulet:ListFaults, cumulet:DeleteFault.",
        )
        .subcommand_required(true)
        .subcommand(
            Command::new("add")
                .about("Add one: cumulet fault add dynamodb:PutItem --error ThrottlingException --rate 0.2")
                .after_help(
                    "Examples:\n\
                    \x20\x20cumulet fault add dynamodb:PutItem --error ThrottlingException --rate 0.2\n\
                    \x20\x20cumulet fault add \"s3:Get*\" --latency 200ms --times 10",
                )
                .arg(
                    Arg::new("selector")
                        .value_name("SERVICE:OPERATION")
                        .required_unless_present("partition")
                        .help("What it is about: s3:GetObject, s3:Get*, s3:*"),
                )
                .args([
                    option("error", "CODE", "Answer with this error, as SlowDown"),
                    option("rate", "SHARE", "Of so many requests, chosen by chance: 0.2 [default: 1]"),
                    option("latency", "DURATION", "Wait so long first: 200ms"),
                    option("times", "N", "End after so many"),
                    option("seed", "N", "The same requests each time"),
                    option("account", "ACCOUNT", "Only requests of this account [default: of all]"),
                    option("partition", "A,B", "In place of all that: two containers that do not reach each other")
                        .conflicts_with_all(["selector", "error", "rate", "latency", "times", "seed", "account"]),
                ])
                .args(whose()),
        )
        .subcommand(
            Command::new("list")
                .about("Say which there are")
                .after_help("Example:\n  cumulet fault list")
                .args(whose()),
        )
        .subcommand(
            Command::new("remove")
                .about("Remove one, or all")
                .after_help(
                    "Example:\n\
                    \x20\x20cumulet fault remove all",
                )
                .arg(Arg::new("id").value_name("ID|all").required(true))
                .args(whose()),
        )
}

fn reset() -> Command {
    let yes = Arg::new("yes").long("yes").short('y').action(ArgAction::SetTrue);
    Command::new("reset")
        .about("Empty the running cloud, or an account of it, all at once")
        .long_about(
            "Empty the running cloud all at once: objects, tables, users, containers with their volumes and \
             networks, images. What stays are the audit trail, the clock, snapshots and the local \
             authority. With --account, only what belongs to that account, so no containers.\n\nNeeds the \
             permission cumulet:ResetCloud, or cumulet:ResetAccount, which every account's root has for \
             its own.",
        )
        .after_help(
            "Examples:\n\
            \x20\x20cumulet reset\n\
            \x20\x20cumulet reset --account 111122223333 --yes",
        )
        .arg(
            Arg::new("account")
                .long("account")
                .value_name("ACCOUNT")
                .help("Only this 12-digit account"),
        )
        .arg(yes.help("Do not ask first"))
        .args(of_names(&["data", "listen", "region", "root_key"]))
}

fn images() -> Command {
    Command::new("images")
        .about("Make images without a registry")
        .subcommand_required(true)
        .subcommand(
            Command::new("bootstrap")
                .about("Build a small base image from this machine's packages")
                .after_help(
                    "Example:\n\
                    \x20\x20cumulet images bootstrap alpine && docker run --rm alpine echo hello",
                )
                .arg(
                    Arg::new("name")
                        .value_name("NAME")
                        .required(true)
                        .value_parser(["alpine", "busybox", "debian", "hello-world"])
                        .help("Which one"),
                )
                .arg(
                    Arg::new("tag")
                        .long("tag")
                        .value_name("NAME[:TAG]")
                        .help("What to call it, in place of its own name"),
                )
                .args(of_names(&["data", "docker_socket"])),
        )
}

fn up_args() -> Vec<Arg> {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .help("A TOML file with settings");
    let ephemeral = Arg::new("ephemeral").long("ephemeral").action(ArgAction::SetTrue).help(
        "For a test: keep all in memory, take a free port, say which in a line of JSON, end with the \
         parent process",
    );
    let from =
        Arg::new("from").long("from").value_name("SNAPSHOT").requires("ephemeral").help(
            "Begin with this snapshot, by its name or the path of its folder; it stays as it is",
        );
    let mut args: Vec<Arg> = KEYS.iter().map(of_key).collect();
    // What a lab starts leaves nothing behind.
    let end = Arg::new("end_containers").long("end-containers").action(ArgAction::SetTrue);
    args.extend([config, ephemeral, from, end.hide(true)]);
    args
}

/// The flags of some settings, for commands that look for a running cloud.
fn of_names(names: &[&str]) -> Vec<Arg> {
    KEYS.iter().filter(|key| names.contains(&key.name)).map(of_key).collect()
}

fn of_key(key: &'static settings::Key) -> Arg {
    let help = match key.default {
        "" => key.help.to_owned(),
        default => format!("{} [default: {default}]", key.help),
    };
    let hint = match key.value {
        "DIR" => ValueHint::DirPath,
        "FILE" => ValueHint::FilePath,
        _ => ValueHint::Other,
    };
    Arg::new(key.name)
        .long(key.name.replace('_', "-"))
        .value_name(key.value)
        .value_hint(hint)
        .action(if key.many { ArgAction::Append } else { ArgAction::Set })
        .help(help)
}

/// Settings from all sources.
#[allow(clippy::disallowed_methods, reason = "the one place that reads environment and file")]
pub fn settings(matches: &ArgMatches) -> Result<Settings, Failure> {
    let mut matches = matches;
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    let mut all = Settings::default();
    let usage = |error: settings::SettingError| Failure::new(exit::USAGE, error.0);
    let given = value(matches, "config").or_else(|| variable("CUMULET_CONFIG"));
    let path = match &given {
        Some(path) => Some(PathBuf::from(path)),
        None => default_config(),
    };
    if let Some(path) = path {
        match std::fs::read_to_string(&path) {
            Ok(text) => all.read_toml(&path, &text).map_err(usage)?,
            Err(error) if given.is_some() => {
                return Err(Failure::new(exit::USAGE, format!("{}: {error}", path.display())));
            }
            Err(_) => {}
        }
    }
    all.read_variables(variable);
    for key in KEYS {
        if !matches!(matches.try_contains_id(key.name), Ok(true)) {
            continue;
        }
        let values: Vec<String> =
            matches.get_many::<String>(key.name).into_iter().flatten().cloned().collect();
        // `doctor --data` alone says which check to make, not where.
        if values.is_empty() {
            continue;
        }
        all.set(key, values, Source::Flag);
    }
    Ok(all)
}

/// Says something to a person, and nothing to a program that reads what is printed.
pub fn remark(text: &str) {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() {
        eprintln!("{text}");
    }
}

pub fn value(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.try_get_one::<String>(name).ok().flatten().cloned()
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// All of them that are text.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn variables() -> std::collections::BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn default_config() -> Option<PathBuf> {
    let home = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")))?;
    Some(home.join("cumulet/config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that do something by themselves, with the words by which they are called.
    fn leaves(command: &Command, words: &str, out: &mut Vec<(String, Command)>) {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let words = format!("{words} {}", inner.get_name());
            if inner.has_subcommands() {
                leaves(inner, &words, out);
            } else {
                out.push((words, inner.clone()));
            }
        }
    }

    #[test]
    fn every_command_shows_how_it_is_used() {
        let mut all = Vec::new();
        leaves(&command(), "cumulet", &mut all);
        assert!(all.len() > 25, "{}", all.len());
        for (words, command) in all {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(text.contains(&words), "`{words} --help` gives no example");
            // What the examples say is what the command takes.
            for line in text.lines().filter_map(|line| line.strip_prefix("  cumulet ")) {
                let line = line.split(['|', '>', '&', '<']).next().unwrap_or_default();
                let given = line.split_whitespace().map(|word| word.trim_matches('"'));
                let tried =
                    super::command().try_get_matches_from(std::iter::once("cumulet").chain(given));
                assert!(
                    tried.is_ok(),
                    "{line}: {}",
                    tried.err().map_or_else(String::new, |e| e.to_string())
                );
            }
        }
    }
}
