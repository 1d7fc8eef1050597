//! What the process may do, settled before it has any thread: root becomes the user that is asked for, and a
//! user's cloud goes into a namespace in which it is root, for its containers.

use crate::docker_socket::Docker;
use crate::doors::SOCKETS;
use crate::exit::{self, Failure};
use crate::settings::Config;
use engine::rootless::{self, Account};
use rustix::process::geteuid;

/// Gives what a person should know of it at the start.
pub fn settle(config: &Config) -> Result<Option<String>, Failure> {
    let is_root = geteuid().is_root();
    if let Some(name) = &config.user {
        return become_user(config, name, is_root);
    }
    if is_root || Docker::first_path(config).is_none() {
        return Ok(None);
    }
    Ok(Some(match rootless::enter(&config.data.join(SOCKETS)) {
        Ok(()) => "containers without root: see `cumulet doctor`".to_owned(),
        Err(missing) => format!("no containers without root: {missing}"),
    }))
}

fn become_user(config: &Config, name: &str, is_root: bool) -> Result<Option<String>, Failure> {
    let wrong = |text: String| Failure::new(exit::USAGE, text);
    let account =
        Account::find(name).ok_or_else(|| wrong(format!("user is {name:?}: no such user")))?;
    if !is_root {
        // Who is it already needs nothing.
        let is_it = account.uid == geteuid().as_raw();
        let text = format!("user is {name:?}: only root can become another user");
        return match is_it {
            true => settle(&Config { user: None, ..config.clone() }),
            false => Err(wrong(text)),
        };
    }
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    rootless::enter_as(&account, &data)
        .map_err(|text| Failure::new(exit::FAILED, format!("cannot become {name}: {text}")))?;
    Ok(Some(format!("as {name}, with nothing of root's: see `cumulet doctor`")))
}
