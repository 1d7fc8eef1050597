//! Networks of containers, with the modules of a kernel that comes up with none of them.

use super::engine::{Engine, PATIENCE_S};
use super::{Check, busybox, contains, equal, until};

pub const CHECKS: &[Check] = &[
    ("a published port", published),
    ("a network of one's own, and names", own_network),
    ("networks are apart", apart),
];

const PAGE: &str = "mkdir /www; echo hello from $HOSTNAME > /www/index.html; exec httpd -f -h /www";

fn published(engine: &mut Engine) -> Result<(), String> {
    let id = engine.run(&["-h", "web", "-p", "127.0.0.1:8088:80"], &["sh", "-c", PAGE])?;
    let get = || busybox(&["wget", "-q", "-O", "-", "http://127.0.0.1:8088/"]);
    until("it answers", PATIENCE_S, || Ok(get().is_ok()))?;
    equal("the page", get()?.as_str(), "hello from web")?;
    // The port is the container's, not the engine's.
    engine.kill()?;
    equal("without the engine", get()?.as_str(), "hello from web")?;
    engine.start()?;
    equal("with the next one", get()?.as_str(), "hello from web")?;
    engine.docker(&["rm", "-f", &id])?;
    match get() {
        Err(_) => Ok(()),
        Ok(text) => Err(format!("something still answers: {text}")),
    }
}

fn own_network(engine: &mut Engine) -> Result<(), String> {
    engine.docker(&["network", "create", "own"])?;
    engine.run(
        &["--network", "own", "--name", "web", "--network-alias", "site"],
        &["sh", "-c", PAGE],
    )?;
    let ask = |name: &str| {
        let url = format!("http://{name}/");
        engine.docker(&[
            "run",
            "--rm",
            "--network",
            "own",
            "busybox",
            "wget",
            "-q",
            "-O",
            "-",
            &url,
        ])
    };
    until("it answers", PATIENCE_S, || Ok(ask("web").is_ok()))?;
    contains("by its name", &ask("web")?, "hello from")?;
    contains("by its alias", &ask("site")?, "hello from")?;
    match ask("nobody") {
        Err(_) => Ok(()),
        Ok(text) => Err(format!("nobody answers: {text}")),
    }
}

fn apart(engine: &mut Engine) -> Result<(), String> {
    for name in ["one", "two"] {
        engine.docker(&["network", "create", name])?;
    }
    let id = engine.run(&["--network", "one"], &["sh", "-c", PAGE])?;
    let address = engine.inspect(&id, "{{.NetworkSettings.Networks.one.IPAddress}}")?;
    let ask = |network: &str| {
        let url = format!("http://{address}/");
        let wget = ["timeout", "20", "wget", "-q", "-O", "-", &url];
        engine.ended(&[&["run", "--rm", "--network", network, "busybox"], &wget[..]].concat())
    };
    let mut said = String::new();
    until("it answers", PATIENCE_S, || {
        let (code, text) = ask("one")?;
        said = text;
        Ok(code == 0)
    })
    .map_err(|why| format!("{why}, at {address}: {said}"))?;
    match ask("two")? {
        (0, text) => Err(format!("reached from another network: {text}")),
        _ => Ok(()),
    }
}
