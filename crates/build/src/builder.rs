//! From a request to an image.

use crate::args::Args;
use crate::context::{Context, clean};
use crate::copy::{Plan, copy};
use crate::metadata::{self, command, word, words};
use crate::output::Event;
use crate::run::{Failed, Removal, Running, run};
use crate::sources::{Root, Source, Sources};
use crate::state::State;
use crate::{Options, Output, Outside, cache};
use dockerfile::{Command, Dockerfile, Expander, Ignore, Instruction, Stage, parse_instruction};
use engine::image::{Image, plain};
use engine::{Engine, Error, blocking};
use oci::image::ImageConfig;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

const DOCKERFILE: &str = "Dockerfile";
/// A Dockerfile that is a context by itself.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// A stage that is done.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub image: String,
    pub config: ImageConfig,
}

/// A build that can begin.
pub struct Build {
    pub(crate) engine: Engine,
    pub(crate) outside: Arc<dyn Outside>,
    pub(crate) options: Options,
    pub(crate) context: Arc<Context>,
    pub(crate) dockerfile: Dockerfile,
    pub(crate) args: Args,
    /// As many as stages have come up; nothing of those that were skipped.
    pub(crate) done: Vec<Option<Done>>,
    step: usize,
    steps: usize,
    /// How many steps of this stage were told of, where a stage counts its own.
    pub(crate) told: usize,
}

impl std::fmt::Debug for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Build")
    }
}

/// Gets the context, if it did not come with the request, and parses.
pub async fn prepare(
    engine: Engine,
    outside: Arc<dyn Outside>,
    options: Options,
    context: Option<Context>,
) -> Result<Build, Error> {
    let is_remote = !options.remote.is_empty();
    let images = engine.images().clone();
    let context = match context {
        Some(context) => context,
        None => {
            let download = outside.download(&options.remote).await?;
            blocking(move || remote(&images, download.file)).await?
        }
    };
    let name = match options.dockerfile.as_str() {
        "" => DOCKERFILE,
        name => name,
    };
    let path = clean(name).ok_or_else(|| {
        Error::invalid(format!("forbidden path outside the build context: {name} ()"))
    })?;
    let context = Arc::new(context);
    let own = context.clone();
    let shown = name.to_owned();
    let text = blocking(move || {
        let text = own.text(&format!("/{path}"))?;
        own.apply_ignore(&path, is_remote)?;
        Ok(text)
    });
    let Some(text) = text.await? else {
        return Err(Error::invalid(format!("Cannot locate specified Dockerfile: {shown}")));
    };
    let dockerfile = read_dockerfile(&text, &shown)?;
    refuse_kit(&dockerfile)?;
    Build::new(engine, outside, options, context, dockerfile)
}

/// A build by BuildKit, whose context comes once it is known what it needs of it.
pub fn prepare_kit(
    engine: Engine,
    outside: Arc<dyn Outside>,
    options: Options,
    dockerfile: Dockerfile,
) -> Result<Build, Error> {
    let context = Arc::new(Context::empty(engine.images())?);
    let mut build = Build::new(engine, outside, options, context, dockerfile)?;
    build.predefine();
    for (_, args) in build.dockerfile.args.clone() {
        build.declare_meta(&args)?;
    }
    Ok(build)
}

/// What the classic builder does not know, in its words.
fn refuse_kit(dockerfile: &Dockerfile) -> Result<(), Error> {
    for command in dockerfile.stages.iter().flat_map(|stage| &stage.commands) {
        let Instruction::Run(run) = &command.instruction else { continue };
        let name = match run {
            dockerfile::Run { mounts, .. } if !mounts.is_empty() => "mount",
            dockerfile::Run { is_insecure: true, .. } => "security",
            _ => continue,
        };
        return Err(Error::invalid(format!(
            "dockerfile parse error on line {}: the --{name} option requires BuildKit. Refer to \
             https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled",
            command.line
        )));
    }
    Ok(())
}

/// `shown` is what the client calls it.
pub fn read_dockerfile(text: &str, shown: &str) -> Result<Dockerfile, Error> {
    if text.is_empty() {
        return Err(Error::invalid(format!("the Dockerfile ({shown}) cannot be empty")));
    }
    dockerfile::parse(text).map_err(|error| Error::invalid(error.to_string()))
}

/// An archive, or a Dockerfile alone. Blocks.
pub fn remote(images: &engine::image::Images, mut file: std::fs::File) -> Result<Context, Error> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    plain(Box::new(&mut file))?.take(512).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let is_tar = oci::tar::Reader::new(head.as_slice()).next_entry().is_ok_and(|e| e.is_some());
    if is_tar {
        return Context::unpack(images, file);
    }
    let mut text = Vec::new();
    file.take(TEXT_BYTES_MAX).read_to_end(&mut text)?;
    Context::of_text(images, &text)
}

/// Labels of the request are one step more.
fn add_labels(dockerfile: &mut Dockerfile, options: &Options) {
    let Some(last) = dockerfile.stages.last_mut().filter(|_| !options.labels.is_empty()) else {
        return;
    };
    let pairs: Vec<(String, String)> = options
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), format!("'{}'", value.replace('\'', "'\"'\"'"))))
        .collect();
    let shown: Vec<String> =
        options.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    last.commands.push(Command {
        text: format!("LABEL {}", shown.join(" ")),
        line: 0,
        instruction: Instruction::Label(pairs),
    });
}

impl Build {
    fn new(
        engine: Engine,
        outside: Arc<dyn Outside>,
        options: Options,
        context: Arc<Context>,
        mut dockerfile: Dockerfile,
    ) -> Result<Build, Error> {
        if !options.target.is_empty() {
            let Some(at) = dockerfile.stage(&options.target) else {
                return Err(Error::invalid(format!(
                    "target stage {:?} could not be found",
                    options.target
                )));
            };
            dockerfile.stages.truncate(at + 1);
        }
        add_labels(&mut dockerfile, &options);
        let commands: usize = dockerfile.stages.iter().map(|stage| stage.commands.len() + 1).sum();
        let steps = dockerfile.args.len() + commands;
        let args = Args::new(options.args.clone());
        let done = Vec::new();
        Ok(Build {
            engine,
            outside,
            options,
            context,
            dockerfile,
            args,
            done,
            step: 0,
            steps,
            told: 0,
        })
    }

    /// All steps; gives the id of the image. What went wrong is told in the output too.
    pub async fn run(mut self, output: &Output) -> Result<String, Error> {
        match self.stages(output).await {
            Ok(id) => Ok(id),
            Err(Failed::Error(error)) => {
                output.error(&error.text, None).await;
                Err(error)
            }
            Err(Failed::Code(code)) => Err(Error::failed(format!("exit code {code}"))),
        }
    }

    pub fn set_context(&mut self, context: Arc<Context>) {
        self.context = context;
    }

    fn declare_meta(&mut self, args: &[dockerfile::Arg]) -> Result<(), Error> {
        for arg in args {
            let default = match &arg.default {
                Some(text) => Some(self.meta_word(text)?),
                None => None,
            };
            self.args.declare_meta(arg, default);
        }
        Ok(())
    }

    async fn stages(&mut self, output: &Output) -> Result<String, Failed> {
        for (text, args) in self.dockerfile.args.clone() {
            self.announce(&text, output).await;
            if self.options.kit.is_none() {
                self.declare_meta(&args)?;
            }
            output.text("\n").await;
        }
        let stages = self.dockerfile.stages.clone();
        let needed = self.needed()?;
        let mut last = State::scratch();
        let mut base = ImageConfig::default();
        for (at, stage) in stages.iter().enumerate() {
            if !needed[at] {
                self.done.push(None);
                continue;
            }
            self.args.begin_stage();
            self.told = 0;
            last = self.from(stage, output).await?;
            base = last.config.clone();
            for command in &stage.commands {
                if output.is_closed() {
                    return Err(Error::failed("build cancelled").into());
                }
                self.announce(&command.text, output).await;
                self.tell(&command.instruction, &command.text, output).await;
                output.text("\n").await;
                self.instruction(&command.instruction, &mut last, output).await?;
                output.text(&format!(" ---> {}\n", short(&last.image))).await;
            }
            let (image, config) = (last.image.clone(), last.config.clone());
            self.done.push(Some(Done { image, config }));
        }
        Ok(self.finish(last, base, output).await?)
    }

    async fn announce(&mut self, text: &str, output: &Output) {
        self.step += 1;
        output.text(&format!("Step {}/{} : {text}", self.step, self.steps)).await;
    }

    async fn finish(
        &mut self,
        state: State,
        base: ImageConfig,
        output: &Output,
    ) -> Result<String, Error> {
        output.event(Event::Ended).await;
        if state.image.is_empty() {
            return Err(Error::failed("No image was generated. Is your Dockerfile empty?"));
        }
        let unused = self.args.unused();
        if !unused.is_empty() {
            let text = format!(
                "[Warning] One or more build-args [{}] were not consumed\n",
                unused.join(" ")
            );
            output.text(&text).await;
        }
        let images = self.engine.images().clone();
        let (squashes, tags) = (self.options.squash, self.options.tags.clone());
        let own = tags.clone();
        let id = blocking(move || {
            let id = match squashes {
                true => crate::squash::squash(&images, &state, &base)?,
                false => state.image,
            };
            for tag in &own {
                images.set_tag(tag, &id)?;
            }
            Ok(id)
        })
        .await?;
        output.document(&serde_json::json!({ "aux": { "ID": id } })).await;
        match self.options.quiet {
            true => output.always(&format!("{id}\n")).await,
            false => output.text(&format!("Successfully built {}\n", short(&id))).await,
        }
        for tag in &tags {
            let name = tag.familiar();
            output.text(&format!("Successfully tagged {name}\n")).await;
            let attributes = [("name".to_owned(), name)].into();
            self.engine.tell("image", "tag", &id, attributes);
        }
        Ok(id)
    }

    /// In `FROM`, and before it.
    pub(crate) fn meta_word(&self, text: &str) -> Result<String, Error> {
        let lookup = |name: &str| self.args.meta(name);
        word(&Expander::new(self.dockerfile.escape, &lookup), text)
    }

    async fn from(&mut self, stage: &Stage, output: &Output) -> Result<State, Failed> {
        self.announce(&stage.text, output).await;
        output.text("\n").await;
        let name = self.meta_word(&stage.from.image)?;
        if name.is_empty() {
            let text = format!("base name ({}) should not be blank", stage.from.image);
            return Err(Error::failed(text).into());
        }
        if let Some(platform) = &stage.from.platform {
            check_platform(&self.meta_word(platform)?)?;
        }
        if name == "scratch" {
            output.text(" ---> \n").await;
            return Ok(self.begin(State::scratch()));
        }
        let earlier = self.earlier(&name, self.done.len()).and_then(|at| self.done[at].clone());
        let image = match earlier {
            Some(done) if done.image.is_empty() => return Ok(self.begin(State::scratch())),
            Some(done) => self.find(&done.image).await?,
            None => {
                let named = self.named_image(&name)?;
                let name = named.unwrap_or(name);
                self.tell_from(&name, output).await;
                let image = self.image(&name, output).await?;
                output.event(Event::Ended).await;
                image
            }
        };
        let mut state = self.begin(State::of(&image));
        output.text(&format!(" ---> {}\n", short(&image.id))).await;
        let triggers = state.run.on_build.take().unwrap_or_default();
        if !triggers.is_empty() {
            let s = if triggers.len() == 1 { "" } else { "s" };
            output.text(&format!("# Executing {} build trigger{s}\n", triggers.len())).await;
        }
        for trigger in &triggers {
            let instruction =
                parse_instruction(trigger).map_err(|error| Error::failed(error.to_string()))?;
            self.instruction(&instruction, &mut state, output).await?;
            output.text(&format!(" ---> {}\n", short(&state.image))).await;
        }
        Ok(state)
    }

    /// The last stage of this name before another.
    pub(crate) fn earlier(&self, name: &str, before: usize) -> Option<usize> {
        self.dockerfile.stages.iter().take(before).rposition(|stage| {
            stage.from.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name))
        })
    }

    pub(crate) async fn find(&self, name: &str) -> Result<Image, Error> {
        let (images, name) = (self.engine.images().clone(), name.to_owned());
        blocking(move || images.find(&name)).await
    }

    /// From here, or from its registry.
    pub(crate) async fn image(&self, name: &str, output: &Output) -> Result<Image, Error> {
        if !self.options.pull
            && let Ok(image) = self.find(name).await
        {
            return Ok(image);
        }
        self.outside.pull(name, output).await?;
        self.find(name).await
    }

    /// One instruction. Boxed where it waits long, so that the whole stays small.
    async fn instruction(
        &mut self,
        instruction: &Instruction,
        state: &mut State,
        output: &Output,
    ) -> Result<(), Failed> {
        match instruction {
            Instruction::Run(step) => Box::pin(self.run_step(step, state, output)).await,
            Instruction::Copy(step) => Ok(Box::pin(self.copy_step(step, state, output)).await?),
            Instruction::Workdir(path) => Ok(self.workdir(path, state, output).await?),
            other => {
                let text = self.change(other, state)?;
                Ok(self.commit(state, format!(" {text}"), output).await?)
            }
        }
    }

    /// What runs nothing and copies nothing; gives its line of history.
    fn change(&mut self, instruction: &Instruction, state: &mut State) -> Result<String, Error> {
        let before = state.clone();
        let args = self.args.clone();
        let lookup = |name: &str| before.env(name).or_else(|| args.get(name));
        let expander = &Expander::new(self.dockerfile.escape, &lookup);
        Ok(match instruction {
            Instruction::Arg(declared) => {
                let mut shown = Vec::new();
                for arg in declared {
                    let default = arg.default.as_ref().map(|text| word(expander, text));
                    let default = default.transpose()?;
                    shown.push(match &default {
                        Some(value) => format!("{}={value}", arg.name),
                        None => arg.name.clone(),
                    });
                    self.args.declare(arg, default);
                }
                format!("ARG {}", shown.join(" "))
            }
            Instruction::Env(pairs) => metadata::env(state, pairs, expander)?,
            Instruction::Label(pairs) => metadata::label(&mut state.run, pairs, expander)?,
            Instruction::Maintainer(name) => {
                state.config.author = Some(name.clone());
                format!("MAINTAINER {name}")
            }
            Instruction::Cmd(given) => {
                let words = command(state, given);
                let text = format!("CMD {}", metadata::quoted(&words));
                state.run.cmd = Some(words);
                state.has_cmd = true;
                text
            }
            Instruction::Entrypoint(given) => {
                let words = command(state, given);
                let text = format!("ENTRYPOINT {}", metadata::quoted(&words));
                state.run.entrypoint = Some(words).filter(|words| !words.is_empty());
                if !state.has_cmd {
                    state.run.cmd = None;
                }
                text
            }
            Instruction::Expose(ports) => {
                metadata::expose(&mut state.run, &words(expander, ports)?)?
            }
            Instruction::Volume(paths) => {
                let paths: Result<Vec<String>, Error> =
                    paths.iter().map(|path| word(expander, path)).collect();
                metadata::volume(&mut state.run, paths?)?
            }
            Instruction::User(user) => {
                state.run.user = word(expander, user)?;
                format!("USER {}", state.run.user)
            }
            Instruction::Onbuild(trigger) => {
                state.run.on_build.get_or_insert_default().push(trigger.clone());
                format!("ONBUILD {trigger}")
            }
            Instruction::Healthcheck(health) => metadata::healthcheck(&mut state.run, health),
            Instruction::StopSignal(signal) => {
                state.run.stop_signal = word(expander, signal)?;
                engine::validate::signal(&state.run.stop_signal)?;
                format!("STOPSIGNAL {}", state.run.stop_signal)
            }
            Instruction::Shell(shell) => {
                state.run.shell = Some(shell.clone());
                format!("SHELL [{}]", shell.join(" "))
            }
            Instruction::From(_)
            | Instruction::Run(_)
            | Instruction::Copy(_)
            | Instruction::Workdir(_) => return Err(Error::failed("a step is out of place")),
        })
    }

    /// The image after a step that changed no file, from the cache if it is there.
    async fn commit(&self, state: &mut State, text: String, output: &Output) -> Result<(), Error> {
        let created_by = state.nop(&text);
        if self.cached(state, &created_by, output).await? {
            return Ok(());
        }
        self.make(state, created_by, None).await
    }

    async fn make(
        &self,
        state: &mut State,
        created_by: String,
        layer: Option<engine::image::Sealed>,
    ) -> Result<(), Error> {
        let (images, mut next) = (self.engine.images().clone(), state.clone());
        *state = blocking(move || {
            next.commit(&images, &created_by, layer)?;
            Ok(next)
        })
        .await?;
        Ok(())
    }

    async fn cached(
        &self,
        state: &mut State,
        created_by: &str,
        output: &Output,
    ) -> Result<bool, Error> {
        if self.options.no_cache || state.cache_missed {
            return Ok(false);
        }
        let (images, own) = (self.engine.images().clone(), state.clone());
        let (text, from) = (created_by.to_owned(), self.options.cache_from.clone());
        let found = blocking(move || cache::find(&images, &own, &text, &from)).await?;
        match found {
            Some(image) => {
                output.cached().await;
                state.take(&image);
                Ok(true)
            }
            None => {
                state.cache_missed = true;
                Ok(false)
            }
        }
    }

    async fn run_step(
        &mut self,
        step: &dockerfile::Run,
        state: &mut State,
        output: &Output,
    ) -> Result<(), Failed> {
        if state.image.is_empty() {
            // A container needs an image; this one has nothing in it.
            self.make(state, state.nop(" FROM scratch"), None).await?;
        }
        let mut words = command(state, &step.command);
        if let Some(last) = words.last_mut().filter(|_| step.command.for_shell) {
            *last = with_heredocs(last, &step.heredocs);
        }
        let (known, others) = self.args.for_step(&state.run.env);
        let mounts = self.mounts(step, state, output).await?;
        let mut created_by = format!("{}{}", self.mounts_key(&mounts), words.join(" "));
        if !known.is_empty() {
            created_by = format!("|{} {} {created_by}", known.len(), known.join(" "));
        }
        if self.cached(state, &created_by, output).await? {
            return Ok(());
        }
        let shown = words.join(" ");
        let running = Running {
            command: words,
            env: [known, others].concat(),
            host: self.options.host(step.network.as_deref()),
            removal: Removal { good: self.options.remove, bad: self.options.force_remove },
            mounted: self.mount(mounts, output).await?,
        };
        let ran = run(&self.engine, state, running, output).await;
        if let Err(Failed::Code(code)) = &ran {
            if self.options.kit.is_some() {
                return Err(Error::failed(format!(
                    "process {shown:?} did not complete successfully: exit code: {code}"
                ))
                .into());
            }
            let text = format!("The command '{shown}' returned a non-zero code: {code}");
            output.error(&text, Some(*code)).await;
        }
        let layer = ran?;
        Ok(self.make(state, created_by, layer).await?)
    }

    async fn workdir(&self, path: &str, state: &mut State, output: &Output) -> Result<(), Error> {
        let path = {
            let lookup = |name: &str| state.env(name).or_else(|| self.args.get(name));
            word(&Expander::new(self.dockerfile.escape, &lookup), path)?
        };
        state.run.working_dir = metadata::join_workdir(&state.run.working_dir, &path);
        let path = state.run.working_dir.clone();
        let created_by = state.nop(&format!(" WORKDIR {path}"));
        if self.cached(state, &created_by, output).await? {
            return Ok(());
        }
        let (images, config) = (self.engine.images().clone(), state.config.clone());
        let layer = blocking(move || {
            let workspace = images.workspace(&config)?;
            workspace.make_folder(&path, (0, 0))?;
            workspace.seal()
        });
        let layer = layer.await?;
        self.make(state, created_by, layer).await
    }

    async fn copy_step(
        &mut self,
        step: &dockerfile::Copy,
        state: &mut State,
        output: &Output,
    ) -> Result<(), Error> {
        let keyword = if step.is_add { "ADD" } else { "COPY" };
        let (names, plan, chown) = self.copy_plan(step, state)?;
        let root = match &step.from {
            None => Root::Context(self.context.clone()),
            Some(from) => self.image_root(from, output).await?,
        };
        let exclude = Ignore::parse(&step.exclude.join("\n")).map_err(Error::failed)?;
        // A context's files are those of who builds, whom the image does not know.
        let keep_owners = matches!(root, Root::Image(_)) && plan.chown.is_none();
        let mut sources = Sources { root, all: Vec::new(), exclude, keep_owners };
        let mut local = Vec::new();
        for name in names {
            match step.is_add && (name.starts_with("http://") || name.starts_with("https://")) {
                true => sources.all.push(self.download(&name, &plan, step).await?),
                false => local.push(name),
            }
        }
        for heredoc in &step.heredocs {
            let content = match heredoc.expands {
                true => self.expand_text(&heredoc.content, state)?,
                false => heredoc.content.clone(),
            };
            sources.all.push(Source::Text { name: heredoc.name.clone(), content });
        }
        let (mut sources, hash) = blocking(move || {
            for name in local {
                sources.find(keyword, &name)?;
            }
            let hash = sources.hash()?;
            Ok((sources, hash))
        })
        .await?;
        if sources.all.len() > 1 && !plan.to.ends_with('/') {
            return Err(Error::failed(format!(
                "When using {keyword} with more than one source file, the destination must be a \
                 directory and end with a /"
            )));
        }
        let created_by = state.nop(&format!("{keyword} {chown}{hash} in {} ", plan.to));
        if self.cached(state, &created_by, output).await? {
            return Ok(());
        }
        let (images, config) = (self.engine.images().clone(), state.config.clone());
        let layer = blocking(move || {
            let workspace = images.workspace(&config)?;
            copy(workspace, &mut sources, &plan)
        });
        let layer = layer.await?;
        self.make(state, created_by, layer).await
    }

    /// The sources' names, what to do with them, and how owner and mode show in the history.
    fn copy_plan(
        &self,
        step: &dockerfile::Copy,
        state: &State,
    ) -> Result<(Vec<String>, Plan, String), Error> {
        let lookup = |name: &str| state.env(name).or_else(|| self.args.get(name));
        let expander = Expander::new(self.dockerfile.escape, &lookup);
        let one = |text: &String| word(&expander, text);
        let names = step.sources.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        let to = metadata::destination(&state.run.working_dir, &one(&step.to)?);
        let chown = step.chown.as_ref().map(one).transpose()?.filter(|owner| !owner.is_empty());
        let mode = step.chmod.as_ref().map(one).transpose()?.filter(|mode| !mode.is_empty());
        let mut shown = String::new();
        if let Some(owner) = &chown {
            shown.push_str(&format!("--chown={owner} "));
        }
        let chmod = match &mode {
            Some(text) => {
                shown.push_str(&format!("--chmod={text} "));
                let wrong = || {
                    Error::failed(format!(
                        "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
                    ))
                };
                let mode = u32::from_str_radix(text, 8).map_err(|_| wrong())?;
                Some(mode).filter(|mode| *mode <= 0o7777).ok_or_else(wrong).map(Some)?
            }
            None => None,
        };
        Ok((names, Plan { is_add: step.is_add, to, chown, chmod }, shown))
    }

    fn expand_text(&self, text: &str, state: &State) -> Result<String, Error> {
        let lookup = |name: &str| state.env(name).or_else(|| self.args.get(name));
        // Quotes of a document are its own.
        let text = text.replace('\'', "\\'").replace('"', "\\\"");
        word(&Expander::new('\\', &lookup), &text)
    }

    /// A stage by its name or number, or any image.
    async fn image_root(&self, from: &str, output: &Output) -> Result<Root, Error> {
        let config = match self.source(from, output).await? {
            Ok(config) => config,
            Err(context) => return Ok(Root::Context(context)),
        };
        let images = self.engine.images().clone();
        let root = blocking(move || images.view(&config)).await?;
        Ok(Root::Image(Arc::new(root)))
    }

    async fn download(
        &self,
        url: &str,
        plan: &Plan,
        step: &dockerfile::Copy,
    ) -> Result<Source, Error> {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let path = path.splitn(4, '/').nth(3).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if name.is_empty() && plan.to.ends_with('/') {
            return Err(Error::failed(format!("cannot determine filename for source {url}")));
        }
        let mut download = self.outside.download(url).await?;
        if let Some(expected) = &step.checksum {
            let mut hasher = oci::digest::Hasher::default();
            download.file.seek(SeekFrom::Start(0))?;
            let mut file = download.file.try_clone()?;
            let found = blocking(move || {
                crate::tree::hash_content(&mut file, &mut hasher)?;
                Ok(hasher.finish().to_string())
            })
            .await?;
            if found != *expected {
                return Err(Error::failed(format!(
                    "digest mismatch for {url}: expected {expected}, got {found}"
                )));
            }
        }
        Ok(Source::Download { name, download })
    }
}

/// A script of its own, or what a command reads.
fn with_heredocs(text: &str, heredocs: &[dockerfile::Heredoc]) -> String {
    match heredocs {
        [] => text.to_owned(),
        [one] if text.split_whitespace().count() == 1 && text.starts_with("<<") => {
            one.content.clone()
        }
        many => {
            let mut out = text.to_owned();
            for one in many {
                out.push_str(&format!("\n{}{}", one.content, one.name));
            }
            out.push('\n');
            out
        }
    }
}

/// Only this machine's can be built for.
pub fn check_platform(platform: &str) -> Result<(), Error> {
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next());
    match os {
        "" | "linux" if architecture.is_none_or(|own| own == engine::image::architecture()) => {
            Ok(())
        }
        _ => Err(Error::failed(format!("platform {platform} cannot run on this machine"))),
    }
}

pub(crate) fn short(id: &str) -> &str {
    id.get(7..19).unwrap_or(id)
}
