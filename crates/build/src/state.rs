//! Where a stage stands: the image so far, and how containers of it run.

use engine::config::Config;
use engine::image::{Image, Images, Sealed};
use engine::{Error, time};
use oci::image::{History, ImageConfig, LAYERS_MAX, RootFs};

const SHELL: [&str; 2] = ["/bin/sh", "-c"];

#[derive(Clone, Debug)]
pub struct State {
    /// Empty while it is nothing but `scratch`.
    pub image: String,
    pub config: ImageConfig,
    pub run: Config,
    /// Once a step was not in the cache, no later one is.
    pub cache_missed: bool,
    /// Set by this Dockerfile.
    pub has_cmd: bool,
}

impl State {
    pub fn scratch() -> State {
        State {
            image: String::new(),
            config: ImageConfig {
                architecture: engine::image::architecture().to_owned(),
                os: "linux".to_owned(),
                rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
                ..ImageConfig::default()
            },
            run: Config { env: vec![engine::launch::DEFAULT_PATH.to_owned()], ..Config::default() },
            cache_missed: false,
            has_cmd: false,
        }
    }

    pub fn of(image: &Image) -> State {
        let mut run = image.run_config();
        run.image = image.id.clone();
        if run.env.is_empty() {
            run.env.push(engine::launch::DEFAULT_PATH.to_owned());
        }
        let config = image.config.clone();
        State { image: image.id.clone(), config, run, cache_missed: false, has_cmd: false }
    }

    pub fn shell(&self) -> Vec<String> {
        self.run.shell.clone().unwrap_or_else(|| SHELL.map(str::to_owned).to_vec())
    }

    /// How the history shows a step that ran nothing.
    pub fn nop(&self, text: &str) -> String {
        format!("{} #(nop) {text}", self.shell().join(" "))
    }

    pub fn env(&self, name: &str) -> Option<String> {
        let pairs = self.run.env.iter().filter_map(|entry| entry.split_once('='));
        pairs.filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned()).next_back()
    }

    pub fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let found = self.run.env.iter_mut().find(|own| own.split('=').next() == Some(name));
        match found {
            Some(own) => *own = entry,
            None => self.run.env.push(entry),
        }
    }

    /// The next image's configuration: this one's, a layer more if there is one, and a line of
    /// history.
    pub fn next(&self, created_by: &str, layer: Option<&Sealed>) -> Result<ImageConfig, Error> {
        let created = time::rfc3339_nano(time::now_ns());
        let mut config = self.config.clone();
        config.created = Some(created.clone());
        config.comment = None;
        config.container = None;
        config.docker_version = None;
        config.config = serde_json::to_value(&self.run).ok();
        if let Some(layer) = layer {
            config.rootfs.diff_ids.push(layer.diff_id);
        }
        if config.rootfs.diff_ids.len() > LAYERS_MAX {
            return Err(Error::failed("max depth exceeded"));
        }
        config.history.push(History {
            created: Some(created),
            created_by: Some(created_by.to_owned()),
            author: config.author.clone(),
            comment: None,
            empty_layer: layer.is_none(),
        });
        Ok(config)
    }

    /// Makes the next image. Blocks.
    pub fn commit(
        &mut self,
        images: &Images,
        created_by: &str,
        layer: Option<Sealed>,
    ) -> Result<(), Error> {
        let config = self.next(created_by, layer.as_ref())?;
        self.image = images.add_built(&config, layer, &[], &self.image)?;
        self.run.image.clone_from(&self.image);
        self.config = config;
        Ok(())
    }

    /// Goes on with an image of the cache.
    pub fn take(&mut self, image: &Image) {
        self.image.clone_from(&image.id);
        self.config = image.config.clone();
        self.run = image.run_config();
        self.run.image.clone_from(&image.id);
    }
}
