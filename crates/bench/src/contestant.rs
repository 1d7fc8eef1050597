//! The servers that take part: how each is started, and with which object store it begins.

use crate::options::Options;
use crate::process::{Server, free_port};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Cumulet,
    /// Answers every GET with the same object and keeps nothing.
    Floor,
    Nginx,
    Peer,
    /// One that has DynamoDB alone.
    ItemPeer,
}

/// A program that can take part.
#[derive(Clone, Debug)]
pub struct Contestant {
    pub name: &'static str,
    pub kind: Kind,
    program: PathBuf,
}

/// The name of the folder that nginx serves, so that all ask for the same path.
const NGINX_FILES: &str = "files";

impl Contestant {
    /// All that are there, ours first.
    pub fn all(options: &Options) -> Result<Vec<Contestant>, String> {
        let own = std::env::current_exe().map_err(|e| format!("where am I: {e}"))?;
        let mut all = Vec::new();
        let mut add = |name, kind, program: Option<&PathBuf>| {
            if let Some(program) = program {
                all.push(Contestant { name, kind, program: program.clone() });
            }
        };
        add("cumulet", Kind::Cumulet, Some(&options.cumulet));
        add("bare hyper", Kind::Floor, Some(&own));
        add("nginx", Kind::Nginx, options.nginx.as_ref());
        add("s3s-fs", Kind::Peer, options.s3s_fs.as_ref());
        add("fakecloud", Kind::Peer, options.fakecloud.as_ref());
        add("moto", Kind::Peer, options.moto.as_ref());
        add("dynalite", Kind::ItemPeer, options.dynalite.as_ref());
        add("dynoxide", Kind::ItemPeer, options.dynoxide.as_ref());
        let there = |one: &Contestant| one.program.is_file();
        match all.iter().find(|one| !there(one)) {
            Some(gone) => Err(format!("{} is not at {}", gone.name, gone.program.display())),
            None => Ok(all),
        }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts it on a free port with a folder of its own below `dir` and waits until it listens.
    pub fn start(&self, dir: &Path) -> Result<Server, String> {
        self.spawn(dir)?.listens()
    }

    /// As [`Contestant::start`], without waiting. A folder that is there already is used again.
    pub fn spawn(&self, dir: &Path) -> Result<Server, String> {
        let port = free_port()?;
        let home = dir.join(self.name.replace(' ', "-"));
        fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
        let mut command = Command::new(&self.program);
        command.current_dir(&home);
        let address = format!("127.0.0.1:{port}");
        match self.name {
            "cumulet" => {
                command.args(["up", "--docker-socket", "none", "--listen", &address, "--data"]);
                command.arg(home.join("data"));
            }
            // As many threads as Cumulet's own runtime has.
            "bare hyper" => {
                command.args(["hyper-floor", &address, "2"]);
            }
            "nginx" => {
                let config = home.join("nginx.conf");
                let text = nginx_config(&home, port);
                fs::write(&config, text).map_err(|e| format!("{}: {e}", config.display()))?;
                fs::create_dir_all(home.join(NGINX_FILES)).map_err(|e| e.to_string())?;
                command.arg("-p").arg(&home).arg("-c").arg(&config);
            }
            "s3s-fs" => {
                let keys = ["--access-key", "test", "--secret-key", "test"];
                command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
                command.args(keys).arg(&home);
            }
            "dynalite" => {
                command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
                command.args(["--createTableMs", "0"]);
            }
            "dynoxide" => {
                command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            }
            "fakecloud" => {
                command.args(["--addr", &address]);
            }
            _ => {
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            }
        }
        Server::spawn(self.name, &mut command, port, dir)
    }

    /// Where nginx finds the object that is asked for as `path`.
    pub fn nginx_file(dir: &Path, path: &str) -> PathBuf {
        dir.join("nginx").join(NGINX_FILES).join(path.trim_start_matches('/'))
    }
}

/// What Debian's own configuration says about serving files, for the user who runs the bench.
fn nginx_config(home: &Path, port: u16) -> String {
    let home = home.display();
    format!(
        "daemon off;\nworker_processes auto;\npid {home}/nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 768; }}\n\
         http {{\n  sendfile on;\n  tcp_nopush on;\n  access_log off;\n\
         client_body_temp_path {home}/t1;\n  proxy_temp_path {home}/t2;\n\
         fastcgi_temp_path {home}/t3;\n  uwsgi_temp_path {home}/t4;\n  scgi_temp_path {home}/t5;\n\
         server {{ listen 127.0.0.1:{port}; root {home}/{NGINX_FILES}; }}\n}}\n"
    )
}
