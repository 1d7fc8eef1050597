//! The pages that users of LocalStack and MinIO, and their tools, ask whether the cloud is there. They tell
//! only that it is.

use crate::init::Progress;
use gateway::{Gateway, Pages};
use smithy::json::Writer;
use std::sync::{Arc, OnceLock, Weak};

/// The pages of both, whatever the cloud stands in for: they tell only that it is there.
pub struct DropInPages {
    gateway: OnceLock<Weak<Gateway>>,
    progress: Arc<Progress>,
    /// In the form of an identifier; of this start.
    session: String,
}

impl DropInPages {
    pub fn new(progress: Arc<Progress>, session: String) -> Arc<DropInPages> {
        Arc::new(DropInPages { gateway: OnceLock::new(), progress, session })
    }

    /// The gateway that answers them.
    pub fn speak_for(&self, gateway: &Arc<Gateway>) {
        let _ = self.gateway.set(Arc::downgrade(gateway));
    }

    fn health(&self) -> String {
        let mut out = Writer::with_capacity(256);
        out.open('{');
        out.key("services");
        out.open('{');
        let gateway = self.gateway.get().and_then(Weak::upgrade);
        for name in gateway.map(|gateway| gateway.services()).unwrap_or_default() {
            out.key(name);
            out.string("running");
        }
        out.close('}');
        out.key("edition");
        out.string("community");
        out.key("version");
        out.string(env!("CARGO_PKG_VERSION"));
        out.close('}');
        out.finish()
    }

    fn info(&self) -> String {
        let mut out = Writer::with_capacity(256);
        out.open('{');
        let texts = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("edition", "community"),
            ("product", "cumulet"),
            ("session_id", &self.session),
            ("system", "linux"),
        ];
        for (name, value) in texts {
            out.key(name);
            out.string(value);
        }
        out.key("is_license_activated");
        out.boolean(false);
        out.close('}');
        out.finish()
    }
}

impl Pages for DropInPages {
    fn page(&self, path: &str) -> Option<(u16, String)> {
        let text = match path {
            "/_localstack/health" => self.health(),
            "/_localstack/info" => self.info(),
            "/_localstack/init" => self.progress.page(None)?,
            // The store answered its own opening; a stopped one ends the process.
            "/minio/health/live"
            | "/minio/health/ready"
            | "/minio/health/cluster"
            | "/minio/health/cluster/read" => String::new(),
            _ => {
                return path.strip_prefix("/_localstack/init/").map(|stage| {
                    match self.progress.page(Some(stage)) {
                        Some(text) => (200, text),
                        None => (404, String::new()),
                    }
                });
            }
        };
        Some((200, text))
    }
}
