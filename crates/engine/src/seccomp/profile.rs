//! Profiles of the client's own (`--security-opt seccomp=FILE`), in Docker's form, made into a program.
//!
//! As with libseccomp: a rule without conditions beats those with conditions for the same call; of others
//! the first whose conditions all hold decides; conditions on one argument twice are alternatives. Names
//! that this kernel does not know are passed over.
//!
//! Deliberately absent: programs of other ABIs (32-bit, x32). Their calls are refused, whatever a profile
//! says of them. Actions that ask another process (`SCMP_ACT_NOTIFY`) are refused by name.

use super::{
    ALLOW, ARCH, AT_ARCH, AT_NUMBER, ENOSYS, EPERM, ERRNO, Instruction, JUMP_IF_AT_LEAST,
    JUMP_IF_EQUAL, JUMP_IF_GREATER, LOAD, RETURN, names,
};
use crate::caps;
use crate::config::nullable;
use crate::error::{Error, Kind};
use serde::Deserialize;
use std::collections::BTreeMap;

const AND: u16 = super::AND;
/// Numbers from here on are of the x32 ABI.
const X32: u32 = 0x4000_0000;
/// What the kernel takes.
const INSTRUCTIONS_MAX: usize = 4096;
pub(crate) const BYTES_MAX: usize = 1 << 20;

#[cfg(target_arch = "x86_64")]
const NAMES: &[(u32, &str)] = names::X86_64;
#[cfg(target_arch = "aarch64")]
const NAMES: &[(u32, &str)] = names::AARCH64;

/// As profiles name this machine: in `archMap`, and in conditions.
#[cfg(target_arch = "x86_64")]
const OWN: (&str, &str) = ("SCMP_ARCH_X86_64", "amd64");
#[cfg(target_arch = "aarch64")]
const OWN: (&str, &str) = ("SCMP_ARCH_AARCH64", "arm64");

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(deserialize_with = "nullable")]
    architectures: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    arch_map: Vec<Architecture>,
    #[serde(deserialize_with = "nullable")]
    flags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    listener_path: String,
    #[serde(deserialize_with = "nullable")]
    syscalls: Vec<Rule>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Architecture {
    architecture: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(deserialize_with = "nullable")]
    args: Vec<Condition>,
    #[serde(deserialize_with = "nullable")]
    includes: Filter,
    #[serde(deserialize_with = "nullable")]
    excludes: Filter,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    #[serde(deserialize_with = "nullable")]
    caps: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    arches: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    min_kernel: String,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// What is known of the process and the machine.
struct Given<'a> {
    held: &'a [u8],
    /// Of the kernel: first and second number.
    kernel: (u32, u32),
}

/// The program of a profile, for a process that holds these capabilities.
pub fn filter(text: &str, held: &[u8]) -> Result<Vec<Instruction>, Error> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let kernel = version(&release).unwrap_or_default();
    compile(text, &Given { held, kernel })
}

fn wrong(text: impl std::fmt::Display) -> Error {
    Error::invalid(format!("Decoding seccomp profile failed: {text}"))
}

fn compile(text: &str, given: &Given<'_>) -> Result<Vec<Instruction>, Error> {
    if text.len() > BYTES_MAX {
        return Err(wrong("it is too long"));
    }
    let profile: Profile = serde_json::from_str(text).map_err(wrong)?;
    check(&profile)?;
    let default = action(&profile.default_action, profile.default_errno_ret)?;
    let mut always: BTreeMap<u32, u32> = BTreeMap::new();
    let mut sometimes: BTreeMap<u32, Vec<(Vec<Condition>, u32)>> = BTreeMap::new();
    for rule in &profile.syscalls {
        if !rule.name.is_empty() && !rule.names.is_empty() {
            return Err(Error::invalid(
                "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'",
            ));
        }
        let verdict = action(&rule.action, rule.errno_ret.or(profile.default_errno_ret))?;
        let ways = ways(&rule.args)?;
        if !applies(rule, given)? {
            continue;
        }
        for name in rule.names.iter().chain(Some(&rule.name)).filter(|name| !name.is_empty()) {
            let Some(number) = number(name) else { continue };
            match ways.is_empty() {
                true => drop(always.entry(number).or_insert(verdict)),
                false => {
                    let own = sometimes.entry(number).or_default();
                    own.extend(ways.iter().map(|way| (way.clone(), verdict)));
                }
            }
        }
    }
    sometimes.retain(|number, _| !always.contains_key(number));
    let out = program(default, &always, &sometimes)?;
    match out.len() > INSTRUCTIONS_MAX {
        true => Err(wrong("it has too many rules")),
        false => Ok(out),
    }
}

fn check(profile: &Profile) -> Result<(), Error> {
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err(Error::invalid(
            "'architectures' and 'archMap' were specified in the seccomp profile, use either \
             'architectures' or 'archMap'",
        ));
    }
    let not_done = |what: &str| Error::new(Kind::NotDone, format!("seccomp {what} is not done"));
    if !profile.listener_path.is_empty() {
        return Err(not_done("listenerPath"));
    }
    // One thread has nothing to bring in step with.
    if let Some(flag) = profile.flags.iter().find(|flag| *flag != "SECCOMP_FILTER_FLAG_TSYNC") {
        return Err(not_done(&format!("flag {flag}")));
    }
    let named =
        |list: &[Architecture]| list.is_empty() || list.iter().any(|one| one.architecture == OWN.0);
    let listed =
        profile.architectures.is_empty() || profile.architectures.iter().any(|one| one == OWN.0);
    match named(&profile.arch_map) && listed {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the seccomp profile is for other machines than this one ({})",
            OWN.0
        ))),
    }
}

fn action(name: &str, errno: Option<u32>) -> Result<u32, Error> {
    let errno = errno.unwrap_or(EPERM);
    if errno > 4095 {
        return Err(wrong(format!("errnoRet {errno} is no error number")));
    }
    Ok(match name {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_ERRNO" => ERRNO | errno,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_NOTIFY" => {
            return Err(Error::new(Kind::NotDone, "seccomp action SCMP_ACT_NOTIFY is not done"));
        }
        other => return Err(wrong(format!("invalid seccomp action: {other:?}"))),
    })
}

/// Conditions that have to hold together; several lists are alternatives.
fn ways(args: &[Condition]) -> Result<Vec<Vec<Condition>>, Error> {
    let mut seen = [0; 6];
    for arg in args {
        match seen.get_mut(arg.index as usize) {
            Some(count) => *count += 1,
            None => return Err(wrong(format!("no call has an argument {}", arg.index))),
        }
        let known = [
            "SCMP_CMP_NE",
            "SCMP_CMP_LT",
            "SCMP_CMP_LE",
            "SCMP_CMP_EQ",
            "SCMP_CMP_GE",
            "SCMP_CMP_GT",
            "SCMP_CMP_MASKED_EQ",
        ];
        if !known.contains(&arg.op.as_str()) {
            return Err(wrong(format!("invalid operator: {:?}", arg.op)));
        }
    }
    Ok(match (args.is_empty(), seen.iter().any(|count| *count > 1)) {
        (true, _) => Vec::new(),
        (false, true) => args.iter().map(|arg| vec![arg.clone()]).collect(),
        (false, false) => vec![args.to_vec()],
    })
}

fn applies(rule: &Rule, given: &Given<'_>) -> Result<bool, Error> {
    let holds =
        |name: &String| caps::number(name).is_some_and(|number| given.held.contains(&number));
    let newer = |text: &str| -> Result<bool, Error> {
        let wanted = version(text).ok_or_else(|| wrong(format!("invalid kernel: {text:?}")))?;
        Ok(given.kernel >= wanted)
    };
    let (with, without) = (&rule.includes, &rule.excludes);
    let own = |list: &[String]| list.iter().any(|name| name == OWN.1);
    if !(with.arches.is_empty() || own(&with.arches)) || own(&without.arches) {
        return Ok(false);
    }
    if !with.caps.iter().all(holds) || without.caps.iter().any(holds) {
        return Ok(false);
    }
    if !with.min_kernel.is_empty() && !newer(&with.min_kernel)? {
        return Ok(false);
    }
    Ok(without.min_kernel.is_empty() || !newer(&without.min_kernel)?)
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn number(name: &str) -> Option<u32> {
    NAMES.iter().find_map(|(first, names)| {
        let at = names.split(' ').position(|own| own == name)?;
        Some(first + at as u32)
    })
}

fn program(
    default: u32,
    always: &BTreeMap<u32, u32>,
    sometimes: &BTreeMap<u32, Vec<(Vec<Condition>, u32)>>,
) -> Result<Vec<Instruction>, Error> {
    let mut out = vec![
        (LOAD, 0, 0, AT_ARCH),
        (JUMP_IF_EQUAL, 1, 0, ARCH),
        (RETURN, 0, 0, ERRNO | EPERM),
        (LOAD, 0, 0, AT_NUMBER),
        (JUMP_IF_AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, ERRNO | ENOSYS),
    ];
    for (number, rules) in sometimes {
        for (conditions, verdict) in rules {
            let mut block = Vec::new();
            // From the last one up, so that each knows how far it is to the end.
            block.push((RETURN, 0, 0, *verdict));
            for condition in conditions.iter().rev() {
                let mut one = test(condition, block.len())?;
                one.append(&mut block);
                block = one;
            }
            let length = u8::try_from(block.len()).map_err(|_| wrong("a rule is too long"))?;
            out.push((LOAD, 0, 0, AT_NUMBER));
            out.push((JUMP_IF_EQUAL, 0, length, *number));
            out.append(&mut block);
        }
    }
    if !sometimes.is_empty() {
        out.push((LOAD, 0, 0, AT_NUMBER));
    }
    let mut runs: Vec<(u32, u32, u32)> = Vec::new();
    for (number, verdict) in always.iter().filter(|(_, verdict)| **verdict != default) {
        match runs.last_mut() {
            Some((_, last, same)) if *last + 1 == *number && same == verdict => *last = *number,
            _ => runs.push((*number, *number, *verdict)),
        }
    }
    for (first, last, verdict) in runs {
        if first == last {
            out.push((JUMP_IF_EQUAL, 0, 1, first));
        } else {
            out.push((JUMP_IF_AT_LEAST, 0, 2, first));
            out.push((JUMP_IF_GREATER, 1, 0, last));
        }
        out.push((RETURN, 0, 0, verdict));
    }
    out.push((RETURN, 0, 0, default));
    Ok(out)
}

/// Falls through if the condition holds, else jumps over so many instructions that follow it.
fn test(condition: &Condition, rest: usize) -> Result<Vec<Instruction>, Error> {
    let low = super::at_argument(condition.index);
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let (high_value, low_value) = halves(condition.value);
    // How far from the instruction at `at` of `length` to behind the rest, and to the rest.
    let far = |length: usize, at: usize| {
        u8::try_from(length - at - 1 + rest).map_err(|_| wrong("a rule is too long"))
    };
    let near = |length: usize, at: usize| (length - at - 1) as u8;
    let equal = |high: u32, low_wanted: u32| -> Result<Vec<Instruction>, Error> {
        Ok(vec![
            (LOAD, 0, 0, low + 4),
            (JUMP_IF_EQUAL, 0, far(4, 1)?, high),
            (LOAD, 0, 0, low),
            (JUMP_IF_EQUAL, 0, far(4, 3)?, low_wanted),
        ])
    };
    // `value` compared by `code`, as whole numbers; `is` says which answer holds.
    let ordered = |code: u16, is: bool| -> Result<Vec<Instruction>, Error> {
        let (above, below) = match is {
            true => (near(5, 1), far(5, 2)?),
            false => (far(5, 1)?, near(5, 2)),
        };
        let last = match is {
            true => (code, 0, far(5, 4)?, low_value),
            false => (code, far(5, 4)?, 0, low_value),
        };
        Ok(vec![
            (LOAD, 0, 0, low + 4),
            (JUMP_IF_GREATER, above, 0, high_value),
            (JUMP_IF_EQUAL, 0, below, high_value),
            (LOAD, 0, 0, low),
            last,
        ])
    };
    match condition.op.as_str() {
        "SCMP_CMP_EQ" => equal(high_value, low_value),
        "SCMP_CMP_NE" => Ok(vec![
            (LOAD, 0, 0, low + 4),
            (JUMP_IF_EQUAL, 0, near(4, 1), high_value),
            (LOAD, 0, 0, low),
            (JUMP_IF_EQUAL, far(4, 3)?, 0, low_value),
        ]),
        "SCMP_CMP_GT" => ordered(JUMP_IF_GREATER, true),
        "SCMP_CMP_GE" => ordered(JUMP_IF_AT_LEAST, true),
        "SCMP_CMP_LE" => ordered(JUMP_IF_GREATER, false),
        "SCMP_CMP_LT" => ordered(JUMP_IF_AT_LEAST, false),
        _ => {
            let (high_wanted, low_wanted) = halves(condition.value_two);
            Ok(vec![
                (LOAD, 0, 0, low + 4),
                (AND, 0, 0, high_value),
                (JUMP_IF_EQUAL, 0, far(6, 2)?, high_wanted),
                (LOAD, 0, 0, low),
                (AND, 0, 0, low_value),
                (JUMP_IF_EQUAL, 0, far(6, 5)?, low_wanted),
            ])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::tests::run_with;

    fn given(held: &[u8]) -> Given<'_> {
        Given { held, kernel: (6, 1) }
    }

    #[track_caller]
    fn check(profile: &str, held: &[u8], call: libc::c_long, arguments: [u64; 6], expected: u32) {
        let filter = compile(profile, &given(held)).unwrap();
        assert_eq!(
            run_with(&filter, ARCH, call as u32, arguments),
            expected,
            "{call} {arguments:?}"
        );
    }

    #[test]
    fn names_and_numbers() {
        for (name, is) in [
            ("read", libc::SYS_read),
            ("openat2", libc::SYS_openat2),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("mseal", libc::SYS_mseal),
        ] {
            assert_eq!(number(name), Some(is as u32), "{name}");
        }
        assert_eq!(number("no_such_call"), None);
        assert_eq!(number(""), None);
        for table in [names::X86_64, names::AARCH64] {
            let mut at = 0;
            for (first, names) in table {
                assert!(*first >= at);
                at = first + names.split(' ').count() as u32;
            }
        }
    }

    #[test]
    fn a_list_of_what_is_refused() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","mkdirat","unknown_to_us"],"action":"SCMP_ACT_ERRNO"},
            {"name":"chroot","action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["sync"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#;
        check(profile, &[], libc::SYS_mkdirat, [0; 6], ERRNO | EPERM);
        check(profile, &[], libc::SYS_chroot, [0; 6], ERRNO | 38);
        check(profile, &[], libc::SYS_sync, [0; 6], 0x8000_0000);
        check(profile, &[], libc::SYS_read, [0; 6], ALLOW);
        // Another door to the same calls stays shut.
        check(profile, &[], libc::SYS_mkdirat | X32 as libc::c_long, [0; 6], ERRNO | ENOSYS);
        let filter = compile(profile, &given(&[])).unwrap();
        assert_eq!(run_with(&filter, 0x4000_0003, 3, [0; 6]), ERRNO | EPERM);
    }

    #[test]
    fn conditions() {
        let wide: u64 = 0x1_0000_0005;
        let all: [(&str, u64, Vec<u64>, Vec<u64>); 7] = [
            ("EQ", 0, vec![wide], vec![5, 0x1_0000_0004, 0x2_0000_0005]),
            ("NE", 0, vec![5, 0, 0x2_0000_0005], vec![wide]),
            ("GT", 0, vec![wide + 1, 0x2_0000_0000], vec![wide, 5, 6]),
            ("GE", 0, vec![wide, wide + 1, 0x2_0000_0000], vec![wide - 1, 9]),
            ("LT", 0, vec![wide - 1, 9], vec![wide, 0x2_0000_0000]),
            ("LE", 0, vec![wide, 9, 0xffff_ffff], vec![wide + 1, 0x2_0000_0000]),
            (
                "MASKED_EQ",
                0x1_0000_0001,
                vec![0x1_0000_0001, 0x3_0000_0003],
                vec![1, 0x1_0000_0000, wide],
            ),
        ];
        for (op, two, holds, fails) in all {
            let profile = format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,"syscalls":[
                {{"names":["write"],"action":"SCMP_ACT_ALLOW",
                "args":[{{"index":2,"value":{wide},"valueTwo":{two},"op":"SCMP_CMP_{op}"}},
                        {{"index":0,"value":1,"op":"SCMP_CMP_EQ"}}]}}]}}"#
            );
            for value in holds {
                check(&profile, &[], libc::SYS_write, [1, 0, value, 0, 0, 0], ALLOW);
                check(&profile, &[], libc::SYS_write, [2, 0, value, 0, 0, 0], ERRNO | 13);
            }
            for value in fails {
                check(&profile, &[], libc::SYS_write, [1, 0, value, 0, 0, 0], ERRNO | 13);
            }
        }
    }

    #[test]
    fn alternatives_and_what_beats_them() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
              {"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]},
            {"names":["kill"],"action":"SCMP_ACT_LOG","args":[{"index":1,"value":9,"op":"SCMP_CMP_EQ"}]},
            {"names":["kill"],"action":"SCMP_ACT_ALLOW"}]}"#;
        for (value, expected) in [(0, ALLOW), (8, ALLOW), (4, ERRNO | EPERM)] {
            check(profile, &[], libc::SYS_personality, [value, 0, 0, 0, 0, 0], expected);
        }
        check(profile, &[], libc::SYS_kill, [0, 9, 0, 0, 0, 0], ALLOW);
    }

    #[test]
    fn who_and_where_decide() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":null}],"syscalls":[
            {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["chroot"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_CHROOT"]}},
            {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
            {"names":["sync"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"7.0"}},
            {"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390x"]}}]}"#;
        check(profile, &[21], libc::SYS_mount, [0; 6], ALLOW);
        check(profile, &[], libc::SYS_mount, [0; 6], ERRNO | EPERM);
        check(profile, &[18], libc::SYS_chroot, [0; 6], ERRNO | EPERM);
        check(profile, &[], libc::SYS_chroot, [0; 6], ALLOW);
        check(profile, &[], libc::SYS_ptrace, [0; 6], ALLOW);
        check(profile, &[], libc::SYS_sync, [0; 6], ERRNO | EPERM);
        check(profile, &[], libc::SYS_read, [0; 6], ERRNO | EPERM);
    }

    #[test]
    fn what_is_no_profile() {
        for (text, part) in [
            ("", "Decoding seccomp profile failed"),
            ("/etc/profile.json", "Decoding seccomp profile failed"),
            ("{}", "invalid seccomp action"),
            (r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "SCMP_ACT_MAYBE"),
            (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, "not done"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"]}"#,
                "FLAG_LOG",
            ),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#, "5000"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_S390X"]}"#,
                "other machines",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["a"],"archMap":[{"architecture":"a"}]}"#,
                "use either 'architectures' or 'archMap'",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}"#,
                "use either 'name' or 'names'",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
                "argument 6",
            ),
        ] {
            let error = compile(text, &given(&[])).unwrap_err();
            assert!(error.text.contains(part), "{text}: {error}");
        }
    }

    /// Any bytes: an answer, and a program that the kernel would take.
    #[test]
    fn noise() {
        let good = br#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":77,"valueTwo":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize
        };
        for _ in 0..20_000 {
            let mut text = good.to_vec();
            for _ in 0..1 + next() % 4 {
                let at = next() % text.len();
                text[at] = b"0123456789\"{}[],:SCMP_ACT"[next() % 25];
            }
            let Ok(filter) = compile(&String::from_utf8_lossy(&text), &given(&[])) else {
                continue;
            };
            run_with(&filter, ARCH, next() as u32 % 500, [next() as u64; 6]);
        }
    }
}
