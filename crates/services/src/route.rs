//! Waiting for a default route (inventory D2-016): services that come after `network` want more than its container running.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink};

/// Multicast groups of `NETLINK_ROUTE` for changes of IPv4 and IPv6 routes (`RTMGRP_*`, linux/rtnetlink.h).
const ROUTE_GROUPS: u32 = 0x40 | 0x400;

/// Returns as soon as the machine has a default route, IPv4 or IPv6; `false` when it has none after `limit` or the kernel's
/// notifications cannot be received.
pub(crate) async fn wait_for_default(limit: Duration) -> bool {
    let waited = tokio::task::spawn_blocking(move || wait(limit)).await;
    match waited.map_err(std::io::Error::other).flatten() {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!("cannot watch the routing table: {error}");
            false
        }
    }
}

/// Sleeps in the kernel until a route changes, then looks.
fn wait(limit: Duration) -> std::io::Result<bool> {
    let deadline = Instant::now() + limit;
    // Subscribe before looking, so that no change falls in between.
    let notifications = subscribe()?;
    loop {
        if exists() {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left).map_err(std::io::Error::other)?;
        let mut fds = [PollFd::new(&notifications, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => drain(&notifications),
            Err(error) => return Err(error.into()),
        }
    }
}

fn subscribe() -> std::io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, ROUTE_GROUPS))?;
    Ok(socket)
}

/// Reads away all notifications: that something changed is enough, the routing table says what.
fn drain(socket: &OwnedFd) {
    let mut buffer = [0_u8; 4096];
    loop {
        match rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            // ENOBUFS: notifications were lost, which is news as well.
            Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
            Err(_) => return,
        }
    }
}

fn exists() -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    has_default_v4(&read("/proc/net/route")) || has_default_v6(&read("/proc/net/ipv6_route"))
}

/// Whether `/proc/net/route` lists a default route: columns Iface, Destination, Gateway, Flags, ..., Mask (number 8).
fn has_default_v4(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let mut columns = line.split_whitespace();
        columns.nth(1) == Some("00000000") && columns.nth(5) == Some("00000000")
    })
}

/// Whether `/proc/net/ipv6_route` lists a default route: destination, its prefix length, ..., interface. The kernel keeps
/// `::/0` entries on `lo` that reject everything.
fn has_default_v6(table: &str) -> bool {
    table.lines().any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.len() == 10
            && columns[0].bytes().all(|b| b == b'0')
            && columns[1] == "00"
            && columns[9] != "lo"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn default_routes_are_recognised() {
        let default = "eth0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
        let local = "eth0\t0002000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        let half = "eth0\t00000000\t0202000A\t0003\t0\t0\t100\t00000080\t0\t0\t0\n";
        let table = [
            (String::new(), false),
            (HEAD.to_string(), false),
            (format!("{HEAD}{local}{half}"), false),
            (format!("{HEAD}{local}{default}"), true),
        ];
        for (text, want) in table {
            assert_eq!(has_default_v4(&text), want, "{text}");
        }
        let zero = "0".repeat(32);
        let row = |destination: &str, length: &str, interface: &str| {
            format!(
                "{destination} {length} {zero} 00 {zero} 00000400 00000001 00000000 00000003 {interface}\n"
            )
        };
        let table = [
            (row(&zero, "00", "lo"), false),
            (row(&format!("fe80{}", &zero[4..]), "40", "eth0"), false),
            (row(&zero, "00", "eth0"), true),
        ];
        for (text, want) in table {
            assert_eq!(has_default_v6(&text), want, "{text}");
        }
    }

    #[tokio::test]
    async fn waiting_ends_at_the_limit_or_at_once() {
        let limit = Duration::from_millis(50);
        assert_eq!(wait_for_default(limit).await, exists());
    }
}
