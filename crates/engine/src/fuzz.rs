//! What the fuzz target runs, and a unit test from a fixed seed: any text as what a client wants of a
//! container, up to where the engine would begin to make it.

use crate::config::CreateRequest;
use crate::launch::{Security, list};
use crate::validate::{parse_port, parse_size, signal};
use crate::{caps, container, hierarchy, logs, seccomp, time, validate};

/// The document of a new container.
pub fn fuzz_create(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<CreateRequest>(data) else { return };
    let host = &request.host_config;
    if validate::create(&request).is_ok() {
        let ports = request.config.exposed_ports.keys().chain(host.port_bindings.keys());
        assert!(ports.into_iter().all(|port| parse_port(port).is_ok()));
    }
    if let Ok(held) = caps::of_container(host.privileged, list(&host.cap_add), list(&host.cap_drop))
    {
        assert!(held.iter().all(|cap| *cap < 64));
    }
    let _ = Security::parse(host);
    container::mounts::fuzz(&request);
    let text = serde_json::to_vec(&request).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<CreateRequest>(&text).ok().as_ref(), Some(&request));
}

/// A seccomp profile of the client's own. What comes of it is a program that the kernel takes by its length.
pub fn fuzz_seccomp(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Ok(program) = seccomp::profile::filter(text, &[]) {
        assert!((1..=4096).contains(&program.len()));
    }
}

/// The small texts of options, and a line of a log.
pub fn fuzz_option(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Some(ns) = time::parse_rfc3339(text) {
        assert_eq!(time::parse_rfc3339(&time::rfc3339_nano(ns)), Some(ns), "{text}");
    }
    let _ = (parse_size(text), parse_port(text), signal(text));
    logs::fuzz(text);
    let _ = hierarchy::Hierarchies::parse(text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn noise_in_documents() {
        let seeds: [&[u8]; 2] = [
            br#"{"Image":"a","Env":["A=b"],"ExposedPorts":{"80/tcp":{}},"HostConfig":{"Binds":["/a:/b:ro,z","v:/c"],"CapAdd":["ALL"],"CapDrop":["NET_RAW"],"SecurityOpt":["no-new-privileges","seccomp=unconfined"],"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8000-8010"}]}}}"#,
            br#"{"Image":"a","HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1,"Mode":1023}},{"Type":"volume","Source":"v","Target":"/v"}],"Tmpfs":{"/run":"size=10m,mode=1777"},"Memory":1,"NanoCpus":1,"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}]}}"#,
        ];
        let words: [&[u8]; 8] =
            [b"null", b"-1", b"9223372036854775807", b"../", b":", b"\"", b"ALL", b"\\u0000"];
        base::noise::run(5, 20_000, &seeds, &words, super::fuzz_create);
    }

    #[test]
    fn noise_in_profiles() {
        let seeds: [&[u8]; 2] = [
            br#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}],"excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#,
            br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"mkdir","action":"SCMP_ACT_KILL_PROCESS","args":[{"index":1,"value":1,"op":"SCMP_CMP_GE"},{"index":1,"value":18446744073709551615,"op":"SCMP_CMP_NE"}],"includes":{"minKernel":"4.8"}}]}"#,
        ];
        let words: [&[u8]; 8] = [
            b"18446744073709551615",
            b"-1",
            b"\"SCMP_CMP_LT\"",
            b"null",
            b"6",
            b"[]",
            b"\"SCMP_ACT_TRACE\"",
            b"4.99999999999",
        ];
        base::noise::run(9, 20_000, &seeds, &words, super::fuzz_seccomp);
    }

    #[test]
    fn noise_in_options() {
        let seeds: [&[u8]; 7] = [
            b"2026-11-20T17:30:00.123456789Z",
            b"2026-11-20T17:30:00+02:00",
            b"10m",
            b"8080/udp",
            b"SIGRTMIN+3",
            br#"{"log":"a\n","stream":"stdout","time":"2026-11-20T17:30:00Z"}"#,
            b"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw",
        ];
        let words: [&[u8]; 6] = [b"9999", b"+", b"-", b"99999999999999999", b"ki", b"."];
        base::noise::run(6, 40_000, &seeds, &words, super::fuzz_option);
    }
}
