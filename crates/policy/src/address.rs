//! Which addresses only a provider marked `internal` may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is anything but a globally reachable unicast one: loopback, private, shared, link-local
/// (which includes the metadata services of clouds), unspecified, multicast, reserved or for documentation, and
/// any IPv6 form that carries such an IPv4 address. After the special-purpose registries of RFC 6890.
///
/// A policy is checked with it where it names an address, and a connection must be checked with it again after
/// the name was resolved: a public name may resolve to a private address.
#[must_use]
pub fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_internal_v4(v4),
        IpAddr::V6(v6) => is_internal_v6(v6),
    }
}

fn is_internal_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        // Shared by carriers (RFC 6598).
        || (a == 100 && (64..128).contains(&b))
        // Protocol assignments, and the former 6to4 relays.
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        // Benchmarks (RFC 2544).
        || (a == 198 && (b == 18 || b == 19))
        // Multicast, reserved and broadcast.
        || a >= 224
}

fn is_internal_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = carried_v4(address) {
        return is_internal_v4(v4);
    }
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is global unicast. In it, 2001::/23 is for protocols, 2001:db8::/32 and 3fff::/20 are for
    // documentation.
    let global = first & 0xe000 == 0x2000;
    let protocols = first == 0x2001 && second < 0x0200;
    let documentation =
        (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    !global || protocols || documentation
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, translated (RFC 6052) or 6to4.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(from(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// The normal form of a provider's address, without a slash at its end: what a validated `base_url` is used as.
pub(crate) fn normal_base_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::is_internal;

    #[test]
    fn tells_internal_addresses() {
        let internal = [
            "127.0.0.1",
            "10.0.0.7",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "::127.0.0.1",
        ];
        for address in internal {
            assert!(is_internal(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn lets_public_addresses_be() {
        let public = [
            "8.8.8.8",
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.1.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2a00:1450:4001::1",
        ];
        for address in public {
            assert!(!is_internal(address.parse().unwrap()), "{address}");
        }
    }
}
