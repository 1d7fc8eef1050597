//! `/_ping`, `/version`, `/info`, `/system/df` and `stats`.

use crate::body::Answer;
use crate::reply::{self, Reply};
use crate::route::Call;
use crate::{VERSION, VERSION_MIN, images, view, volumes};
use engine::container::{Container, Sample, Status, folder_bytes, machine_memory};
use engine::image::Driver;
use engine::{Error, blocking, time};
use http::Method;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub fn ping(method: &Method) -> Reply {
    let mut response = reply::text("OK")?;
    if method == Method::HEAD {
        *response.body_mut() = Answer::Whole(None);
        reply::header(&mut response, "content-length", "0");
    }
    reply::header(&mut response, "cache-control", "no-cache, no-store, must-revalidate");
    reply::header(&mut response, "pragma", "no-cache");
    // BuildKit; the classic builder is there for those who ask for it.
    reply::header(&mut response, "builder-version", "2");
    reply::header(&mut response, "swarm", "inactive");
    Ok(response)
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version<'a> {
    platform: Named<'a>,
    components: Vec<Component<'a>>,
    version: &'a str,
    api_version: &'a str,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: &'a str,
    git_commit: &'a str,
    go_version: &'a str,
    os: &'a str,
    arch: &'a str,
    kernel_version: &'a str,
    build_time: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Component<'a> {
    name: &'a str,
    version: &'a str,
    details: BTreeMap<&'a str, &'a str>,
}

pub fn version(call: &Call) -> Reply {
    let kernel = kernel();
    let arch = engine::image::architecture();
    let details = BTreeMap::from([
        ("ApiVersion", VERSION),
        ("MinAPIVersion", VERSION_MIN),
        ("Arch", arch),
        ("Os", "linux"),
        ("KernelVersion", &kernel),
        ("Experimental", "false"),
    ]);
    reply::json(&Version {
        platform: Named { name: "Cumulet" },
        components: vec![Component { name: "Engine", version: call.docker.version, details }],
        version: call.docker.version,
        api_version: VERSION,
        min_api_version: VERSION_MIN,
        git_commit: "",
        go_version: "",
        os: "linux",
        arch,
        kernel_version: &kernel,
        build_time: "",
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(rename = "ID")]
    id: String,
    containers: usize,
    containers_running: usize,
    containers_paused: usize,
    containers_stopped: usize,
    images: usize,
    driver: &'static str,
    driver_status: Vec<[String; 2]>,
    docker_root_dir: String,
    plugins: Plugins,
    memory_limit: bool,
    swap_limit: bool,
    cpu_cfs_period: bool,
    cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    cpu_set: bool,
    pids_limit: bool,
    oom_kill_disable: bool,
    #[serde(rename = "IPv4Forwarding")]
    ipv4_forwarding: bool,
    debug: bool,
    n_fd: usize,
    n_goroutines: usize,
    system_time: String,
    logging_driver: &'static str,
    cgroup_driver: &'static str,
    cgroup_version: &'static str,
    n_events_listener: usize,
    kernel_version: String,
    operating_system: String,
    #[serde(rename = "OSVersion")]
    os_version: String,
    #[serde(rename = "OSType")]
    os_type: &'static str,
    architecture: &'static str,
    index_server_address: &'static str,
    registry_config: serde_json::Value,
    #[serde(rename = "NCPU")]
    n_cpu: usize,
    mem_total: u64,
    generic_resources: Option<Vec<String>>,
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    name: String,
    labels: Vec<String>,
    experimental_build: bool,
    server_version: &'static str,
    runtimes: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    default_runtime: &'static str,
    swarm: Swarm,
    live_restore_enabled: bool,
    isolation: &'static str,
    init_binary: &'static str,
    security_options: Vec<&'static str>,
    warnings: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Plugins {
    volume: Vec<&'static str>,
    network: Vec<&'static str>,
    authorization: Option<Vec<String>>,
    log: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Swarm {
    #[serde(rename = "NodeID")]
    node_id: &'static str,
    node_addr: &'static str,
    local_node_state: &'static str,
    control_available: bool,
    error: &'static str,
    remote_managers: Option<Vec<String>>,
}

fn operating_system() -> (String, String) {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    (field("PRETTY_NAME"), field("VERSION_ID"))
}

pub async fn info(call: Call) -> Reply {
    let engine = call.engine().clone();
    let networks = engine.networks().clone();
    // So that `ip address` shows the bridge as soon as somebody looks at the engine.
    let _ = blocking(move || networks.ensure_default()).await;
    let containers = engine.containers();
    let count = |status: &[Status]| {
        containers.iter().filter(|one| status.contains(&one.state().status)).count()
    };
    let own = engine.clone();
    let (images, driver) =
        blocking(move || Ok((own.images().list()?.len(), own.images().driver()))).await?;
    let mirrors: Vec<String> =
        call.docker.registries.mirrors.iter().map(|one| format!("{}/", one.url())).collect();
    let (operating_system, os_version) = operating_system();
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    reply::json(&Info {
        id: engine.networks().find("bridge")?.id,
        containers: containers.len(),
        containers_running: count(&[Status::Running, Status::Restarting]),
        containers_paused: count(&[Status::Paused]),
        containers_stopped: count(&[Status::Created, Status::Exited, Status::Dead]),
        images,
        driver: driver.name(),
        driver_status: match driver {
            Driver::Overlay => vec![["Supports d_type".to_owned(), "true".to_owned()]],
            Driver::Copy => Vec::new(),
        },
        docker_root_dir: engine.root().display().to_string(),
        plugins: Plugins {
            volume: vec!["local"],
            network: vec!["bridge", "host", "null"],
            authorization: None,
            log: vec!["json-file", "local", "none"],
        },
        memory_limit: true,
        swap_limit: true,
        cpu_cfs_period: true,
        cpu_cfs_quota: true,
        cpu_shares: true,
        cpu_set: true,
        pids_limit: true,
        oom_kill_disable: engine.cgroup_version() == "1",
        ipv4_forwarding: true,
        debug: false,
        n_fd: 0,
        n_goroutines: 0,
        system_time: time::rfc3339_nano(time::now_ns()),
        logging_driver: "json-file",
        cgroup_driver: "cgroupfs",
        cgroup_version: engine.cgroup_version(),
        n_events_listener: engine.events().listeners(),
        kernel_version: kernel(),
        operating_system,
        os_version,
        os_type: "linux",
        architecture: std::env::consts::ARCH,
        index_server_address: "https://index.docker.io/v1/",
        registry_config: serde_json::json!({
            "IndexConfigs": {}, "InsecureRegistryCIDRs": ["127.0.0.0/8"], "Mirrors": mirrors,
        }),
        n_cpu: std::thread::available_parallelism().map_or(1, |n| n.get()),
        mem_total: machine_memory(),
        generic_resources: None,
        http_proxy: String::new(),
        https_proxy: String::new(),
        no_proxy: String::new(),
        name,
        labels: Vec::new(),
        experimental_build: false,
        server_version: call.docker.version,
        runtimes: BTreeMap::from([("runc", BTreeMap::from([("path", "built in".to_owned())]))]),
        default_runtime: "runc",
        swarm: Swarm {
            node_id: "",
            node_addr: "",
            local_node_state: "inactive",
            control_available: false,
            error: "",
            remote_managers: None,
        },
        live_restore_enabled: true,
        isolation: "",
        init_binary: "built in",
        security_options: std::iter::once("name=seccomp,profile=builtin")
            .chain(engine::rootless::is_entered().then_some("name=rootless"))
            .chain(engine.remaps().then_some("name=userns"))
            .collect(),
        warnings: None,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Usage<I: Serialize, C: Serialize, V: Serialize> {
    layers_size: u64,
    images: Vec<I>,
    containers: Vec<C>,
    volumes: Vec<V>,
    build_cache: Vec<()>,
}

pub async fn usage(call: Call) -> Reply {
    let engine = call.engine().clone();
    let images = images::summaries(&engine).await?;
    let own = engine.clone();
    let usage = blocking(move || {
        let containers: Vec<_> =
            own.containers().iter().map(|one| view::summary(&own, one, true)).collect();
        let mut volumes = Vec::new();
        for volume in own.volumes()? {
            let size = folder_bytes(&volume.mountpoint);
            let ref_count = own.volume_users(&volume.name).len();
            let mut view = volumes::view(volume);
            view.usage_data = Some(volumes::Usage { size, ref_count });
            volumes.push(view);
        }
        let layers_size = own.images().layers_size()?;
        Ok(Usage { layers_size, images, containers, volumes, build_cache: Vec::new() })
    });
    reply::json(&usage.await?)
}

const STATS_PAUSE: Duration = Duration::from_secs(1);

pub async fn stats(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let engine = call.engine().clone();
    let streams = call.query.get("stream").is_none() || call.query.flag("stream");
    let one_shot = call.query.flag("one-shot");
    let take = move |container: &Arc<Container>| {
        let (engine, container) = (engine.clone(), container.clone());
        async move { blocking(move || Ok::<_, Error>(engine.sample(&container))).await }
    };
    if !streams {
        let before = if one_shot { Sample::default() } else { take(&container).await? };
        if !one_shot && container.is_running() {
            tokio::time::sleep(STATS_PAUSE).await;
        }
        let now = take(&container).await?;
        return reply::json(&stats_view(&container, &before, &now));
    }
    let (to, pieces) = mpsc::channel(1);
    engine::task(async move {
        let mut before = Sample::default();
        loop {
            let Ok(now) = take(&container).await else { return };
            let piece = reply::line(&stats_view(&container, &before, &now));
            if to.send(piece).await.is_err() || container.progress().borrow().is_removed {
                return;
            }
            before = now;
            let pause = tokio::time::sleep(STATS_PAUSE);
            if let engine::First::Right(()) = engine::first(pause, to.closed()).await {
                return;
            }
        }
    });
    reply::json_stream(pieces)
}

fn cpu(sample: &Sample) -> serde_json::Value {
    serde_json::json!({
        "cpu_usage": {
            "total_usage": sample.cpu_ns,
            "usage_in_kernelmode": sample.cpu_system_ns,
            "usage_in_usermode": sample.cpu_user_ns,
        },
        "system_cpu_usage": sample.machine_cpu_ns,
        "online_cpus": sample.processors,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    })
}

fn stats_view(container: &Container, before: &Sample, now: &Sample) -> serde_json::Value {
    let networks: BTreeMap<&String, serde_json::Value> = now
        .networks
        .iter()
        .map(|(name, n)| {
            let counts = serde_json::json!({
                "rx_bytes": n[0], "rx_packets": n[1], "rx_errors": n[2], "rx_dropped": n[3],
                "tx_bytes": n[4], "tx_packets": n[5], "tx_errors": n[6], "tx_dropped": n[7],
            });
            (name, counts)
        })
        .collect();
    let io: Vec<serde_json::Value> = now
        .io
        .iter()
        .map(|(major, minor, op, value)| {
            serde_json::json!({"major": major, "minor": minor, "op": op, "value": value})
        })
        .collect();
    let read = |ns: i64| time::or_never(ns);
    serde_json::json!({
        "name": format!("/{}", container.name()),
        "id": container.id,
        "read": read(now.read_ns),
        "preread": read(before.read_ns),
        "num_procs": 0,
        "storage_stats": {},
        "pids_stats": {"current": now.pids, "limit": now.pids_limit},
        "blkio_stats": {"io_service_bytes_recursive": io},
        "cpu_stats": cpu(now),
        "precpu_stats": cpu(before),
        "memory_stats": {
            "usage": now.memory, "limit": now.memory_limit, "stats": now.memory_stats,
        },
        "networks": networks,
    })
}
