//! A cloud for tests: in memory, on a free port, gone with whoever started it.
//!
//! With the SDK:
//!
//! ```ignore
//! let cloud = Cloud::start();
//! let config = aws_config::defaults(BehaviorVersion::latest())
//!     .endpoint_url(cloud.url())
//!     .region("us-east-1")
//!     .credentials_provider(Credentials::for_tests_with(cloud.account(), "test"));
//! ```

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// `cumulet up --ephemeral`.
pub struct Cloud {
    process: Child,
    url: String,
    accounts: AtomicU64,
}

/// The value of a text in the one line that the cloud prints; there are no escapes in it.
fn text(line: &str, name: &str) -> Option<String> {
    let (_, after) = line.split_once(&format!("\"{name}\":\""))?;
    Some(after.split_once('"')?.0.to_owned())
}

impl Cloud {
    /// An empty one.
    pub fn start() -> Cloud {
        Cloud::with(&[])
    }

    /// One that begins with a snapshot: its name, or the path of its folder.
    pub fn from(snapshot: &str) -> Cloud {
        Cloud::with(&["--from", snapshot])
    }

    fn with(args: &[&str]) -> Cloud {
        let mut process = Command::new("cumulet")
            .args(["up", "--ephemeral"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cumulet is on the path");
        let mut line = String::new();
        let stdout = process.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is text");
        let url = text(&line, "url").expect("cumulet starts; it has said above why it does not");
        Cloud { process, url, accounts: AtomicU64::new(1) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The key id of an account that nobody else has; its secret is `test`.
    pub fn account(&self) -> String {
        format!("{:012}", self.accounts.fetch_add(1, Ordering::Relaxed))
    }

    /// For a program that a test starts: every SDK of today reads this.
    pub fn environment(&self, account: &str) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", account.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // It keeps nothing, so there is nothing to be put in order; its containers end with it, too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
