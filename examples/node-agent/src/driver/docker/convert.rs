//! What Docker calls what the agent means, and the other way round.

use std::collections::HashMap;

use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::NetworkMode;
use apportion::ports::Family;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, ContainerSummary, DeviceRequest,
    HostConfig, PortBinding, PortMap,
};
use uuid::Uuid;

use crate::driver::spec::GIVEN;
use crate::driver::{Error, Found, FoundState, ImageFound, Result, Spec};

/// The label of the instance's id.
pub(super) const INSTANCE: &str = "apportion.instance";
const NAME: &str = "apportion.name";
const CPU: &str = "apportion.cpu_milli";
const MEMORY: &str = "apportion.memory_mib";
const STORAGE: &str = "apportion.storage_mib";

/// The name of an instance's container. Docker has none twice.
pub(super) fn container_name(instance: Uuid) -> String {
    format!("apportion-{instance}")
}

/// Whether a key may stand in the path of a request: an id or a name, and nothing that leads elsewhere.
pub(super) fn is_id(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    key.bytes().all(plain) && key.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

/// What Docker is asked to make.
pub(super) fn body(spec: &Spec) -> Result<ContainerCreateBody> {
    let Some(image) = spec.image.clone() else {
        return Err(Error::InvalidSpec { reason: "a container needs an image".to_owned() });
    };
    let too_large = || Error::InvalidSpec { reason: "a size is larger than Docker can count".to_owned() };
    let host = matches!(spec.network_mode, NetworkMode::Host);
    let config = HostConfig {
        nano_cpus: Some(spec.cpu_milli.get().checked_mul(1_000_000).ok_or_else(too_large)?),
        memory: Some(spec.memory_mib.get().checked_mul(1 << 20).ok_or_else(too_large)?),
        network_mode: Some(if host { "host" } else { "bridge" }.to_owned()),
        // On the machine's own network a port needs no door.
        port_bindings: (!host).then(|| bindings(spec)),
        device_requests: (!spec.gpus.is_empty()).then(|| vec![gpus(spec)]),
        ..HostConfig::default()
    };
    let environment = spec.environment().into_iter().map(|(name, value)| format!("{name}={value}"));
    Ok(ContainerCreateBody {
        image: Some(image),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(environment.collect()),
        labels: Some(labels(spec)),
        exposed_ports: (!host).then(|| bindings(spec).into_keys().collect()),
        host_config: Some(config),
        ..ContainerCreateBody::default()
    })
}

fn labels(spec: &Spec) -> HashMap<String, String> {
    [
        (INSTANCE, spec.instance.to_string()),
        (NAME, spec.name.clone()),
        (CPU, spec.cpu_milli.get().to_string()),
        (MEMORY, spec.memory_mib.get().to_string()),
        (STORAGE, spec.storage_mib.get().to_string()),
    ]
    .map(|(label, value)| (label.to_owned(), value))
    .into()
}

/// What an image that is saved of a container does not keep of it: a container that somebody makes from it is not that instance,
/// has not its ports, and does not let in whom that let in. Docker takes everything else over from the container.
pub(super) fn nobodys() -> ContainerConfig {
    let none = |name: &str| (name.to_owned(), String::new());
    ContainerConfig {
        labels: Some([INSTANCE, NAME, CPU, MEMORY, STORAGE].map(none).into()),
        env: Some(GIVEN.map(|name| format!("{name}=")).into()),
        ..ContainerConfig::default()
    }
}

fn bindings(spec: &Spec) -> PortMap {
    let mut all = PortMap::new();
    for (family, protocol, port) in &spec.ports {
        let any = match family {
            Family::Ipv4 => "0.0.0.0",
            Family::Ipv6 => "::",
        };
        let binding = PortBinding { host_ip: Some(any.to_owned()), host_port: Some(port.to_string()) };
        all.entry(format!("{port}/{protocol}")).or_default().get_or_insert_default().push(binding);
    }
    all
}

fn gpus(spec: &Spec) -> DeviceRequest {
    DeviceRequest {
        device_ids: Some(spec.gpus.clone()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}

/// A container of Docker's list. What it was given is known of ours only.
pub(super) fn listed(container: ContainerSummary) -> Found {
    let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
    let state = container.state.map(|state| state.to_string()).unwrap_or_default();
    found(container.id.unwrap_or_default(), &name, &state, &container.labels.unwrap_or_default())
}

/// A container that Docker was asked about.
pub(super) fn inspected(container: ContainerInspectResponse) -> Found {
    let state = container.state.and_then(|state| state.status).map(|state| state.to_string());
    let labels = container.config.and_then(|config| config.labels).unwrap_or_default();
    let name = container.name.unwrap_or_default();
    let told = found(container.id.unwrap_or_default(), &name, &state.unwrap_or_default(), &labels);
    if told.instance.is_some() {
        return told;
    }
    let given = container.host_config.unwrap_or_default();
    Found {
        cpu_milli: CpuMilli::new(given.nano_cpus.unwrap_or(0) / 1_000_000).unwrap_or_default(),
        memory_mib: MemoryMib::new(given.memory.unwrap_or(0) >> 20).unwrap_or_default(),
        ..told
    }
}

fn found(key: String, name: &str, state: &str, labels: &HashMap<String, String>) -> Found {
    let label = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
    let amount = |name: &str| label(name).parse().unwrap_or(0_i64);
    let instance = Uuid::parse_str(label(INSTANCE)).ok();
    let name = labels.get(NAME).filter(|_| instance.is_some()).map(String::as_str).unwrap_or(name);
    Found {
        key,
        instance,
        name: name.trim_start_matches('/').to_owned(),
        state: match state {
            "running" => FoundState::Running,
            "exited" => FoundState::Stopped,
            other => FoundState::Other(other.to_owned()),
        },
        cpu_milli: CpuMilli::new(amount(CPU)).unwrap_or_default(),
        memory_mib: MemoryMib::new(amount(MEMORY)).unwrap_or_default(),
        storage_mib: StorageMib::new(amount(STORAGE)).unwrap_or_default(),
    }
}

/// An image of Docker's.
pub(super) fn image(key: String, url: Option<String>, bytes: i64) -> ImageFound {
    let mib = u64::try_from(bytes).unwrap_or(0).div_ceil(1 << 20);
    let size_mib = i64::try_from(mib).ok().and_then(|mib| StorageMib::new(mib).ok()).unwrap_or_default();
    ImageFound { key, url, size_mib }
}

/// What is pulled, in the two parts that Docker wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) repository: &'a str,
    /// Not none where there is no digest: Docker would pull all tags.
    pub(super) tag: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// None where the text is no reference, and would lead elsewhere in the path of a request.
    pub(super) fn new(url: &'a str) -> Option<Self> {
        let reference = url.strip_prefix("docker://").unwrap_or(url);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:/@".contains(&byte);
        let leads = reference.split('/').any(|part| matches!(part, "" | "." | ".."));
        if leads || !reference.bytes().all(plain) {
            return None;
        }
        if reference.contains('@') {
            return Some(Self { repository: reference, tag: None });
        }
        Some(match reference.rsplit_once(':') {
            // What has a slash behind it is the port of a registry.
            Some((repository, tag)) if !tag.contains('/') => Self { repository, tag: Some(tag) },
            _ => Self { repository: reference, tag: Some("latest") },
        })
    }

    pub(super) fn full(&self) -> String {
        self.tag.map_or_else(|| self.repository.to_owned(), |tag| format!("{}:{tag}", self.repository))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_a_tag_is_the_latest_and_a_digest_needs_none() {
        for (url, repository, tag) in [
            ("ubuntu", "ubuntu", Some("latest")),
            ("ubuntu:24.04", "ubuntu", Some("24.04")),
            ("docker://example.org:5000/a/b", "example.org:5000/a/b", Some("latest")),
            ("example.org:5000/a/b:1", "example.org:5000/a/b", Some("1")),
            ("ubuntu@sha256:00", "ubuntu@sha256:00", None),
        ] {
            assert_eq!(Reference::new(url), Some(Reference { repository, tag }));
        }
    }

    #[test]
    fn no_key_leads_to_another_request() {
        for bad in ["", "..", "../containers/x", "a/../b", "a?force=true", "a#b", "a b", "//x"] {
            assert_eq!(Reference::new(bad), None, "{bad}");
            assert!(!is_id(bad), "{bad}");
        }
        assert!(is_id("0123abcd") && is_id("apportion-1_a.b"));
    }
}
