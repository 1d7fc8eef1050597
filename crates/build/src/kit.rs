//! What builds by BuildKit do otherwise than the classic ones: which stages they need, how their steps
//! are called, and what steps mount.

use crate::builder::Build;
use crate::mounts::{Files, Mounted, look};
use crate::options::Named;
use crate::output::{Event, Output};
use crate::sources::{Root, Sources};
use crate::state::State;
use crate::{Context, metadata};
use dockerfile::{Expander, Ignore, Instruction, Mount, MountKind, Sharing};
use engine::{Error, blocking};
use oci::Reference;
use oci::image::ImageConfig;
use std::sync::Arc;

/// One mount of a step, with what stands for it in the key of the cache.
#[derive(Debug)]
pub(crate) struct Wanted {
    mount: Mount,
    target: String,
    files: Option<Files>,
    key: String,
}

/// What of the context a mount shows; an empty path is all.
fn bound(text: &str) -> Option<String> {
    match Mount::parse(text, &|value| Ok(value.to_owned())) {
        Ok(mount) if mount.kind == MountKind::Bind && mount.from.is_none() => Some(mount.source),
        Ok(_) => None,
        Err(_) => Some(String::new()),
    }
}

impl Build {
    /// Paths of the context that are copied or mounted; `None` is all of it.
    pub async fn context_paths(&self) -> Result<Option<Vec<String>>, Error> {
        let mut paths = Vec::new();
        for (at, is_needed) in self.needed()?.into_iter().enumerate() {
            let stage = &self.dockerfile.stages[at];
            if !is_needed {
                continue;
            }
            let base = self.meta_word(&stage.from.image)?;
            if base != "scratch" && self.earlier(&base, at).is_none() {
                // What triggers of an image copy is known only when it is there.
                let image = self.find(&base).await;
                let triggers = image.map(|image| image.run_config().on_build.unwrap_or_default());
                if !triggers.is_ok_and(|triggers| triggers.is_empty()) {
                    return Ok(None);
                }
            }
            for command in &stage.commands {
                let words = match &command.instruction {
                    Instruction::Copy(copy) if copy.from.is_none() => copy.sources.clone(),
                    Instruction::Run(run) => run.mounts.iter().filter_map(|m| bound(m)).collect(),
                    _ => continue,
                };
                for word in words {
                    if word.starts_with("http://") || word.starts_with("https://") {
                        continue;
                    }
                    let path = crate::clean(&word).unwrap_or_default();
                    // What a variable stands for is known only when its step comes.
                    if path.is_empty() || path.contains(['$', '\\', '"', '\'', '`']) {
                        return Ok(None);
                    }
                    paths.push(path);
                }
            }
        }
        paths.sort();
        paths.dedup();
        Ok(Some(paths))
    }

    /// Which machine it is built on, and for.
    pub(crate) fn predefine(&mut self) {
        let architecture = engine::image::architecture();
        let platform = format!("linux/{architecture}");
        for side in ["BUILD", "TARGET"] {
            self.args.predefine(&format!("{side}PLATFORM"), &platform);
            self.args.predefine(&format!("{side}OS"), "linux");
            self.args.predefine(&format!("{side}ARCH"), architecture);
            self.args.predefine(&format!("{side}VARIANT"), "");
        }
        let last = self.dockerfile.stages.last().and_then(|stage| stage.from.name.clone());
        self.args.predefine("TARGETSTAGE", last.as_deref().unwrap_or("default"));
    }

    /// Of each stage whether it is built: with the classic builder all are.
    pub(crate) fn needed(&self) -> Result<Vec<bool>, Error> {
        let stages = &self.dockerfile.stages;
        let mut needed = vec![self.options.kit.is_none(); stages.len()];
        if let Some(last) = needed.last_mut() {
            *last = true;
        }
        for at in (0..stages.len()).rev() {
            if !needed[at] || self.options.kit.is_none() {
                continue;
            }
            let mut names = vec![(self.meta_word(&stages[at].from.image)?, false)];
            for command in &stages[at].commands {
                match &command.instruction {
                    Instruction::Copy(copy) => names.extend(copy.from.clone().map(|f| (f, true))),
                    Instruction::Run(run) => {
                        let from = |text: &String| {
                            Mount::parse(text, &|value| Ok(value.to_owned())).ok()?.from
                        };
                        names.extend(run.mounts.iter().filter_map(from).map(|from| (from, true)));
                    }
                    _ => {}
                }
            }
            for (name, by_number) in names {
                let number = || name.parse().ok().filter(|number| by_number && *number < at);
                if let Some(found) = self.earlier(&name, at).or_else(number) {
                    needed[found] = true;
                }
            }
        }
        Ok(needed)
    }

    /// A stage begins from here.
    pub(crate) fn begin(&self, mut state: State) -> State {
        let Some(kit) = &self.options.kit else { return state };
        let stage = &self.dockerfile.stages[self.done.len()];
        let name = stage.from.name.as_deref().unwrap_or_default();
        let mut names = kit.no_cache_stages.iter();
        state.cache_missed |= names.any(|one| one.eq_ignore_ascii_case(name));
        state
    }

    /// `[name 2/5]`, with the name of the stage if there are several.
    fn place(&self) -> String {
        let at = self.done.len().min(self.dockerfile.stages.len().saturating_sub(1));
        let stage = &self.dockerfile.stages[at];
        let steps = 1 + stage.commands.iter().filter(|one| is_told(&one.instruction)).count();
        let name = match (&stage.from.name, self.dockerfile.stages.len()) {
            (_, 1) => String::new(),
            (Some(name), _) => format!("{name} "),
            (None, _) => format!("stage-{at} "),
        };
        format!("[{name}{}/{steps}]", self.told)
    }

    pub(crate) async fn tell(&mut self, instruction: &Instruction, text: &str, output: &Output) {
        if is_told(instruction) && self.options.kit.is_some() {
            // The first step of a stage is where it comes from.
            self.told = self.told.max(1) + 1;
            output.event(Event::Begun(format!("{} {text}", self.place()))).await;
        }
    }

    pub(crate) async fn tell_from(&mut self, name: &str, output: &Output) {
        if self.options.kit.is_some() {
            self.told = 1;
            let whole = Reference::parse(name).map(Reference::with_default_tag);
            let name = whole.map_or_else(|_| name.to_owned(), |whole| whole.to_string());
            output.event(Event::Begun(format!("{} FROM {name}", self.place()))).await;
        }
    }

    fn named(&self, name: &str) -> Option<&Named> {
        self.options.kit.as_ref()?.contexts.get(&name.to_ascii_lowercase())
    }

    /// The image that a name stands for, if the client said so.
    pub(crate) fn named_image(&self, name: &str) -> Result<Option<String>, Error> {
        match self.named(name) {
            None => Ok(None),
            Some(Named::Image(image)) => Ok(Some(image.clone())),
            Some(Named::Context(_)) => Err(Error::new(
                engine::Kind::NotDone,
                format!("FROM {name}, which is a folder, is not done: COPY --from and mounts are"),
            )),
        }
    }

    /// What `--from` leads to: an image, or a context.
    pub(crate) async fn source(
        &self,
        from: &str,
        output: &Output,
    ) -> Result<Result<ImageConfig, Arc<Context>>, Error> {
        match self.named(from) {
            Some(Named::Context(context)) => return Ok(Err(context.clone())),
            Some(Named::Image(image)) => return Ok(Ok(self.image(image, output).await?.config)),
            None => {}
        }
        if from == "scratch" && self.options.kit.is_some() {
            return Ok(Ok(State::scratch().config));
        }
        match self.dockerfile.stage(from) {
            Some(at) => match self.done.get(at) {
                Some(Some(done)) => Ok(Ok(done.config.clone())),
                _ => Err(Error::invalid(format!(
                    "invalid from flag value {from}: refers to current build stage"
                ))),
            },
            None => Ok(Ok(self.image(from, output).await?.config)),
        }
    }

    /// What a step wants to see beside its image.
    pub(crate) async fn mounts(
        &self,
        step: &dockerfile::Run,
        state: &State,
        output: &Output,
    ) -> Result<Vec<Wanted>, Error> {
        if step.is_insecure {
            return Err(Error::failed("security.insecure is not allowed"));
        }
        let is_host = step.network.as_deref() == Some("host");
        if is_host && self.options.kit.as_ref().is_some_and(|kit| !kit.host_network) {
            return Err(Error::failed("network.host is not allowed"));
        }
        let mut wanted = Vec::new();
        for text in &step.mounts {
            let mount = {
                let lookup = |name: &str| state.env(name).or_else(|| self.args.get(name));
                let expander = Expander::new(self.dockerfile.escape, &lookup);
                Mount::parse(text, &|value| expander.word(value)).map_err(Error::invalid)?
            };
            if mount.kind == MountKind::Ssh {
                let text = "mounts of type ssh are not done: secrets are";
                return Err(Error::new(engine::Kind::NotDone, text));
            }
            let target = match mount.target.as_str() {
                "" => String::new(),
                target => metadata::join_workdir(&state.run.working_dir, target),
            };
            let (files, content) = match &mount.kind {
                MountKind::Bind => self.bound(&mount, output).await.map(|(f, c)| (Some(f), c))?,
                MountKind::Cache { .. } if mount.from.is_some() => {
                    let text = "caches that begin as a copy of an image are not done";
                    return Err(Error::new(engine::Kind::NotDone, text));
                }
                _ => (None, String::new()),
            };
            let key = format!("--mount={text}{content} ");
            wanted.push(Wanted { mount, target, files, key });
        }
        Ok(wanted)
    }

    /// The files of a bind, and what names them by their content.
    async fn bound(&self, mount: &Mount, output: &Output) -> Result<(Files, String), Error> {
        let config = match &mount.from {
            None => Err(self.context.clone()),
            Some(from) => self.source(from, output).await?,
        };
        let images = self.engine.images().clone();
        match config {
            Ok(config) => {
                let top = config.chain().last().map(|key| key.to_string()).unwrap_or_default();
                let layers = blocking(move || images.mountable(&config)).await?;
                let layers = layers.iter().map(|layer| layer.display().to_string()).collect();
                Ok((Files::Layers(layers), format!(" {top}")))
            }
            Err(context) => {
                let (own, source) = (context.clone(), mount.source.clone());
                let hash = blocking(move || {
                    let root = Root::Context(own);
                    let (all, exclude) = (Vec::new(), Ignore::default());
                    let mut sources = Sources { root, all, exclude, keep_owners: false };
                    sources.find("mount", &source)?;
                    sources.hash()
                })
                .await?;
                Ok((Files::Context(context), format!(" {hash}")))
            }
        }
    }

    /// Mounts count for what a step makes; what is in caches and secrets does not.
    pub(crate) fn mounts_key(&self, wanted: &[Wanted]) -> String {
        wanted.iter().map(|one| one.key.as_str()).collect()
    }

    /// Gets ready what is to be mounted.
    pub(crate) async fn mount(
        &self,
        wanted: Vec<Wanted>,
        output: &Output,
    ) -> Result<Option<Mounted>, Error> {
        let Some(kit) = &self.options.kit else { return Ok(None) };
        let images = self.engine.images();
        let mut mounted = Mounted::default();
        for Wanted { mount, target, files, .. } in wanted {
            match &mount.kind {
                MountKind::Bind => {
                    if let Some(files) = files {
                        mounted.bind(images, &mount, target, files).await?;
                    }
                }
                MountKind::Tmpfs { size } => mounted.tmpfs(*size, target),
                MountKind::Cache { id, sharing } => {
                    let id = format!("{}{id}", kit.cache_space);
                    let held = match sharing {
                        Sharing::Shared => kit.caches.shared(&id, look(&mount))?,
                        Sharing::Private => kit.caches.private(&id, look(&mount))?,
                        Sharing::Locked => {
                            let locked = kit.caches.locked(&id, look(&mount));
                            match engine::first(locked, output.closed()).await {
                                engine::First::Left(held) => held?,
                                engine::First::Right(()) => {
                                    return Err(Error::failed("build cancelled"));
                                }
                            }
                        }
                    };
                    mounted.cache(held, &mount, target);
                }
                MountKind::Secret { id, is_required, env } => {
                    let Some(secret) = self.outside.secret(id).await? else {
                        if *is_required {
                            return Err(Error::not_found(format!("secret {id}: not found")));
                        }
                        continue;
                    };
                    if let Some(name) = env {
                        let text = String::from_utf8_lossy(&secret);
                        mounted.env.push(format!("{name}={text}"));
                    }
                    if !target.is_empty() {
                        mounted.secret(images, &mount, target, secret).await?;
                    }
                }
                MountKind::Ssh => {}
            }
        }
        Ok(Some(mounted))
    }
}

/// Steps that change files are told of.
fn is_told(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_))
}
