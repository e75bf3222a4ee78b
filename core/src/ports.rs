//! Network ports as values: [`PortRanges`] that a node offers, and how one is picked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::store::Json;

/// The address family of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A text that names no family or protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {expected}")]
#[non_exhaustive]
pub struct UnknownName {
    /// The names that there are.
    pub expected: &'static str,
}

macro_rules! named {
    ($type:ident, $all:literal, $($variant:ident = $text:literal),+) => {
        impl $type {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name, in lower case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl FromStr for $type {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(UnknownName { expected: $all }) }
            }
        }
    };
}

named!(Family, "ipv4, ipv6", Ipv4 = "ipv4", Ipv6 = "ipv6");
named!(Protocol, "tcp, udp", Tcp = "tcp", Udp = "udp");

/// The largest number of ranges, before overlapping ones are merged.
pub const MAX_RANGES: usize = 256;

/// Ranges of ports of one address family, inclusive at both ends, sorted, without overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortRanges {
    tcp: Vec<(u16, u16)>,
    udp: Vec<(u16, u16)>,
}

/// A range that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("port range {label:?} is invalid: {reason}")]
#[non_exhaustive]
pub struct InvalidRange {
    /// The range's label, at most 64 characters of it, or its position.
    pub label: String,
    /// What is wrong with it.
    pub reason: String,
}

impl PortRanges {
    /// No ports at all.
    pub const fn none() -> Self {
        Self { tcp: Vec::new(), udp: Vec::new() }
    }

    /// The TCP ports from `low` to `high`, both included.
    pub fn tcp(low: u16, high: u16) -> Result<Self, InvalidRange> {
        Self::new([(Protocol::Tcp, u32::from(low), u32::from(high))])
    }

    /// Some ranges; overlapping and adjacent ones become one.
    pub fn new(ranges: impl IntoIterator<Item = (Protocol, u32, u32)>) -> Result<Self, InvalidRange> {
        let mut all = Self::none();
        for (at, (protocol, low, high)) in ranges.into_iter().enumerate() {
            all.add(&at.to_string(), protocol, low, high)?;
        }
        all.merge();
        Ok(all)
    }

    fn add(&mut self, label: &str, protocol: Protocol, low: u32, high: u32) -> Result<(), InvalidRange> {
        let invalid = |reason: String| InvalidRange { label: shown(label), reason };
        let port = |value: u32| match u16::try_from(value) {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(invalid(format!("a port is from 1 to 65535, got {value}"))),
        };
        let (low, high) = (port(low)?, port(high)?);
        if low > high {
            return Err(invalid(format!("it ends at {high}, before it begins at {low}")));
        }
        if self.tcp.len() + self.udp.len() >= MAX_RANGES {
            return Err(invalid(format!("at most {MAX_RANGES} ranges are allowed")));
        }
        match protocol {
            Protocol::Tcp => self.tcp.push((low, high)),
            Protocol::Udp => self.udp.push((low, high)),
        }
        Ok(())
    }

    fn merge(&mut self) {
        for ranges in [&mut self.tcp, &mut self.udp] {
            ranges.sort_unstable();
            let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
            for (low, high) in ranges.drain(..) {
                match merged.last_mut() {
                    Some((_, end)) if low <= end.saturating_add(1) => *end = high.max(*end),
                    _ => merged.push((low, high)),
                }
            }
            *ranges = merged;
        }
    }

    /// The ranges of one protocol, sorted, without overlap.
    pub fn of(&self, protocol: Protocol) -> &[(u16, u16)] {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        }
    }

    /// How many ports of one protocol there are.
    pub fn count(&self, protocol: Protocol) -> u32 {
        self.of(protocol).iter().map(|(low, high)| u32::from(*high) - u32::from(*low) + 1).sum()
    }

    /// Whether a port is in a range.
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.of(protocol).iter().any(|(low, high)| (*low..=*high).contains(&port))
    }

    /// A port that is not taken: the first free one at or behind a place that `hash` gives, going round once.
    ///
    /// Not the lowest free one: callers that decide at the same time would all pick that, and all but one would
    /// have to decide again.
    pub fn pick(&self, protocol: Protocol, hash: u64, taken: impl Fn(u16) -> bool) -> Option<u16> {
        let count = self.count(protocol);
        let start = u32::try_from(hash % u64::from(count.max(1))).unwrap_or(0);
        (0..count).filter_map(|step| self.nth(protocol, (start + step) % count)).find(|port| !taken(*port))
    }

    fn nth(&self, protocol: Protocol, mut at: u32) -> Option<u16> {
        for (low, high) in self.of(protocol) {
            let size = u32::from(*high) - u32::from(*low) + 1;
            if at < size {
                return u16::try_from(u32::from(*low) + at).ok();
            }
            at -= size;
        }
        None
    }

    /// The form in which ranges are stored: `{"range01": {"protocol": "tcp", "range": [63000, 63030]}}`.
    pub fn to_json(&self) -> Json {
        let mut document = serde_json::Map::new();
        for protocol in Protocol::ALL {
            for (low, high) in self.of(*protocol) {
                let label = format!("range{:02}", document.len() + 1);
                document.insert(
                    label,
                    serde_json::json!({ "protocol": protocol.as_str(), "range": [low, high] }),
                );
            }
        }
        // Ports are small integers: every document of them has a canonical form.
        Json::new(&document.into()).unwrap_or_else(|_| Json::empty())
    }

    /// Reads the stored form. Labels have no meaning.
    pub fn from_json(json: &Json) -> Result<Self, InvalidRange> {
        #[derive(Deserialize)]
        struct Range {
            protocol: Protocol,
            range: (u32, u32),
        }
        let document = json.to_value();
        let invalid = |label: &str, reason: String| InvalidRange { label: shown(label), reason };
        let members =
            document.as_object().ok_or_else(|| invalid("", "expected an object of ranges".into()))?;
        let mut all = Self::none();
        for (label, member) in members {
            let range: Range =
                serde_json::from_value(member.clone()).map_err(|error| invalid(label, error.to_string()))?;
            all.add(label, range.protocol, range.range.0, range.range.1)?;
        }
        all.merge();
        Ok(all)
    }
}

/// So much of a label that what is told of a range stays short.
fn shown(label: &str) -> String {
    label.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn overlapping_and_adjacent_ranges_become_one() {
        let ranges = PortRanges::new([
            (Protocol::Tcp, 20, 30),
            (Protocol::Tcp, 10, 15),
            (Protocol::Tcp, 16, 22),
            (Protocol::Udp, 5, 5),
        ]);
        let ranges = ranges.unwrap();
        assert_eq!(ranges.of(Protocol::Tcp), [(10, 30)]);
        assert_eq!((ranges.count(Protocol::Tcp), ranges.count(Protocol::Udp)), (21, 1));
        assert_eq!(PortRanges::from_json(&ranges.to_json()), Ok(ranges));
    }

    #[test]
    fn a_range_that_is_none_is_refused_with_its_label() {
        for (json, says) in [
            (
                r#"{"a":{"protocol":"tcp","range":[80,79]}}"#,
                "port range \"a\" is invalid: it ends at 79, before it begins at 80",
            ),
            (
                r#"{"a":{"protocol":"tcp","range":[0,9]}}"#,
                "port range \"a\" is invalid: a port is from 1 to 65535, got 0",
            ),
            (
                r#"{"a":{"protocol":"tcp","range":[1,65536]}}"#,
                "port range \"a\" is invalid: a port is from 1 to 65535, got 65536",
            ),
            (
                r#"{"b":{"protocol":"icmp","range":[1,2]}}"#,
                "port range \"b\" is invalid: unknown variant `icmp`, expected `tcp` or `udp`",
            ),
            ("[]", "port range \"\" is invalid: expected an object of ranges"),
        ] {
            let error = PortRanges::from_json(&Json::parse(json).unwrap()).unwrap_err();
            assert_eq!(error.to_string(), says);
        }
    }

    proptest! {
        #[test]
        fn a_port_is_picked_while_one_is_free_and_never_twice(hashes in prop::collection::vec(any::<u64>(), 12)) {
            let ranges = PortRanges::new([(Protocol::Tcp, 100, 104), (Protocol::Tcp, 200, 204)]).unwrap();
            let mut taken = std::collections::BTreeSet::new();
            for (round, hash) in hashes.into_iter().enumerate() {
                match ranges.pick(Protocol::Tcp, hash, |port| taken.contains(&port)) {
                    Some(port) => {
                        prop_assert!(ranges.contains(Protocol::Tcp, port));
                        prop_assert!(taken.insert(port));
                    }
                    None => prop_assert!(round >= 10),
                }
            }
            prop_assert_eq!(taken.len(), 10);
        }
    }
}
