//! Which of a machine's addresses is the one by which it is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Interfaces that lead to instances on the machine itself, and to nobody outside it.
const INNER: &[&str] = &["docker", "br-", "veth", "virbr", "cni", "flannel", "podman"];

/// The addresses of this machine, as far as they can be told apart without asking anybody outside.
pub(super) fn addresses() -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else { return (None, None) };
    let all = networks.iter().flat_map(|(name, network)| {
        network.ip_networks().iter().map(move |network| (name.to_string_lossy().into_owned(), network.addr))
    });
    choose(all.collect())
}

/// A public address comes before a private one, then the name of the interface decides, so that the answer is the
/// same each time.
fn choose(mut all: Vec<(String, IpAddr)>) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    all.retain(|(name, _)| !INNER.iter().any(|inner| name.starts_with(inner)));
    all.sort();
    let v4 = all.iter().filter_map(|(_, address)| match address {
        IpAddr::V4(v4) if !v4.is_loopback() && !v4.is_link_local() => Some(*v4),
        _ => None,
    });
    let v6 = all.iter().filter_map(|(_, address)| match address {
        IpAddr::V6(v6) if !v6.is_loopback() && !v6.is_unicast_link_local() => Some(*v6),
        _ => None,
    });
    // The first of the smallest, and `false` is smaller than `true`.
    (v4.min_by_key(Ipv4Addr::is_private), v6.min_by_key(Ipv6Addr::is_unique_local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_is_chosen_before_a_private_one_and_none_that_leads_nowhere() {
        let all = [
            ("lo", "127.0.0.1"),
            ("docker0", "203.0.113.1"),
            ("eth0", "10.0.0.5"),
            ("eth1", "203.0.113.9"),
            ("eth0", "fe80::1"),
            ("eth0", "fd00::5"),
        ];
        let all = all.map(|(name, address)| (name.to_owned(), address.parse().unwrap()));
        let (v4, v6) = choose(all.to_vec());
        assert_eq!(v4, Some(Ipv4Addr::new(203, 0, 113, 9)));
        assert_eq!(v6, Some("fd00::5".parse().unwrap()));
        assert_eq!(choose(all[..2].to_vec()), (None, None));
    }
}
