//! Where a request came from: [`Origin`].

use std::net::{IpAddr, Ipv6Addr};

/// Where a request came from, for the audit trail and for slowing down guesses. It proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The address of the peer. Behind a proxy it is for the host to know which header to trust.
    pub ip: Option<IpAddr>,
    /// The machine that took the request, at most 256 bytes; more is cut off.
    pub host: Option<String>,
    /// What the peer says it is, such as a browser; at most 256 bytes; more is cut off.
    pub agent: Option<String>,
}

/// The longest host and agent, in bytes.
const MAX_TEXT: usize = 256;

impl Origin {
    /// Nothing is known.
    pub const fn unknown() -> Self {
        Self { ip: None, host: None, agent: None }
    }

    /// From this address.
    pub const fn ip(ip: IpAddr) -> Self {
        Self { ip: Some(ip), host: None, agent: None }
    }

    /// Names the machine that took the request.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(cut(&host.into()));
        self
    }

    /// Says what the peer says it is.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(cut(&agent.into()));
        self
    }

    /// What guesses are counted by: an IPv4 address, the /64 network of an IPv6 address (one customer has at least that
    /// many addresses: RFC 6177), or `unknown`.
    pub fn source(&self) -> String {
        match self.ip.map(|ip| ip.to_canonical()) {
            None => "unknown".to_owned(),
            Some(IpAddr::V4(ip)) => ip.to_string(),
            Some(IpAddr::V6(ip)) => {
                let network = u128::from(ip) & (u128::MAX << 64);
                format!("{}/64", Ipv6Addr::from(network))
            }
        }
    }
}

/// The text without control characters, and without what is too long.
fn cut(text: &str) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_or_the_network_that_one_customer_has() {
        let source = |text: &str| Origin::ip(text.parse().unwrap()).source();
        assert_eq!(source("192.0.2.7"), "192.0.2.7");
        assert_eq!(source("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(source("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(Origin::unknown().source(), "unknown");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let origin = Origin::unknown().agent("é".repeat(200)).host("a\nb\0c");
        assert_eq!(origin.agent.unwrap().len(), 256);
        assert_eq!(origin.host.unwrap(), "abc");
        assert_eq!(Origin::unknown().agent(format!("a{}", "é".repeat(200))).agent.unwrap().len(), 255);
    }
}
