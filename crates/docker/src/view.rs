//! Containers as `inspect` and `ps` show them.

use crate::types::{
    ContainerNetworks, HealthView, Inspect, MountView, NetworkSettings, PortSummary, ProbeView,
    StateView, Summary, SummaryHost,
};
use engine::container::{Container, MountPoint, State, Status};
use engine::image::Driver;
use engine::network::Ports;
use engine::{Engine, Error, time};

pub fn inspect(engine: &Engine, container: &Container, size: bool) -> Result<Inspect, Error> {
    let image = engine.images().find(&container.image).ok();
    let folder = engine.root().join("containers").join(&container.id);
    let path = |name: &str| folder.join(name).display().to_string();
    let lower: Vec<String> = image
        .as_ref()
        .map(|image| engine.images().folders(&image.config))
        .unwrap_or_default()
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    let driver = engine.driver_of(container);
    let state = container.state();
    let config = &container.config;
    let words: Vec<String> =
        config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten()).cloned().collect();
    let (first, rest) = words.split_first().map_or(("", &[][..]), |(f, r)| (f.as_str(), r));
    let mut shown = config.clone();
    if shown.hostname.is_empty() {
        shown.hostname = container.hostname();
    }
    Ok(Inspect {
        id: container.id.clone(),
        created: time::rfc3339_nano(container.created_ns),
        path: first.to_owned(),
        args: rest.to_vec(),
        state: state_view(&state),
        image: container.image.clone(),
        resolv_conf_path: path("resolv.conf"),
        hostname_path: path("hostname"),
        hosts_path: path("hosts"),
        log_path: engine.log_path(container).display().to_string(),
        name: format!("/{}", state.name),
        restart_count: state.restarts,
        driver: driver.name(),
        platform: "linux",
        mount_label: "",
        process_label: "",
        app_armor_profile: "",
        exec_ids: {
            let ids: Vec<String> = engine.running_execs(&state);
            Some(ids).filter(|ids| !ids.is_empty())
        },
        host_config: state.host.clone(),
        graph_driver: match driver {
            Driver::Overlay => serde_json::json!({
                "Name": driver.name(),
                "Data": {
                    "ID": container.id,
                    "LowerDir": lower.join(":"),
                    "MergedDir": path("root"),
                    "UpperDir": path("upper"),
                    "WorkDir": path("work"),
                },
            }),
            Driver::Copy => serde_json::json!({ "Name": driver.name(), "Data": null }),
        },
        size_rw: size.then(|| engine.written_bytes(container)),
        size_root_fs: size.then(|| {
            engine.written_bytes(container) + image.as_ref().map_or(0, |image| image.row.size)
        }),
        mounts: mounts(&container.mounts),
        config: shown,
        network_settings: network_settings(&state),
    })
}

fn state_view(state: &State) -> StateView {
    let is = |status: Status| state.status == status;
    StateView {
        status: state.status.as_str(),
        running: is(Status::Running) || is(Status::Paused) || is(Status::Restarting),
        paused: is(Status::Paused),
        restarting: is(Status::Restarting),
        oom_killed: state.out_of_memory,
        dead: is(Status::Dead),
        pid: state.pid,
        exit_code: state.exit_code,
        error: state.error.clone(),
        started_at: time::or_never(state.started_ns),
        finished_at: time::or_never(state.finished_ns),
        health: state.health.as_ref().map(|health| HealthView {
            status: health.status.clone(),
            failing_streak: health.failing_streak,
            log: health
                .log
                .iter()
                .map(|probe| ProbeView {
                    start: time::rfc3339_nano(probe.start_ns),
                    end: time::rfc3339_nano(probe.end_ns),
                    exit_code: probe.exit_code,
                    output: probe.output.clone(),
                })
                .collect(),
        }),
    }
}

fn mounts(points: &[MountPoint]) -> Vec<MountView> {
    points
        .iter()
        .filter(|point| !point.is_plain_tmpfs)
        .map(|point| MountView {
            kind: point.kind.clone(),
            name: point.name.clone(),
            source: point.source.clone(),
            destination: point.destination.clone(),
            driver: point.driver.clone(),
            mode: point.mode.clone(),
            rw: point.rw,
            propagation: point.propagation.clone(),
        })
        .collect()
}

fn network_settings(state: &State) -> NetworkSettings {
    let bridge = state.endpoints.get("bridge").cloned().unwrap_or_default();
    NetworkSettings {
        bridge: String::new(),
        sandbox_id: String::new(),
        sandbox_key: match state.pid {
            0 => String::new(),
            pid => format!("/proc/{pid}/ns/net"),
        },
        ports: state.ports.clone(),
        hairpin_mode: false,
        endpoint_id: bridge.endpoint_id,
        gateway: bridge.gateway,
        ip_address: bridge.ip_address,
        ip_prefix_len: bridge.ip_prefix_len,
        ipv6_gateway: bridge.ipv6_gateway,
        global_ipv6_address: bridge.global_ipv6_address,
        global_ipv6_prefix_len: bridge.global_ipv6_prefix_len,
        mac_address: if state.pid == 0 { String::new() } else { bridge.mac_address },
        networks: state.endpoints.clone(),
    }
}

pub fn summary(engine: &Engine, container: &Container, size: bool) -> Summary {
    let image = engine.images().find(&container.image).ok();
    let state = container.state();
    let config = &container.config;
    let words: Vec<String> =
        config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten()).cloned().collect();
    Summary {
        id: container.id.clone(),
        names: vec![format!("/{}", state.name)],
        image: config.image.clone(),
        image_id: container.image.clone(),
        command: words.join(" "),
        created: container.created_ns / 1_000_000_000,
        ports: port_summary(&state.ports),
        size_rw: size.then(|| engine.written_bytes(container)),
        size_root_fs: size.then(|| {
            engine.written_bytes(container) + image.as_ref().map_or(0, |image| image.row.size)
        }),
        labels: config.labels.clone(),
        state: state.status.as_str(),
        status: status_text(&state),
        host_config: SummaryHost { network_mode: state.host.network_mode.clone() },
        network_settings: ContainerNetworks { networks: state.endpoints.clone() },
        mounts: mounts(&container.mounts),
    }
}

fn port_summary(ports: &Ports) -> Vec<PortSummary> {
    let mut all = Vec::new();
    for (port, bindings) in ports {
        let Some((number, kind)) = port.split_once('/') else { continue };
        let private_port = number.parse().unwrap_or(0);
        let kind = kind.to_owned();
        match bindings {
            None => all.push(PortSummary { ip: None, private_port, public_port: None, kind }),
            Some(bindings) => all.extend(bindings.iter().map(|binding| PortSummary {
                ip: Some(binding.host_ip.clone()),
                private_port,
                public_port: binding.host_port.parse().ok(),
                kind: kind.clone(),
            })),
        }
    }
    all
}

/// `Up 5 minutes`, `Exited (0) 2 hours ago`.
fn status_text(state: &State) -> String {
    let now = time::now_ns();
    let ago = |ns: i64| duration_text((now - ns).max(0) / 1_000_000_000);
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => {
            let health = match &state.health {
                Some(health) if health.status == "starting" => " (health: starting)".to_owned(),
                Some(health) => format!(" ({})", health.status),
                None => String::new(),
            };
            format!("Up {}{health}", ago(state.started_ns))
        }
        Status::Paused => format!("Up {} (Paused)", ago(state.started_ns)),
        Status::Restarting => {
            format!("Restarting ({}) {} ago", state.exit_code, ago(state.finished_ns))
        }
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, ago(state.finished_ns)),
    }
}

fn duration_text(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (300, "5 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (86_400 * 3, "3 days"),
            (86_400 * 21, "3 weeks"),
            (86_400 * 90, "3 months"),
            (86_400 * 800, "2 years"),
        ] {
            assert_eq!(duration_text(seconds), text, "{seconds}");
        }
    }
}
