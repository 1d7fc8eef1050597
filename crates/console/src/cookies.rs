//! The cookies: in which session a browser is, and which form to sign in it was given.
//!
//! A browser sends a host's cookies to all of its ports, and a page of any port, or one in a bucket, can set
//! more of them. Of two with our name the one with the longer path comes first, so whoever planted it would
//! choose the session: a name that comes twice is no session, and both are taken away.

use crate::html::ROOT;
use api::ConsoleCall;

/// A header of an answer.
pub type Header = (&'static str, String);
/// Where the sign-in form and its number are.
pub const SIGN_IN: &str = "/_console/sign-in";

const PATH_BYTES_MAX: usize = 256;
const PATH_DEPTH_MAX: usize = 8;

/// The name was given more than once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doubled;

/// The name of the cookie holds the port: a browser gives cookies of one port to all of them.
pub fn session(host: &str) -> String {
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let digits: String = port.chars().filter(char::is_ascii_digit).collect();
    format!("cumulet-console-{digits}")
}

/// Of the number that belongs to a form to sign in.
pub fn sign_in(host: &str) -> String {
    format!("{}-form", session(host))
}

/// The cookie's value; empty if there is none.
pub fn value<'h>(header: &'h str, name: &str) -> Result<&'h str, Doubled> {
    let mut all = header
        .split(';')
        .filter_map(|pair| pair.trim().strip_prefix(name)?.trim_start().strip_prefix('='));
    match (all.next(), all.next()) {
        (_, Some(_)) => Err(Doubled),
        (found, None) => Ok(found.unwrap_or_default().trim()),
    }
}

/// Sets it for the pages below `path`; an empty value takes it away.
pub fn set(call: &ConsoleCall<'_>, name: &str, value: &str, path: &str) -> Header {
    let secure = if call.secure { "; Secure" } else { "" };
    let ends = if value.is_empty() { "; Max-Age=0" } else { "" };
    ("set-cookie", format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}{ends}"))
}

/// Takes cookies of that name away wherever one could stand that came with this request, except at the
/// path where it belongs.
pub fn forget_others(call: &ConsoleCall<'_>, name: &str, own: &str) -> Vec<Header> {
    // No page of ours lies deeper, and one header for each slash of whatever path somebody asks would be many.
    if call.path.len() > PATH_BYTES_MAX || call.path.matches('/').count() > PATH_DEPTH_MAX {
        return vec![set(call, name, "", "/")];
    }
    let mut paths = vec!["/"];
    for (at, _) in call.path.match_indices('/').filter(|(at, _)| *at > 0) {
        paths.extend([&call.path[..at], &call.path[..=at]]);
    }
    paths.push(call.path);
    paths.retain(|path| *path != own && path.bytes().all(|b| b.is_ascii_graphic() && b != b';'));
    paths.dedup();
    paths.into_iter().map(|path| set(call, name, "", path)).collect()
}

/// The same, everywhere.
pub fn forget(call: &ConsoleCall<'_>, name: &str) -> Vec<Header> {
    let mut all = forget_others(call, name, ROOT);
    all.push(set(call, name, "", ROOT));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        assert_eq!(session("localhost:4566"), "cumulet-console-4566");
        assert_eq!(session("[::1]:80"), "cumulet-console-80");
        let check = |header: &str, expected| assert_eq!(value(header, "c-1"), expected, "{header}");
        check("a=b; c-1=x; c=d", Ok("x"));
        check("c-11=x; c-1-form=y", Ok(""));
        check("", Ok(""));
        check("c-1=x; a=b; c-1=y", Err(Doubled));
        check("c-1=x;c-1=x", Err(Doubled));
        check("c-1 =x; c-1=y", Err(Doubled));
    }
}
