use std::path::PathBuf;

/// What can go wrong while the network is configured. Only the variants without an interface name end `netconf`;
/// the others are logged and the interface is left for the next event.
///
/// Each text holds its cause, which is not in `source()` as well: printing the chain would repeat it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel's netlink interface is not there or not allowed.
    #[error(
        "cannot open a netlink socket: {0} (netconf needs the host's network namespace and CAP_NET_ADMIN)"
    )]
    Socket(std::io::Error),
    /// A netlink request was refused.
    #[error("{interface}: cannot {action}: {cause}")]
    Netlink {
        /// Interface the request was about.
        interface: String,
        /// What was asked for, as a verb phrase.
        action: String,
        /// The kernel's answer.
        cause: rtnetlink::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {cause}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The DHCP client gave up for a reason other than silence.
    #[error("{interface}: DHCP: {cause}")]
    Dhcp {
        /// Interface name.
        interface: String,
        /// The client's reason.
        cause: mozim::DhcpError,
    },
    /// Signals or timers are unavailable.
    #[error("cannot set up the event loop: {0}")]
    EventLoop(std::io::Error),
}
