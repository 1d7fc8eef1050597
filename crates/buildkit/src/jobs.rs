//! Builds under way, by the name that the client gave them: what they tell, and what became of them.

use crate::grpc::{Code, Status};
use crate::messages::Returned;
use crate::solve::Built;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// At once.
const JOBS_MAX: usize = 256;
/// Whoever asks how a build went may come when it is over.
const OVER_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 256;
/// Told of one build; what is beyond it is lost.
const TOLD_BYTES_MAX: usize = 64 << 20;
const RESULTS_MAX: usize = 64;
/// How long one that calls for a build waits for it to begin.
const WAIT: Duration = Duration::from_secs(10);

#[derive(Default, Debug)]
struct Told {
    messages: Vec<Arc<[u8]>>,
    bytes: usize,
    is_over: bool,
}

#[derive(Debug)]
pub struct Job {
    pub name: String,
    /// Whose files it builds.
    pub session: String,
    /// Whether steps may use the machine's own network.
    pub host_network: bool,
    told: Mutex<Told>,
    /// How many messages there are, and one more when it is over.
    grown: watch::Sender<usize>,
    results: Mutex<BTreeMap<String, Built>>,
    returned: watch::Sender<Option<Returned>>,
}

impl Job {
    pub fn new(name: &str, session: &str, host_network: bool) -> Job {
        Job {
            name: name.to_owned(),
            session: session.to_owned(),
            host_network,
            told: Mutex::default(),
            grown: watch::channel(0).0,
            results: Mutex::default(),
            returned: watch::channel(None).0,
        }
    }

    /// A `StatusResponse`.
    pub fn tell(&self, message: Vec<u8>) {
        let mut told = self.told.lock();
        if told.bytes + message.len() > TOLD_BYTES_MAX || told.is_over {
            return;
        }
        told.bytes += message.len();
        told.messages.push(message.into());
        drop(told);
        self.grown.send_modify(|count| *count += 1);
    }

    pub fn end(&self) {
        self.told.lock().is_over = true;
        self.grown.send_modify(|count| *count += 1);
    }

    /// What was told beyond the first so many; `None` when that was all.
    pub async fn after(&self, count: usize) -> Option<Vec<Arc<[u8]>>> {
        let mut grown = self.grown.subscribe();
        loop {
            grown.borrow_and_update();
            {
                let told = self.told.lock();
                let new = told.messages.get(count..).unwrap_or_default();
                if !new.is_empty() {
                    return Some(new.to_vec());
                }
                if told.is_over {
                    return None;
                }
            }
            if grown.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Keeps a result; gives the name that it is known by.
    pub fn keep(&self, built: Built) -> Result<String, Status> {
        let mut results = self.results.lock();
        if results.len() >= RESULTS_MAX {
            return Err(Status::new(Code::Exhausted, "the build has too many results"));
        }
        let name = format!("{}-{}", self.name, results.len());
        results.insert(name.clone(), built);
        Ok(name)
    }

    pub fn result(&self, name: &str) -> Result<Built, Status> {
        let found = self.results.lock().get(name).cloned();
        found.ok_or_else(|| Status::invalid(format!("no such result: {name}")))
    }

    pub fn return_with(&self, returned: Returned) {
        self.returned.send_replace(Some(returned));
    }

    pub async fn returned(&self) -> Result<Returned, Status> {
        let mut returned = self.returned.subscribe();
        let given = returned.wait_for(Option::is_some).await;
        given.ok().and_then(|given| given.clone()).ok_or_else(|| Status::unknown("build cancelled"))
    }
}

/// All that is told of a build, to its end.
#[derive(Debug)]
pub struct Hearing {
    job: Arc<Job>,
    count: usize,
    new: VecDeque<Arc<[u8]>>,
}

impl Hearing {
    pub fn new(job: Arc<Job>) -> Hearing {
        Hearing { job, count: 0, new: VecDeque::new() }
    }

    pub async fn next(&mut self) -> Option<Arc<[u8]>> {
        if self.new.is_empty() {
            self.new = self.job.after(self.count).await?.into();
            self.count += self.new.len();
        }
        self.new.pop_front()
    }
}

#[derive(Default, Debug)]
struct Known {
    running: BTreeMap<String, Arc<Job>>,
    over: VecDeque<Arc<Job>>,
}

#[derive(Default, Debug)]
pub struct Jobs {
    known: Mutex<Known>,
    came: Notify,
}

/// A job under way; dropped, it is over.
#[derive(Debug)]
pub struct Begun<'a> {
    jobs: &'a Jobs,
    pub job: Arc<Job>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.job.end();
        let mut known = self.jobs.known.lock();
        known.running.remove(&self.job.name);
        if known.over.len() == OVER_MAX {
            known.over.pop_front();
        }
        known.over.push_back(self.job.clone());
    }
}

impl Jobs {
    pub fn begin(
        &self,
        name: &str,
        session: &str,
        host_network: bool,
    ) -> Result<Begun<'_>, Status> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Status::invalid("the build has no name"));
        }
        let mut known = self.known.lock();
        if known.running.contains_key(name) {
            return Err(Status::new(Code::AlreadyExists, format!("job ID {name} exists")));
        }
        if known.running.len() >= JOBS_MAX {
            return Err(Status::new(Code::Unavailable, "there are too many builds"));
        }
        let job = Arc::new(Job::new(name, session, host_network));
        known.running.insert(name.to_owned(), job.clone());
        known.over.retain(|one| one.name != name);
        drop(known);
        self.came.notify_waiters();
        Ok(Begun { jobs: self, job })
    }

    /// Waits a while for one that has not begun yet.
    pub async fn find(&self, name: &str) -> Result<Arc<Job>, Status> {
        let found = async {
            loop {
                let mut came = std::pin::pin!(self.came.notified());
                came.as_mut().enable();
                {
                    let known = self.known.lock();
                    let over = || known.over.iter().find(|job| job.name == name);
                    if let Some(job) = known.running.get(name).or_else(over) {
                        return job.clone();
                    }
                }
                came.await;
            }
        };
        let missing = |_| Status::new(Code::NotFound, format!("no such job {name}"));
        tokio::time::timeout(WAIT, found).await.map_err(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a clock, by which some of them wait.
    fn block_on<T>(wait: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(wait)
    }

    #[test]
    fn what_is_told() {
        let jobs = Jobs::default();
        let begun = jobs.begin("a", "s", false).unwrap();
        assert_eq!(jobs.begin("a", "s", false).unwrap_err().code, Code::AlreadyExists);
        begun.job.tell(b"one".to_vec());
        let job = block_on(jobs.find("a")).unwrap();
        let told = |count| block_on(job.after(count)).map(|all| all.len());
        assert_eq!(told(0), Some(1));
        begun.job.tell(b"two".to_vec());
        drop(begun);
        assert_eq!((told(0), told(1), told(2)), (Some(2), Some(1), None));
        // Also when it is over.
        assert_eq!(block_on(jobs.find("a")).unwrap().name, "a");
        for at in 0..OVER_MAX {
            drop(jobs.begin(&format!("b{at}"), "s", false).unwrap());
        }
        assert!(jobs.known.lock().over.iter().all(|job| job.name != "a"));
        assert!(jobs.begin("", "s", false).is_err());
    }
}
