//! What follows when a container has ended: it is written down, and its policy may want it back.

use super::{Container, Health, Probe, Status, WaitFor};
use crate::config::ExecConfig;
use crate::engine::{Engine, task};
use crate::first::{First, first};
use crate::helper::protocol::Ended;
use crate::time;
use std::sync::Arc;
use std::time::Duration;

const BACKOFF_FIRST_MS: u64 = 100;
const BACKOFF_MAX_MS: u64 = 60_000;
/// Whoever ran for so long begins anew with the shortest wait.
const STEADY_NS: i64 = 10_000_000_000;

const HEALTH_INTERVAL: Duration = Duration::from_secs(30);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
const HEALTH_START_INTERVAL: Duration = Duration::from_secs(5);
const HEALTH_RETRIES: i64 = 3;
const PROBES_KEPT: usize = 5;
const OUTPUT_BYTES_MAX: usize = 4096;

impl Engine {
    pub(crate) async fn container_ended(&self, container: &Arc<Container>, ended: Ended) {
        let delay = {
            let mut state = container.state();
            if state.starting {
                // The one who starts it comes to that when it knows that it ran.
                state.early_end = Some(ended);
                return;
            }
            if !matches!(state.status, Status::Running | Status::Paused) {
                return;
            }
            state.pid = 0;
            state.exit_code = ended.code.into();
            state.out_of_memory = ended.out_of_memory;
            state.finished_ns = ended.at_ns.max(state.started_ns);
            state.health = None;
            state.run += 1;
            let steady = state.finished_ns - state.started_ns > STEADY_NS;
            let delay = next_start(&state).map(|()| match (steady, state.backoff_ms) {
                (true, _) | (_, 0) => BACKOFF_FIRST_MS,
                (false, before) => (before * 2).min(BACKOFF_MAX_MS),
            });
            state.backoff_ms = delay.unwrap_or(0);
            state.status = if delay.is_some() { Status::Restarting } else { Status::Exited };
            delay
        };
        self.leave_networks(container).await;
        self.forget_execs(container);
        self.save_later(container);
        if container.state().out_of_memory {
            self.event(container, "oom", &[]);
        }
        self.event(container, "die", &[("exitCode", ended.code.to_string())]);
        container.advance(|progress| {
            progress.ends += 1;
            progress.exit_code = ended.code.into();
            progress.is_running = false;
        });
        match delay {
            Some(ms) => self.start_again(container, ms),
            None if container.state().host.auto_remove => {
                let (engine, container) = (self.clone(), container.clone());
                task(async move {
                    let _turn = container.turn.lock().await;
                    // It may have been started once more meanwhile.
                    if !container.is_running() && container.state().host.auto_remove {
                        let _ = engine.remove_now(&container, true).await;
                    }
                });
            }
            None => {}
        }
    }

    fn start_again(&self, container: &Arc<Container>, ms: u64) {
        let run = container.state().run;
        let (engine, container) = (self.clone(), container.clone());
        task(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let _turn = container.turn.lock().await;
            {
                let mut state = container.state();
                if state.run != run || state.status != Status::Restarting {
                    return;
                }
                state.restarts += 1;
            }
            // A start that fails is the end of it, as the client would see it too.
            let _ = engine.start_now(&container).await;
        });
    }

    /// Runs the health check as long as the container runs.
    pub(crate) fn begin_health(&self, container: &Arc<Container>) {
        let Some(check) = container.config.healthcheck.clone() else { return };
        let Some(command) = probe_command(container, &check.test) else { return };
        let run = {
            let mut state = container.state();
            state.health = Some(Health { status: "starting".to_owned(), ..Health::default() });
            state.run
        };
        let (engine, container) = (self.clone(), container.clone());
        task(async move {
            let or = |ns: i64, default: Duration| match ns {
                0 => default,
                ns => Duration::from_nanos(ns.unsigned_abs()),
            };
            let interval = or(check.interval, HEALTH_INTERVAL);
            let start_interval = or(check.start_interval, HEALTH_START_INTERVAL);
            let timeout = or(check.timeout, HEALTH_TIMEOUT);
            let retries = if check.retries == 0 { HEALTH_RETRIES } else { check.retries };
            let started_ns = container.state().started_ns;
            loop {
                let in_start = time::now_ns() - started_ns < check.start_period;
                let is_starting =
                    container.state().health.as_ref().is_some_and(|h| h.status == "starting");
                let pause = if in_start && is_starting { start_interval } else { interval };
                let over = container.wait(WaitFor::NextExit);
                if let First::Right(_) = first(tokio::time::sleep(pause), over).await {
                    return;
                }
                if container.state().run != run {
                    return;
                }
                if container.state().status != Status::Running {
                    continue;
                }
                let probe = engine.probe(&container, &command, timeout).await;
                let in_start = time::now_ns() - started_ns < check.start_period;
                engine.judge(&container, run, probe, in_start, retries);
            }
        });
    }

    async fn probe(
        &self,
        container: &Arc<Container>,
        command: &[String],
        timeout: Duration,
    ) -> Probe {
        let start_ns = time::now_ns();
        let config = ExecConfig {
            cmd: Some(command.to_vec()),
            attach_stdout: true,
            attach_stderr: true,
            ..ExecConfig::default()
        };
        let run = self.run_exec(container, config, OUTPUT_BYTES_MAX);
        let (exit_code, output) = match tokio::time::timeout(timeout, run).await {
            Ok(Ok((code, output))) => (code, output),
            Ok(Err(error)) => (-1, error.text),
            Err(_) => {
                let seconds = timeout.as_secs_f64();
                (-1, format!("Health check exceeded timeout ({seconds}s)"))
            }
        };
        Probe { start_ns, end_ns: time::now_ns(), exit_code, output }
    }

    fn judge(&self, container: &Container, run: u64, probe: Probe, in_start: bool, retries: i64) {
        let changed = {
            let mut state = container.state();
            if state.run != run {
                return;
            }
            let Some(health) = &mut state.health else { return };
            let before = health.status.clone();
            if probe.exit_code == 0 {
                health.failing_streak = 0;
                health.status = "healthy".to_owned();
            } else if !(in_start && health.status == "starting") {
                health.failing_streak += 1;
                if health.failing_streak >= retries {
                    health.status = "unhealthy".to_owned();
                }
            }
            if health.log.len() == PROBES_KEPT {
                health.log.remove(0);
            }
            health.log.push(probe);
            (before != health.status).then(|| health.status.clone())
        };
        if let Some(status) = changed {
            self.event(container, &format!("health_status: {status}"), &[]);
        }
    }
}

/// `None` if there is nothing to run.
fn probe_command(container: &Container, test: &[String]) -> Option<Vec<String>> {
    let (kind, rest) = test.split_first()?;
    match kind.as_str() {
        "CMD" => Some(rest.to_vec()),
        "CMD-SHELL" => {
            let shell = container.config.shell.clone();
            let mut command = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
            command.extend(rest.iter().cloned());
            Some(command)
        }
        _ => None,
    }
}

/// Whether the policy wants it back.
fn next_start(state: &super::State) -> Option<()> {
    let policy = &state.host.restart_policy;
    let wants = match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => {
            let most = policy.maximum_retry_count;
            state.exit_code != 0 && (most == 0 || (state.restarts as i64) < most)
        }
        _ => false,
    };
    (wants && state.wanted).then_some(())
}
