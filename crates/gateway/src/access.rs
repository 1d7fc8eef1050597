//! Who may use a well-known pair.
//!
//! Everybody knows `test`/`test`, so the pair must be worth nothing to whoever is not the person at
//! this machine: a web page (which can make the browser send requests to localhost, or have its own
//! name resolved to 127.0.0.1), or a container (whose requests come from a bridge address).

use crate::head::Head;
use crate::host;
use std::net::IpAddr;

/// What is allowed, as configured.
#[derive(Clone, Default, Debug)]
pub(crate) struct LocalRules {
    /// `scheme://host[:port]` of pages that may act with well-known pairs.
    pub origins: Vec<String>,
    pub host_names: Vec<String>,
    /// Whoever reaches the port counts as this machine; web pages still do not.
    pub open: bool,
}

impl LocalRules {
    pub fn is_allowed_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin)
    }

    /// `Err` says why not, to follow "because". `reads_object` is true for requests that can change
    /// nothing and whose answer a page cannot look into: GET and HEAD of S3.
    pub fn check(&self, peer: IpAddr, head: &Head<'_>, reads_object: bool) -> Result<(), String> {
        if !self.open && !host::is_loopback(peer) {
            return Err(format!("the request comes from {peer}, not from this machine itself"));
        }
        if !self.open && !host::is_own(&head.host, &self.host_names) {
            let host = shown(&head.host);
            return Err(format!(
                "the Host header names {host}, which is neither a loopback name nor one of ours \
                 (--host-name adds one)"
            ));
        }
        if head.headers.iter().any(|(name, _)| *name == "origin") {
            return self.check_origins(head);
        }
        match head.text("sec-fetch-site") {
            // Typed into a browser's address bar.
            Some("none") => Ok(()),
            None => check_browser(head, reads_object),
            Some("same-site" | "same-origin") if reads_object && !is_script(head) => Ok(()),
            Some(_) => Err("a web page made the request (--allow-origin permits one)".to_owned()),
        }
    }

    /// Every one that is given must be allowed.
    fn check_origins(&self, head: &Head<'_>) -> Result<(), String> {
        for (_, value) in head.headers.iter().filter(|(name, _)| *name == "origin") {
            let origin = String::from_utf8_lossy(value);
            if !self.is_allowed_origin(&origin) {
                let origin = shown(&origin);
                return Err(format!(
                    "a web page of the origin {origin} made the request (--allow-origin permits one)"
                ));
            }
        }
        Ok(())
    }
}

/// A browser names who asks only where it trusts the way: over TLS, or where nobody else can be, which
/// some never do. What it calls itself a page cannot change.
fn check_browser(head: &Head<'_>, reads_object: bool) -> Result<(), String> {
    let is_browser = head.text("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/"));
    if !is_browser || (reads_object && host::is_trustworthy(&head.host)) {
        return Ok(());
    }
    let host = shown(&head.host);
    Err(format!(
        "a browser made the request without saying for which page (it says so to localhost and over \
         https, not to http://{host})"
    ))
}

fn is_script(head: &Head<'_>) -> bool {
    !matches!(head.text("sec-fetch-mode"), Some("navigate" | "no-cors"))
}

/// Short and without surprises in a message.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, headers: &str, reads: bool, allowed: bool) {
        check_with(false, peer, headers, reads, allowed);
    }

    /// `headers` as `name: value` lines; the method is one that changes nothing if `reads`.
    fn check_with(open: bool, peer: &str, headers: &str, reads: bool, allowed: bool) {
        let mut builder = http::Request::builder().uri("/");
        for (name, value) in headers.lines().filter_map(|line| line.trim().split_once(": ")) {
            builder = builder.header(name, value);
        }
        let parts = builder.body(()).unwrap().into_parts().0;
        let head = Head::read(&parts).unwrap();
        let rules = LocalRules {
            origins: vec!["http://app.test:3000".into()],
            host_names: vec!["cloud.test".into()],
            open,
        };
        let result = rules.check(peer.parse().unwrap(), &head, reads);
        assert_eq!(result.is_ok(), allowed, "{peer} {headers} {result:?}");
    }

    #[test]
    fn only_from_this_machine() {
        for peer in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            check(peer, "host: localhost:4566", false, true);
        }
        for peer in ["172.17.0.2", "192.168.1.5", "10.0.0.1", "::ffff:172.17.0.2", "fe80::1"] {
            check(peer, "host: localhost:4566", false, false);
        }
    }

    #[test]
    fn only_with_a_host_of_ours() {
        for name in
            ["127.0.0.1:4566", "[::1]:4566", "b.localhost", "cloud.test", "s3.amazonaws.com"]
        {
            check("127.0.0.1", &format!("host: {name}"), false, true);
        }
        for name in ["evil.example", "rebind.evil.example:4566", "172.17.0.1:4566", "0.0.0.0"] {
            check("127.0.0.1", &format!("host: {name}"), false, false);
        }
        check("127.0.0.1", "", false, false);
    }

    #[test]
    fn an_open_cloud_is_open_to_all_but_web_pages() {
        check_with(true, "172.17.0.2", "host: localstack:4566", false, true);
        let page = "host: localstack:4566\norigin: http://evil.example";
        check_with(true, "172.17.0.2", page, false, false);
        let rebound = "host: evil.example:4566\nsec-fetch-site: same-origin\nsec-fetch-mode: cors";
        check_with(true, "127.0.0.1", rebound, true, false);
    }

    #[test]
    fn never_for_a_web_page_that_is_not_allowed() {
        let local = |rest: &str| format!("host: localhost\n{rest}");
        let refused = [
            "origin: http://evil.example",
            "origin: null",
            "origin: http://localhost:4566",
            "origin: http://app.test:3000\norigin: http://evil.example",
            "origin: http://app.test:3000.evil.example",
            "sec-fetch-site: cross-site\nsec-fetch-mode: no-cors",
            "sec-fetch-site: cross-site\nsec-fetch-mode: navigate",
            "sec-fetch-site: same-origin\nsec-fetch-mode: cors",
            "sec-fetch-site: same-site",
        ];
        for rest in refused {
            check("127.0.0.1", &local(rest), false, false);
            check("127.0.0.1", &local(rest), true, false);
        }
        check("127.0.0.1", &local("origin: http://app.test:3000"), false, true);
        check("127.0.0.1", &local("sec-fetch-site: none\nsec-fetch-mode: navigate"), false, true);
        let image = local("sec-fetch-site: same-site\nsec-fetch-mode: no-cors");
        check("127.0.0.1", &image, true, true);
        check("127.0.0.1", &image, false, false);
    }

    #[test]
    fn a_browser_that_says_nothing_of_its_page_may_be_one() {
        let agent = "user-agent: Mozilla/5.0 (X11; Linux x86_64)";
        for name in ["localhost:4566", "b.localhost", "127.0.0.1:4566", "[::1]:4566"] {
            let asked = format!("host: {name}\n{agent}");
            check("127.0.0.1", &asked, false, false);
            check("127.0.0.1", &asked, true, true);
        }
        let others = [
            "iam.localhost.localstack.cloud:4566",
            "cloud.test",
            "iam.amazonaws.com",
            "[::ffff:7f00:1]",
        ];
        for name in others {
            let asked = format!("host: {name}\n{agent}");
            check("127.0.0.1", &asked, false, false);
            check("127.0.0.1", &asked, true, false);
            check("127.0.0.1", &format!("{asked}\nsec-fetch-site: none"), false, true);
            check("127.0.0.1", &format!("host: {name}\nuser-agent: aws-cli/2"), false, true);
        }
    }
}
