//! What an instance is to be: [`Spec`].

use std::fmt;

use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::NetworkMode;
use apportion::ports::{Family, Protocol};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Error, Result};

/// A port of the machine that an instance is given.
pub type PortWanted = (Family, Protocol, u16);

/// What an instance is to be. As JSON it is the payload of the command that makes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Which of the control plane's instances it is.
    pub instance: Uuid,
    /// Its name, for people: two instances may have the same.
    pub name: String,
    /// The key of an image, or its reference where the driver takes that too.
    #[serde(default)]
    pub image: Option<String>,
    /// The program and its arguments, word by word. No shell reads it.
    #[serde(default)]
    pub command: Vec<String>,
    /// Its processor time.
    pub cpu_milli: CpuMilli,
    /// Its memory.
    pub memory_mib: MemoryMib,
    /// Its storage.
    pub storage_mib: StorageMib,
    /// Its GPUs: their uuids, or their numbers.
    #[serde(default)]
    pub gpus: Vec<String>,
    /// The ports of the machine that are its own.
    #[serde(default)]
    pub ports: Vec<PortWanted>,
    /// How it is connected to the network.
    #[serde(default = "bridge")]
    pub network_mode: NetworkMode,
    /// Its environment.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// The public SSH key that opens it.
    #[serde(default)]
    pub ssh_key: Option<String>,
}

const fn bridge() -> NetworkMode {
    NetworkMode::Bridge
}

impl Spec {
    /// Reads the payload of a command.
    pub fn from_json(payload: &str) -> Result<Self> {
        serde_json::from_str(payload).map_err(|error| Error::InvalidSpec { reason: error.to_string() })
    }

    /// The environment that an instance gets: its own, and then what the agent says, which wins.
    ///
    /// | variable | what it is |
    /// |---|---|
    /// | `APPORTION_INSTANCE` | the instance's id |
    /// | `PORT` | the first of its ports, where it has any |
    /// | `PORTS` | all of them, such as `ipv4/tcp/8000,ipv6/tcp/8000` |
    /// | `SSH_PUBLIC_KEY` | the key that opens it, where it has one |
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut all = self.env.clone();
        all.push((INSTANCE.to_owned(), self.instance.to_string()));
        if let Some((_, _, port)) = self.ports.first() {
            all.push(("PORT".to_owned(), port.to_string()));
        }
        let ports = self.ports.iter().map(|(family, protocol, port)| format!("{family}/{protocol}/{port}"));
        all.push(("PORTS".to_owned(), ports.collect::<Vec<_>>().join(",")));
        all.extend(self.ssh_key.iter().map(|key| ("SSH_PUBLIC_KEY".to_owned(), key.clone())));
        // The last one of a name is the one that counts, and a list of variables must not have a name twice.
        let mut names = std::collections::HashSet::new();
        all.reverse();
        all.retain(|(name, _)| names.insert(name.clone()));
        all.reverse();
        all
    }

    /// Refuses what no operating system takes.
    pub(super) fn check(&self) -> Result<()> {
        let invalid = |reason: String| Err(Error::InvalidSpec { reason });
        if let Some((name, _)) = self.env.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
            return invalid(format!("{name:?} is no name of an environment variable"));
        }
        let mut texts = self.env.iter().flat_map(|(name, value)| [name, value]).chain(&self.command);
        if texts.any(|text| text.contains('\0')) {
            return invalid("a text has a NUL in it".to_owned());
        }
        if let Some(gpu) = self.gpus.iter().find(|gpu| gpu.is_empty() || gpu.contains([',', '\0'])) {
            return invalid(format!("{gpu:?} is no GPU"));
        }
        if self.ssh_key.as_ref().is_some_and(|key| key.contains('\0')) {
            return invalid("the SSH key has a NUL in it".to_owned());
        }
        Ok(())
    }
}

/// The variables that an instance is given by the agent.
pub(super) const GIVEN: [&str; 4] = [INSTANCE, "PORT", "PORTS", "SSH_PUBLIC_KEY"];

/// The variable by which what belongs to an instance is known.
pub(super) const INSTANCE: &str = "APPORTION_INSTANCE";

impl fmt::Debug for Spec {
    /// Without the values of the environment, among which there are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.env.iter().map(|(name, _)| name).collect::<Vec<_>>();
        f.debug_struct("Spec")
            .field("instance", &self.instance)
            .field("name", &self.name)
            .field("image", &self.image)
            .field("command", &self.command)
            .field("cpu_milli", &self.cpu_milli)
            .field("memory_mib", &self.memory_mib)
            .field("storage_mib", &self.storage_mib)
            .field("gpus", &self.gpus)
            .field("ports", &self.ports)
            .field("network_mode", &self.network_mode)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = r#"{
        "instance": "018f3f6e-0000-7000-8000-000000000001", "name": "training", "command": ["python", "train.py"],
        "cpu_milli": 4000, "memory_mib": 8192, "storage_mib": 1000, "gpus": ["GPU-0"],
        "ports": [["ipv4", "tcp", 8000], ["ipv6", "udp", 8001]], "env": [["TOKEN", "hush"], ["PORT", "1"]]
    }"#;

    #[test]
    fn a_payload_is_read_and_written_again() {
        let spec = Spec::from_json(PAYLOAD).unwrap();
        assert_eq!(spec.ports[1], (Family::Ipv6, Protocol::Udp, 8001));
        assert_eq!(spec.network_mode, NetworkMode::Bridge);
        assert_eq!(Spec::from_json(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    }

    #[test]
    fn a_payload_with_a_field_that_is_unknown_is_refused() {
        let error = Spec::from_json(&PAYLOAD.replace("\"gpus\"", "\"gpu\"")).unwrap_err();
        assert!(error.to_string().contains("unknown field `gpu`"), "{error}");
    }

    #[test]
    fn what_the_agent_says_wins_in_the_environment() {
        let environment = Spec::from_json(PAYLOAD).unwrap().environment();
        let value = |name: &str| environment.iter().filter(|(n, _)| n == name).collect::<Vec<_>>();
        assert_eq!(value("PORT"), [&("PORT".to_owned(), "8000".to_owned())]);
        assert_eq!(value("PORTS")[0].1, "ipv4/tcp/8000,ipv6/udp/8001");
        assert_eq!(value("TOKEN")[0].1, "hush");
        assert_eq!(value(INSTANCE)[0].1, "018f3f6e-0000-7000-8000-000000000001");
    }

    #[test]
    fn the_values_of_the_environment_are_not_printed() {
        let printed = format!("{:?}", Spec::from_json(PAYLOAD).unwrap());
        assert!(printed.contains("TOKEN") && !printed.contains("hush"), "{printed}");
    }

    #[test]
    fn what_no_system_takes_is_refused() {
        let spec = Spec::from_json(PAYLOAD).unwrap();
        let env = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        for bad in [
            Spec { env: env("A=B", ""), ..spec.clone() },
            Spec { env: env("", ""), ..spec.clone() },
            Spec { env: env("A", "\0"), ..spec.clone() },
            Spec { command: vec!["a\0".into()], ..spec.clone() },
            Spec { gpus: vec!["0,1".into()], ..spec.clone() },
        ] {
            assert!(matches!(bad.check(), Err(Error::InvalidSpec { .. })), "{bad:?}");
        }
        spec.check().unwrap();
    }
}
