//! [`StaticInventory`]: a machine out of a file.

use std::path::Path;

use super::{InventoryError, InventorySource, Machine};

/// A machine that is written down: for demonstrations and tests, and where the agent is to offer less than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticInventory {
    machine: Machine,
}

impl StaticInventory {
    /// A machine that is given.
    pub const fn new(machine: Machine) -> Self {
        Self { machine }
    }

    /// Reads a file of JSON.
    pub fn from_file(path: &Path) -> Result<Self, InventoryError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| InventoryError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads JSON. A name that no field has is an error, since it is mostly a typing error.
    pub fn from_json(text: &str) -> Result<Self, InventoryError> {
        Self::parse(text, "text")
    }

    fn parse(text: &str, origin: &str) -> Result<Self, InventoryError> {
        serde_json::from_str(text)
            .map(Self::new)
            .map_err(|source| InventoryError::Invalid { origin: origin.to_owned(), source })
    }
}

impl InventorySource for StaticInventory {
    fn read(&self) -> Result<Machine, InventoryError> {
        Ok(self.machine.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    const PRETENDED: &str = r#"{
        "hostname": "pretended",
        "arch": "x86_64",
        "cpu_milli": 64000,
        "memory_mib": 524288,
        "storage_total_mib": 1000000,
        "ipv4": "192.0.2.10",
        "gpu_driver": "cuda",
        "gpus": [
            {"uuid": "GPU-0", "index": 0, "model": "H100", "memory_mib": 81559},
            {"index": 1}
        ]
    }"#;

    #[test]
    fn a_machine_is_read_from_json_and_what_is_left_out_is_not_told() {
        let machine = StaticInventory::from_json(PRETENDED).unwrap().read().unwrap();
        assert_eq!(machine.cpu_milli.get(), 64_000);
        assert_eq!(machine.ipv4.unwrap().to_string(), "192.0.2.10");
        assert_eq!((machine.platform, machine.ipv6), (None, None));
        assert_eq!(machine.gpus.len(), 2);
        assert_eq!((machine.gpus[1].uuid.as_deref(), machine.gpus[1].memory_mib), (None, None));
    }

    #[test]
    fn json_that_is_no_machine_is_refused_with_the_place() {
        for (text, line, says) in [
            ("{", 1, "EOF"),
            ("{\n \"arch\": \"x86_64\",\n \"memory\": 5 }", 3, "unknown field `memory`"),
            ("{\n \"arch\": \"x86_64\",\n \"cpu_milli\": -5 }", 3, "must be from 0"),
            ("{\"arch\": \"x86_64\", \"memory_mib\": 5}", 1, "missing field `cpu_milli`"),
        ] {
            let error = StaticInventory::from_json(text).unwrap_err();
            assert!(error.to_string().contains(&format!("at line {line}, column")), "{error}");
            assert!(error.source().unwrap().to_string().contains(says), "{:?}", error.source());
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = StaticInventory::from_file(Path::new("not/there.json")).unwrap_err();
        assert_eq!(error.to_string(), "inventory file not/there.json cannot be read");
    }
}
