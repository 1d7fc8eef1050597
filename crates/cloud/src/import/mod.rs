//! `cumulet import s3`: buckets of another S3 into the running cloud, with versions, tags, policies and
//! lock state.
//!
//! It may be broken off and goes on where it was. Every object is held against what its source said
//! of it. What is not copied: the ids of versions, which an S3 gives itself, and what of a bucket's documents
//! names somebody else (notifications, logs, replication).

mod copy;
mod http;
mod journal;
mod listing;

use crate::exit::{self, Failure};
use crate::settings::Config;
use crate::{cli, client, env};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::ArgMatches;
use copy::{Copier, Done, Shared, Tally, Trouble, call, refused};
use http::{Body, Place, Session};
use journal::Journal;
use listing::Version;
use md5::{Digest, Md5};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;

/// Documents of a bucket that are put as they are. The last ones may forbid what comes before.
const DOCUMENTS: [&str; 9] = [
    "tagging",
    "cors",
    "lifecycle",
    "website",
    "encryption",
    "ownershipControls",
    "object-lock",
    "publicAccessBlock",
    "policy",
];
/// What a bucket is by S3's meaning that says nothing of ownership.
const OBJECT_WRITER: &str = "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";
const WORKERS: usize = 8;
/// Keys that wait for a worker.
const WAITING: usize = 64;
const PROGRESS: Duration = Duration::from_secs(1);

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let Some(("s3", matches)) = matches.subcommand() else { return Ok(()) };
    let source = Arc::new(source(matches)?);
    let target = Arc::new(target(config, matches)?);
    let path = journal_path(config, matches, &source, &target);
    let failed = |error: std::io::Error| Failure::new(exit::FAILED, error.to_string());
    if matches.get_flag("again") {
        let _ = std::fs::remove_file(&path);
    }
    let journal = Journal::open(&path).map_err(failed)?;
    if !journal.is_empty() {
        println!("going on where {} ends (--again begins anew)", path.display());
    }
    let shared =
        Arc::new(Shared { journal: Mutex::new(journal), tally: Mutex::new(Tally::default()) });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let wanted: Vec<String> =
        matches.get_many::<String>("bucket").into_iter().flatten().cloned().collect();
    runtime.block_on(all(source, target, wanted, shared.clone()))?;
    let tally = shared.tally.lock().expect("no panic while held");
    println!(
        "{} versions copied and verified, {} bytes; {} were there already",
        tally.copied, tally.bytes, tally.skipped
    );
    for problem in &tally.problems {
        eprintln!("not copied: {problem}");
    }
    match tally.problems.len() {
        0 => Ok(()),
        n => Err(Failure::new(exit::FAILED, format!("{n} things were not copied"))),
    }
}

fn usage(text: String) -> Failure {
    Failure::new(exit::USAGE, text)
}

fn source(matches: &ArgMatches) -> Result<Place, Failure> {
    let url = cli::value(matches, "endpoint").unwrap_or_default();
    let wrong = || usage(format!("--endpoint is {url:?}, but must be http(s)://HOST[:PORT]"));
    let uri: ::http::Uri = url.parse().map_err(|_| wrong())?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong()),
    };
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong());
    }
    let variable = |name: &str| cli::variable(name).filter(|value| !value.is_empty());
    let key = variable("CUMULET_SOURCE_KEY").or_else(|| {
        let secret = variable("AWS_SECRET_ACCESS_KEY")?;
        Some(format!("{}:{secret}", variable("AWS_ACCESS_KEY_ID")?))
    });
    let missing = "whose buckets? Give CUMULET_SOURCE_KEY=ID:SECRET in the environment, or \
                   AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    let key = key.ok_or_else(|| usage(missing.to_owned()))?;
    let (id, secret) = key.split_once(':').ok_or_else(|| usage(missing.to_owned()))?;
    Ok(Place {
        host,
        port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        tls: secure.then(trust).transpose()?,
        region: cli::value(matches, "source_region").unwrap_or_else(|| "us-east-1".to_owned()),
        id: id.to_owned(),
        secret: secret.to_owned(),
        token: variable("AWS_SESSION_TOKEN"),
    })
}

fn target(config: &Config, matches: &ArgMatches) -> Result<Place, Failure> {
    let address = client::Client::new(config).address().to_owned();
    let (host, port) = address.rsplit_once(':').unwrap_or((&address, "4566"));
    let pairs = env::identity(config, cli::value(matches, "account"))?;
    let of = |wanted: &str| {
        let found = pairs.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Ok(Place {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: port.parse().unwrap_or(4566),
        tls: None,
        region: config.region.as_str().to_owned(),
        id: of("AWS_ACCESS_KEY_ID"),
        secret: of("AWS_SECRET_ACCESS_KEY"),
        token: None,
    })
}

/// What the system trusts, or the file that a variable names.
fn trust() -> Result<Arc<rustls::ClientConfig>, Failure> {
    let given = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"].into_iter().filter_map(cli::variable);
    let known = crate::shell::BUNDLES.iter().map(|path| (*path).to_owned());
    let mut roots = rustls::RootCertStore::empty();
    for path in given.chain(known) {
        if let Ok(certificates) = CertificateDer::pem_file_iter(&path) {
            roots.add_parsable_certificates(certificates.filter_map(Result::ok));
            break;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// One for each pair of source and account.
fn journal_path(config: &Config, matches: &ArgMatches, source: &Place, target: &Place) -> PathBuf {
    cli::value(matches, "journal").map(PathBuf::from).unwrap_or_else(|| {
        let name = format!("{}-{}-{}-{}", source.host, source.port, source.id, target.id);
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
        let name: String = name.chars().map(safe).collect();
        config.data.join("import").join(format!("{name}.journal"))
    })
}

async fn all(
    source: Arc<Place>,
    target: Arc<Place>,
    wanted: Vec<String>,
    shared: Arc<Shared>,
) -> Result<(), Failure> {
    let mut own = Copier {
        source: Session::new(source.clone()),
        target: Session::new(target),
        shared: shared.clone(),
        grants_for: None,
    };
    let failed = |trouble: Trouble| match trouble {
        Trouble::Passing(text) | Trouble::Lasting(text) => {
            let text = format!("the source {}:{}: {text}", source.host, source.port);
            Failure::new(exit::FAILED, text)
        }
    };
    let buckets = if wanted.is_empty() { own.buckets().await.map_err(failed)? } else { wanted };
    #[allow(clippy::disallowed_methods, reason = "the process does nothing else")]
    let progress = tokio::spawn(tell(shared.clone()));
    for bucket in &buckets {
        match own.bucket(bucket).await {
            Ok(()) => println!("{bucket}: done"),
            Err(Trouble::Passing(text) | Trouble::Lasting(text)) => {
                shared.problem(format!("{bucket}: {text}"));
            }
        }
    }
    progress.abort();
    Ok(())
}

/// How far it is, for a person at a terminal.
async fn tell(shared: Arc<Shared>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    loop {
        tokio::time::sleep(PROGRESS).await;
        let (copied, bytes) = {
            let tally = shared.tally.lock().expect("no panic while held");
            (tally.copied + tally.skipped, tally.bytes)
        };
        eprint!("\r{copied} versions, {} MB ", bytes >> 20);
        let _ = std::io::stderr().flush();
    }
}

impl Copier {
    async fn buckets(&mut self) -> Done<Vec<String>> {
        let answer = self.source.send(&call("GET", "", ""), Body::Empty).await?;
        if answer.status != 200 {
            return Err(refused("list buckets", answer).await);
        }
        let body = answer.text().await?;
        listing::buckets(&body).map_err(|error| Trouble::Lasting(error.to_string()))
    }

    /// A document of a source's bucket; `None` where it has none.
    async fn document(&mut self, bucket: &str, name: &'static str) -> Done<Option<Bytes>> {
        let mut get = call("GET", bucket, "");
        get.query = vec![(name, String::new())];
        let answer = self.source.send(&get, Body::Empty).await?;
        match answer.status {
            200 => Ok(Some(answer.text().await?)),
            // Not every S3 has them all.
            404 | 405 | 400 | 501 => {
                answer.text().await?;
                Ok(None)
            }
            _ => Err(refused(&format!("get {name}"), answer).await),
        }
    }

    async fn put_document(&mut self, bucket: &str, name: &'static str, body: Bytes) -> Done<()> {
        let mut put = call("PUT", bucket, "");
        put.query = vec![(name, String::new())];
        put.headers.push(("content-md5".to_owned(), STANDARD.encode(Md5::digest(&body))));
        let answer = self.target.send(&put, Body::Whole(body)).await?;
        match answer.status {
            200 | 204 => answer.text().await.map(|_| ()).map_err(Trouble::from),
            _ => Err(refused(&format!("put {name}"), answer).await),
        }
    }

    async fn bucket(&mut self, bucket: &str) -> Done<()> {
        let versioning = self.document(bucket, "versioning").await?;
        let status = versioning.and_then(|xml| listing::element(&xml, "Status"));
        let lock = self.document(bucket, "object-lock").await?;
        self.create(bucket, lock.is_some()).await?;
        let grants = self.grants_of_bucket(bucket).await?;
        if status.is_some() {
            self.put_versioning(bucket, "Enabled").await?;
        }
        self.objects(bucket, status.is_some()).await?;
        if status.as_deref() == Some("Suspended") {
            self.put_versioning(bucket, "Suspended").await?;
        }
        for name in DOCUMENTS {
            let Some(body) = self.document(bucket, name).await? else { continue };
            if let Err(Trouble::Passing(text) | Trouble::Lasting(text)) =
                self.put_document(bucket, name, body).await
            {
                self.shared.problem(format!("{bucket}: {text}"));
            }
        }
        if let Err(Trouble::Passing(text) | Trouble::Lasting(text)) =
            self.put_grants(bucket, grants).await
        {
            self.shared.problem(format!("{bucket}: {text}"));
        }
        Ok(())
    }

    /// Who else may use the bucket, as headers; and whether its objects may have lists of their own,
    /// which the target must allow before they come.
    async fn grants_of_bucket(&mut self, bucket: &str) -> Done<Vec<(String, String)>> {
        self.grants_for = None;
        let ownership = self.document(bucket, "ownershipControls").await?;
        let text = ownership.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        if text.contains("BucketOwnerEnforced") {
            return Ok(Vec::new());
        }
        let Some(list) = self.document(bucket, "acl").await? else { return Ok(Vec::new()) };
        let answer = self.target.send(&call("GET", "", ""), Body::Empty).await?;
        let Some(own) = listing::owner(&answer.text().await?) else { return Ok(Vec::new()) };
        let controls = ownership.unwrap_or_else(|| Bytes::from_static(OBJECT_WRITER.as_bytes()));
        self.put_document(bucket, "ownershipControls", controls).await?;
        self.grants_for = Some(own.clone().into());
        listing::grants(&list, &own).map_err(|error| Trouble::Lasting(format!("grants: {error}")))
    }

    async fn put_grants(&mut self, bucket: &str, grants: Vec<(String, String)>) -> Done<()> {
        if grants.is_empty() {
            return Ok(());
        }
        let mut put = call("PUT", bucket, "");
        put.query = vec![("acl", String::new())];
        put.headers = grants;
        let answer = self.target.send(&put, Body::Empty).await?;
        match answer.status {
            200 => answer.text().await.map(|_| ()).map_err(Trouble::from),
            _ => Err(refused("put grants", answer).await),
        }
    }

    async fn create(&mut self, bucket: &str, lock: bool) -> Done<()> {
        let mut put = call("PUT", bucket, "");
        if lock {
            put.headers.push(("x-amz-bucket-object-lock-enabled".to_owned(), "true".to_owned()));
        }
        let region = self.target.place.region.clone();
        let body = match &*region {
            "us-east-1" => Body::Empty,
            region => Body::Whole(Bytes::from(format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint>\
                 </CreateBucketConfiguration>"
            ))),
        };
        let answer = self.target.send(&put, body).await?;
        if answer.status == 200 {
            answer.text().await?;
            return Ok(());
        }
        match refused("create", answer).await {
            // Of an earlier run.
            Trouble::Lasting(text) if text.contains("BucketAlreadyOwnedByYou") => Ok(()),
            other => Err(other),
        }
    }

    async fn put_versioning(&mut self, bucket: &str, status: &str) -> Done<()> {
        let xml = format!(
            "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Status>{status}</Status></VersioningConfiguration>"
        );
        self.put_document(bucket, "versioning", Bytes::from(xml)).await
    }

    /// Pages through the source, and hands the versions of each key to a worker.
    async fn objects(&mut self, bucket: &str, versioned: bool) -> Done<()> {
        let (sender, receiver) = mpsc::channel::<Vec<Version>>(WAITING);
        let receiver = Arc::new(AsyncMutex::new(receiver));
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let mut own = Copier {
                source: Session::new(self.source.place.clone()),
                target: Session::new(self.target.place.clone()),
                shared: self.shared.clone(),
                grants_for: self.grants_for.clone(),
            };
            let (receiver, bucket) = (receiver.clone(), bucket.to_owned());
            workers.spawn(async move {
                loop {
                    let next = receiver.lock().await.recv().await;
                    let Some(versions) = next else { return };
                    own.key(&bucket, versions, versioned).await;
                }
            });
        }
        let listed = self.pages(bucket, &sender).await;
        drop(sender);
        while workers.join_next().await.is_some() {}
        listed
    }

    async fn pages(&mut self, bucket: &str, sender: &mpsc::Sender<Vec<Version>>) -> Done<()> {
        // The versions of one key may stand on two pages.
        let mut waiting: Vec<Version> = Vec::new();
        let mut place = None;
        loop {
            let page = self.page(bucket, place.take()).await?;
            for version in page.versions {
                if waiting.first().is_some_and(|first| first.key != version.key) {
                    let _ = sender.send(std::mem::take(&mut waiting)).await;
                }
                waiting.push(version);
            }
            place = page.next;
            if place.is_none() {
                break;
            }
        }
        if !waiting.is_empty() {
            let _ = sender.send(waiting).await;
        }
        Ok(())
    }

    async fn page(&mut self, bucket: &str, place: Option<(String, String)>) -> Done<listing::Page> {
        let mut get = call("GET", bucket, "");
        get.query = vec![("encoding-type", "url".to_owned())];
        if let Some((key, id)) = place {
            get.query.push(("key-marker", key));
            if !id.is_empty() {
                get.query.push(("version-id-marker", id));
            }
        }
        get.query.push(("versions", String::new()));
        // Sorted, as signatures want it.
        get.query.sort();
        let answer = self.source.send(&get, Body::Empty).await?;
        if answer.status != 200 {
            return Err(refused("list versions", answer).await);
        }
        listing::versions(&answer.text().await?)
            .map_err(|error| Trouble::Lasting(format!("list versions: {error}")))
    }
}
