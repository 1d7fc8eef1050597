//! The front end for Dockerfiles: options of a client become a build, whose files come by its session.

use crate::grpc::{Code, Status};
use crate::jobs::Job;
use crate::messages::{Exporter, Map};
use crate::progress::Telling;
use crate::receive::{Wanted, receive};
use crate::session::Session;
use crate::wire::Message;
use crate::{Kit, messages};
use build::{Context, Event, Named, Options, Output, Outside};
use dockerfile::Dockerfile;
use engine::config::Ulimit;
use engine::{First, blocking};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

const FRONTEND: &str = "dockerfile.v0";
const EVENTS: usize = 256;
const IGNORE: &str = ".dockerignore";
const PATTERNS_MAX: usize = 10_000;
/// Folders of the client with a name of their own, at most.
const CONTEXTS_MAX: usize = 100;
/// A context that the client uploads.
const UPLOAD: &str = "http://buildkit-session/";
const UPLOAD_BYTES_MAX: u64 = 64 << 30;

/// What came of a build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Built {
    pub image: String,
}

/// What a client wants built.
#[derive(Default, Debug)]
pub struct Wish {
    pub frontend: String,
    pub attrs: Map,
    pub cache_imports: Vec<Exporter>,
    /// An archive or a Dockerfile in place of the client's folder.
    pub context: Option<File>,
}

/// Builds it. Dropped, the build is given up.
pub async fn solve(kit: &Kit, job: &Arc<Job>, wish: Wish, group: u64) -> Result<Built, Status> {
    refuse(&wish)?;
    let session = kit.sessions.find(&job.session).await?;
    let mut solving = Solving {
        kit,
        wish,
        outside: kit.host.outside(&session),
        session,
        host_network: job.host_network,
        telling: Telling::new(job.clone(), group),
    };
    let session = solving.session.clone();
    let result = match engine::first(solving.run(), session.ended()).await {
        First::Left(result) => result,
        First::Right(()) => Err(Status::new(Code::Cancelled, "the client has gone")),
    };
    solving.telling.end(result.as_ref().err().map(|status| status.text.as_str()));
    result
}

/// What is known and not done.
fn refuse(wish: &Wish) -> Result<(), Status> {
    if wish.frontend != FRONTEND {
        let text = format!(
            "front end {:?} is not done: {FRONTEND} is built in, and BUILDKIT_SYNTAX chooses no other",
            wish.frontend
        );
        return Err(Status::not_done(text));
    }
    for (name, value) in &wish.attrs {
        let is_refused = match name.as_str() {
            "cgroup-parent" | "hostname" | "requestid" | "contextsubdir" => !value.is_empty(),
            "build-arg:BUILDKIT_SYNTAX" => !value.is_empty(),
            "multi-platform" => matches!(value.as_str(), "1" | "true"),
            name => name.starts_with("attest:") || name.starts_with("input:"),
        };
        if is_refused {
            return Err(Status::not_done(format!("the build option {name}={value} is not done")));
        }
    }
    Ok(())
}

struct Solving<'a> {
    kit: &'a Kit,
    wish: Wish,
    outside: Arc<dyn Outside>,
    session: Session,
    host_network: bool,
    telling: Telling,
}

/// Where files come from.
enum Main {
    /// The client's folder, without what these patterns leave out.
    Local(Vec<String>),
    Whole(Context),
}

impl Solving<'_> {
    fn attr(&self, name: &str) -> &str {
        self.wish.attrs.get(name).map(String::as_str).unwrap_or_default()
    }

    async fn run(&mut self) -> Result<Built, Status> {
        if self.attr("force-network-mode") == "host" && !self.host_network {
            return Err(Status::new(Code::Forbidden, "network.host is not allowed"));
        }
        let (dockerfile, main) = self.dockerfile().await?;
        let mut options = options(&self.wish.attrs)?;
        let contexts = self.contexts().await?;
        options.cache_from = self.imports();
        options.kit = Some(build::Kit {
            caches: self.kit.caches.clone(),
            no_cache_stages: no_cache(&self.wish.attrs),
            contexts,
            cache_space: self.attr("build-arg:BUILDKIT_CACHE_MOUNT_NS").to_owned(),
            host_network: self.host_network,
        });
        let (engine, outside) = (self.kit.engine.clone(), self.outside.clone());
        let prepared = blocking(move || build::prepare_kit(engine, outside, options, dockerfile));
        let mut build = prepared.await?;
        match main {
            Main::Whole(context) => build.set_context(Arc::new(context)),
            Main::Local(exclude) => {
                let follow = build.context_paths().await?;
                // Where nothing is copied there is nothing to get.
                if follow.as_ref().is_none_or(|paths| !paths.is_empty()) {
                    let follow = follow.unwrap_or_default();
                    let name = self.local_name("contextkey", "context");
                    let wanted = Wanted { name, exclude, follow, ..Wanted::default() };
                    let context =
                        self.fetch("[internal] load build context", "context", &wanted).await?;
                    build.set_context(Arc::new(context));
                }
            }
        }
        self.steps(build).await
    }

    /// Steps go on by themselves, so that one whose caller has gone still ends its container.
    async fn steps(&mut self, build: build::Build) -> Result<Built, Status> {
        let (to, mut events) = mpsc::channel::<Event>(EVENTS);
        let (done, result) = oneshot::channel();
        engine::task(async move {
            let output = Output::events(to);
            let built = build.run(&output).await;
            drop(output);
            let _ = done.send(built);
        });
        while let Some(event) = events.recv().await {
            self.telling.event(event);
        }
        match result.await {
            Ok(Ok(image)) => Ok(Built { image }),
            Ok(Err(error)) => Err(Status::unknown(error.text)),
            Err(_) => Err(Status::new(Code::Internal, "the build broke off")),
        }
    }

    fn local_name(&self, key: &str, default: &str) -> String {
        match self.attr(key) {
            "" => default.to_owned(),
            name => name.to_owned(),
        }
    }

    /// Gets files of the client, and tells of it.
    async fn fetch(&mut self, what: &str, of: &str, wanted: &Wanted) -> Result<Context, Status> {
        self.telling.begin(what);
        let taken = Arc::new(AtomicU64::new(0));
        let id = format!("transferring {of}:");
        self.telling.status(&id, 0, 0, false);
        let images = self.kit.engine.images();
        let context = receive(&self.session, images, wanted, taken.clone()).await?;
        self.telling.status(&id, taken.load(Ordering::Relaxed), 0, true);
        Ok(context)
    }

    async fn dockerfile(&mut self) -> Result<(Dockerfile, Main), Status> {
        let filename = match self.attr("filename") {
            "" => "Dockerfile".to_owned(),
            name => name.to_owned(),
        };
        let path = build::clean(&filename)
            .filter(|path| !path.is_empty())
            .ok_or_else(|| Status::invalid(format!("forbidden path: {filename}")))?;
        let key = self.local_name("contextkey", "context");
        let remote = self.attr(&key).to_owned();
        let whole = match (self.wish.context.take(), remote.is_empty()) {
            (Some(file), _) => {
                self.telling.begin("[internal] load remote build context");
                Some(self.unpacked(file).await?)
            }
            (None, true) => None,
            (None, false) => Some(self.remote(&remote).await?),
        };
        let is_own = self.wish.attrs.contains_key("dockerfilekey");
        let (text, ignore) = match &whole {
            Some(context) if !is_own => {
                let ignore = context.text(&format!("/{path}{IGNORE}"))?;
                (context.text(&format!("/{path}"))?, ignore)
            }
            _ => self.local_dockerfile(&path).await?,
        };
        let Some(text) = text else {
            return Err(Status::unknown(format!(
                "failed to read dockerfile: open {filename}: no such file or directory"
            )));
        };
        let dockerfile = build::read_dockerfile(&text, &filename)?;
        let main = match whole {
            Some(context) => {
                context.apply_ignore(&path, true)?;
                Main::Whole(context)
            }
            None => Main::Local(patterns(&self.ignore(ignore).await?)?),
        };
        Ok((dockerfile, main))
    }

    /// The file, and one beside it that says what is left out of the context.
    async fn local_dockerfile(
        &mut self,
        path: &str,
    ) -> Result<(Option<String>, Option<String>), Status> {
        let ignore = format!("{path}{IGNORE}");
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut include = vec![path.to_owned(), ignore.clone()];
        // As old as a file system that knew no capitals.
        let other = (name == "Dockerfile")
            .then(|| format!("{above}/dockerfile").trim_start_matches('/').to_owned());
        include.extend(other.clone());
        let name = self.local_name("dockerfilekey", "dockerfile");
        let wanted = Wanted { name, follow: include.clone(), include, exclude: Vec::new() };
        let what = format!("[internal] load build definition from {path}");
        let context = self.fetch(&what, "dockerfile", &wanted).await?;
        let mut text = context.text(&format!("/{path}"))?;
        if let (None, Some(other)) = (&text, other) {
            text = context.text(&format!("/{other}"))?;
        }
        Ok((text, context.text(&format!("/{ignore}"))?))
    }

    async fn ignore(&mut self, own: Option<String>) -> Result<String, Status> {
        if let Some(text) = own {
            return Ok(text);
        }
        let name = self.local_name("contextkey", "context");
        let only = vec![IGNORE.to_owned()];
        let wanted = Wanted { name, include: only.clone(), follow: only, exclude: Vec::new() };
        let context = self.fetch("[internal] load .dockerignore", "context", &wanted).await?;
        Ok(context.text(&format!("/{IGNORE}"))?.unwrap_or_default())
    }

    /// A context that is no folder of the client.
    async fn remote(&mut self, address: &str) -> Result<Context, Status> {
        let file = match address.strip_prefix(UPLOAD) {
            Some(id) => {
                self.telling.begin("[internal] load remote build context");
                self.upload(id).await?
            }
            None => {
                self.telling.begin(&format!("[internal] load {address}"));
                self.outside.download(address).await?.file
            }
        };
        self.unpacked(file).await
    }

    async fn unpacked(&self, file: File) -> Result<Context, Status> {
        let images = self.kit.engine.images().clone();
        Ok(blocking(move || build::remote(&images, file)).await?)
    }

    /// What the client was given on its standard input, say.
    async fn upload(&self, id: &str) -> Result<File, Status> {
        const METHOD: &str = "/moby.upload.v1.Upload/Pull";
        let metadata = [("urlpath", vec![format!("/{id}")])];
        let (sending, mut receiving) = self.session.call(METHOD, &metadata).await?;
        drop(sending);
        let images = self.kit.engine.images();
        images.check_room().map_err(engine::Error::from)?;
        let mut file = images.scratch_file().map_err(engine::Error::from)?;
        let (to, mut pieces) = mpsc::channel::<bytes::Bytes>(8);
        let written = blocking(move || {
            let mut bytes = 0u64;
            while let Some(piece) = pieces.blocking_recv() {
                bytes += piece.len() as u64;
                if bytes > UPLOAD_BYTES_MAX {
                    return Err(engine::Error::invalid("the context is too large"));
                }
                file.write_all(&piece)?;
            }
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        });
        let pump = async move {
            while let Some(message) = receiving.message().await? {
                if to.send(messages::first_bytes(&message)?.into()).await.is_err() {
                    break;
                }
            }
            Ok::<(), Status>(())
        };
        let mut written = std::pin::pin!(written);
        match engine::first(&mut written, pump).await {
            engine::First::Left(file) => Ok(file?),
            engine::First::Right(Ok(())) => Ok(written.await?),
            engine::First::Right(Err(status)) => Err(status),
        }
    }

    /// Names with a meaning that the client gave them.
    async fn contexts(&mut self) -> Result<BTreeMap<String, Named>, Status> {
        let mut contexts = BTreeMap::new();
        for (key, value) in &self.wish.attrs.clone() {
            let Some(name) = key.strip_prefix("context:") else { continue };
            if contexts.len() == CONTEXTS_MAX {
                return Err(Status::invalid("there are too many named contexts"));
            }
            let named = if let Some(image) = value.strip_prefix("docker-image://") {
                Named::Image(image.to_owned())
            } else if let Some(local) = value.strip_prefix("local:") {
                let only = vec![IGNORE.to_owned()];
                let wanted = Wanted {
                    name: local.to_owned(),
                    include: only.clone(),
                    follow: only,
                    exclude: Vec::new(),
                };
                let what = format!("context {name}");
                let load = format!("[{what}] load .dockerignore");
                let context = self.fetch(&load, &what, &wanted).await?;
                let ignore = context.text(&format!("/{IGNORE}"))?.unwrap_or_default();
                let exclude = patterns(&ignore)?;
                let wanted = Wanted { name: local.to_owned(), exclude, ..Wanted::default() };
                let load = format!("[{what}] load from client");
                Named::Context(Arc::new(self.fetch(&load, &what, &wanted).await?))
            } else {
                let text =
                    format!("the context {name}={value} is not done: folders and images are");
                return Err(Status::not_done(text));
            };
            contexts.insert(name.to_ascii_lowercase(), named);
        }
        Ok(contexts)
    }

    /// Images whose steps count as done. A source that is none is told of, as BuildKit does with one
    /// that it cannot reach, and the build goes on.
    fn imports(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let listed = self.attr("cache-from").split(',').filter(|name| !name.is_empty());
        found.extend(listed.map(str::to_owned));
        for import in std::mem::take(&mut self.wish.cache_imports) {
            match (import.kind.as_str(), import.attrs.get("ref")) {
                ("registry", Some(name)) => found.push(name.clone()),
                (kind, _) => {
                    self.telling.begin(&format!("importing cache manifest from {kind}"));
                    self.telling.end(Some("caches that are no images are not done"));
                }
            }
        }
        found.dedup();
        found
    }
}

fn no_cache(attrs: &Map) -> Vec<String> {
    let names = attrs.get("no-cache").map(String::as_str).unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn number<T: FromStr + Default>(attrs: &Map, name: &str) -> Result<T, Status> {
    match attrs.get(name).map(String::as_str).unwrap_or_default() {
        "" => Ok(T::default()),
        text => text.parse().map_err(|_| Status::invalid(format!("{name} is no number: {text}"))),
    }
}

/// Those of the front end, as the builder has them.
fn options(attrs: &Map) -> Result<Options, Status> {
    let text = |name: &str| attrs.get(name).cloned().unwrap_or_default();
    let beneath = |prefix: &str| {
        let pairs =
            attrs.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        pairs.map(|(name, value)| (name.to_owned(), value.clone())).collect::<Map>()
    };
    let platforms = text("platform");
    if platforms.contains(',') {
        return Err(Status::not_done(format!(
            "images for several platforms are not done: {platforms}"
        )));
    }
    build::check_platform(&platforms)?;
    let args = beneath("build-arg:").into_iter().map(|(name, value)| (name, Some(value)));
    let is_all = attrs.contains_key("no-cache") && no_cache(attrs).is_empty();
    Ok(Options {
        args: args.filter(|(name, _)| !name.starts_with("BUILDKIT_")).collect(),
        labels: beneath("label:"),
        target: text("target"),
        no_cache: is_all,
        pull: text("image-resolve-mode") == "pull",
        remove: true,
        force_remove: true,
        network: text("force-network-mode"),
        memory: number(attrs, "memory")?,
        memory_swap: number(attrs, "memswap")?,
        cpu_shares: number(attrs, "cpushares")?,
        cpu_period: number(attrs, "cpuperiod")?,
        cpu_quota: number(attrs, "cpuquota")?,
        cpuset_cpus: text("cpusetcpus"),
        cpuset_mems: text("cpusetmems"),
        shm_size: number(attrs, "shm-size")?,
        ulimits: ulimits(&text("ulimit"))?,
        extra_hosts: hosts(&text("add-hosts"))?,
        ..Options::default()
    })
}

/// `name=address,name=address`
fn hosts(text: &str) -> Result<Option<Vec<String>>, Status> {
    let mut hosts = Vec::new();
    for one in text.split(',').map(|one| one.trim_matches('"')).filter(|one| !one.is_empty()) {
        match one.split_once('=') {
            Some((name, address)) => hosts.push(format!("{name}:{address}")),
            None => return Err(Status::invalid(format!("invalid host {one}"))),
        }
    }
    Ok(Some(hosts).filter(|hosts| !hosts.is_empty()))
}

/// `name=soft:hard,name=both`
fn ulimits(text: &str) -> Result<Option<Vec<Ulimit>>, Status> {
    let mut limits = Vec::new();
    for one in text.split(',').map(|one| one.trim_matches('"')).filter(|one| !one.is_empty()) {
        let parsed = one.split_once('=').and_then(|(name, values)| {
            let (soft, hard) = values.split_once(':').unwrap_or((values, values));
            Some(Ulimit {
                name: name.to_owned(),
                soft: soft.parse().ok()?,
                hard: hard.parse().ok()?,
            })
        });
        limits.push(parsed.ok_or_else(|| Status::invalid(format!("invalid ulimit {one}")))?);
    }
    Ok(Some(limits).filter(|limits| !limits.is_empty()))
}

/// The lines of a `.dockerignore`, as the client matches them.
fn patterns(text: &str) -> Result<Vec<String>, Status> {
    let mut patterns = Vec::new();
    for (back, pattern) in dockerfile::ignore_lines(text) {
        let back = if back { "!" } else { "" };
        let mut parts: Vec<&str> = Vec::new();
        for part in pattern.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        if patterns.len() == PATTERNS_MAX {
            return Err(Status::invalid("too many patterns in .dockerignore"));
        }
        if !parts.is_empty() {
            patterns.push(format!("{back}{}", parts.join("/")));
        } else if !back.is_empty() {
            return Err(Status::invalid("illegal exclusion pattern: \"!\""));
        }
    }
    Ok(patterns)
}

/// `LLBBridge.Solve`'s answer.
pub fn solved(reference: &str) -> Vec<u8> {
    let one = Message::default().text(1, reference);
    let result = Message::default().message(3, &one);
    Message::default().text(1, reference).message(3, &result).end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attrs(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_asked_for() {
        let given = attrs(&[
            ("build-arg:A", "1"),
            ("build-arg:BUILDKIT_INLINE_CACHE", "1"),
            ("label:l", "v"),
            ("no-cache", ""),
            ("image-resolve-mode", "pull"),
            ("add-hosts", "a=10.0.0.1,b=::1"),
            ("ulimit", "nofile=1:2,nproc=3"),
            ("shm-size", "5"),
        ]);
        let found = options(&given).unwrap();
        assert_eq!(found.args.into_keys().collect::<Vec<_>>(), ["A"]);
        assert!(found.no_cache && found.pull && found.shm_size == 5);
        assert_eq!(found.extra_hosts.unwrap(), ["a:10.0.0.1", "b:::1"]);
        let limits = found.ulimits.unwrap();
        assert_eq!((limits[0].soft, limits[0].hard, limits[1].hard), (1, 2, 3));
        let some = options(&attrs(&[("no-cache", "one,two")])).unwrap();
        assert!(!some.no_cache);
        for (name, value) in [
            ("platform", "linux/amd64,linux/arm64"),
            ("platform", "windows/amd64"),
            ("shm-size", "x"),
            ("ulimit", "nofile"),
            ("add-hosts", "a"),
        ] {
            assert!(options(&attrs(&[(name, value)])).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn what_is_not_done() {
        let wish = |frontend: &str, pairs: &[(&str, &str)]| {
            let (frontend, attrs) = (frontend.to_owned(), attrs(pairs));
            refuse(&Wish { frontend, attrs, ..Wish::default() })
        };
        assert!(wish(FRONTEND, &[("filename", "D"), ("vcs:source", "x")]).is_ok());
        for (frontend, pair) in [
            ("gateway.v0", ("source", "docker/dockerfile:1")),
            (FRONTEND, ("attest:sbom", "")),
            (FRONTEND, ("requestid", "frontend.lint")),
        ] {
            assert_eq!(wish(frontend, &[pair]).unwrap_err().code, Code::Unimplemented);
        }
    }

    #[test]
    fn what_is_left_out() {
        let found = patterns("\u{feff}# x\n/a/./b/\n!c\n\n../d\n**/*.log\n.\n").unwrap();
        assert_eq!(found, ["a/b", "!c", "../d", "**/*.log"]);
        assert!(patterns("!").is_err());
    }
}
