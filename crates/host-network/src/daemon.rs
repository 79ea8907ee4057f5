//! The long-running body of the `network` container: kernel events, DHCP events and signals in one loop.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use coracle_config::Config;
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::commands;
use crate::config::NetworkConfig;
use crate::dhcp::{self, DhcpEvent};
use crate::error::Error;
use crate::hostname;
use crate::interface::Interface;
use crate::netlink::{Event, Link, Netlink};
use crate::resolv_conf;
use crate::state::NetworkState;

/// How long a machine without an interface waits for its first one: the driver of a slow or a USB one may still be starting.
const FIRST_INTERFACE_WAIT: Duration = Duration::from_secs(5);

/// Where the daemon reads and writes.
pub struct Options {
    /// Gives the merged configuration; called at start and at SIGHUP.
    pub load: Box<dyn Fn() -> Config>,
    /// Directory of `resolv.conf`, `hostname` and `hosts`.
    pub etc: PathBuf,
    /// Where the state is published.
    pub state_file: PathBuf,
    /// Where time servers from DHCP go, in chrony's words (chrony.conf(5), sourcedir; inventory H4-009).
    pub time_sources: PathBuf,
}

/// Configures the network and keeps it configured until SIGTERM or SIGINT. Addresses, routes and leases stay when it ends:
/// a restart of the service must not cut connections. SIGHUP reads the configuration again.
///
/// # Errors
/// Netlink or signals are not available at all.
pub fn run(options: Options) -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::EventLoop)?
        .block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::EventLoop)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::EventLoop)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::EventLoop)?;
    let (netlink, mut kernel) = Netlink::open()?;
    let (sender, mut leases) = unbounded_channel();
    let mut daemon = Daemon::new(options, netlink, sender);
    commands::run_all("rancher.network.pre_cmds", &daemon.config.pre_cmds).await;
    daemon.adopt_all().await?;
    loop {
        daemon.settle().await;
        tokio::select! {
            event = kernel.next() => match event {
                Some(event) => daemon.kernel_event(event).await?,
                None => return Err(Error::Socket(std::io::ErrorKind::ConnectionAborted.into())),
            },
            Some(event) = leases.recv() => daemon.dhcp_event(event).await,
            () = until(daemon.next_deadline()) => daemon.deadline_passed(),
            _ = hangup.recv() => daemon.reload().await?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

struct Daemon {
    options: Options,
    netlink: Netlink,
    dhcp: UnboundedSender<DhcpEvent>,
    config: NetworkConfig,
    /// By kernel index, which is also the order of preference between DHCP answers.
    interfaces: BTreeMap<u32, Interface>,
    ready: bool,
    /// Until when a machine without an interface is not `ready`: a driver may still be starting one.
    first_interface_until: Option<Instant>,
    /// Something may have changed since `published`.
    dirty: bool,
    published: Option<NetworkState>,
}

impl Daemon {
    fn new(options: Options, netlink: Netlink, dhcp: UnboundedSender<DhcpEvent>) -> Self {
        let config = read_config(&options);
        Self {
            options,
            netlink,
            dhcp,
            config,
            interfaces: BTreeMap::new(),
            ready: false,
            first_interface_until: Some(Instant::now() + FIRST_INTERFACE_WAIT),
            dirty: true,
            published: None,
        }
    }

    /// Looks at every interface there is.
    async fn adopt_all(&mut self) -> Result<(), Error> {
        let links = self.netlink.links().await?;
        self.interfaces
            .retain(|index, _| links.iter().any(|link| link.index == *index));
        for link in links {
            self.link_seen(link).await;
        }
        Ok(())
    }

    /// A new interface, or news about one.
    async fn link_seen(&mut self, link: Link) {
        if let Some(interface) = self.interfaces.get_mut(&link.index) {
            if interface.link == link {
                return;
            }
            self.dirty = true;
            let renamed = interface.link.name != link.name;
            interface.routes_lost |= interface.link.up && !link.up;
            interface.link = link.clone();
            if !renamed {
                if interface.routes_lost && link.up {
                    tracing::info!("{}: up again", link.name);
                    interface.routes_lost = false;
                    interface.configure(&self.netlink).await;
                }
                interface.follow_carrier(&hostname::current(), &self.dhcp);
                return;
            }
            self.interfaces.remove(&link.index);
        }
        if link.loopback {
            // The kernel adds 127.0.0.1/8 and ::1/128 by itself once it is up.
            if let Err(error) = self.netlink.set_up(&link).await {
                tracing::error!("{error}");
            }
        }
        let entry = self
            .config
            .entry_for(&link.name, link.mac.as_ref(), link.virtual_link);
        let Some(entry) = entry.cloned() else { return };
        let mut interface = Interface::new(link, entry, self.config.dhcp_timeout);
        interface.configure(&self.netlink).await;
        interface.follow_carrier(&hostname::current(), &self.dhcp);
        self.interfaces.insert(interface.link.index, interface);
        self.dirty = true;
    }

    async fn kernel_event(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Link(link) => self.link_seen(link).await,
            Event::LinkGone(index) => {
                if let Some(interface) = self.interfaces.remove(&index) {
                    tracing::info!("{}: gone", interface.link.name);
                    self.dirty = true;
                }
            }
            Event::Address(index) => self.dirty |= self.interfaces.contains_key(&index),
            Event::Overrun => {
                self.dirty = true;
                self.adopt_all().await?;
            }
        }
        Ok(())
    }

    async fn dhcp_event(&mut self, event: DhcpEvent) {
        self.dirty = true;
        match event {
            DhcpEvent::Bound(index, lease) => {
                let Some(interface) = self.interfaces.get_mut(&index) else {
                    return;
                };
                let offered = lease.host_name.clone();
                interface.bound(&self.netlink, lease).await;
                if let Some(name) = offered {
                    self.hostname_offered(&name);
                }
            }
            DhcpEvent::Expired(index) => {
                if let Some(interface) = self.interfaces.get_mut(&index) {
                    interface.expired(&self.netlink).await;
                }
            }
        }
    }

    fn hostname_offered(&self, name: &str) {
        if self.config.hostname.is_some()
            || !hostname::acceptable(name)
            || name == hostname::current()
        {
            return;
        }
        match hostname::set(name, &self.options.etc) {
            Ok(()) => tracing::info!("host name {name} from DHCP"),
            Err(error) => tracing::error!("cannot set the host name {name}: {error}"),
        }
    }

    /// The next moment at which a silent or missing interface stops holding `ready` up.
    fn next_deadline(&self) -> Option<Instant> {
        let mut interfaces = self.interfaces.values();
        let missing = self
            .first_interface_until
            .filter(|_| interfaces.all(|interface| interface.link.loopback));
        let silent = self.interfaces.values().filter_map(Interface::deadline);
        silent.chain(missing).min()
    }

    fn deadline_passed(&mut self) {
        let now = Instant::now();
        self.dirty = true;
        self.first_interface_until = self.first_interface_until.filter(|end| *end > now);
        for interface in self.interfaces.values_mut() {
            if interface.deadline().is_some_and(|deadline| deadline <= now) {
                interface.timed_out();
            }
        }
    }

    /// After each event: publishes what changed, and notices when the first attempt is over.
    async fn settle(&mut self) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        let became_ready = !self.ready && self.next_deadline().is_none();
        let mut state = self.state().await;
        // The fallback servers are written only when nobody can name better ones: a restart of the service must not take
        // the name servers away that the last run had from DHCP.
        let asked =
            self.ready || became_ready || state.nameservers != self.config.fallback_nameservers;
        if asked && self.published.as_ref() != Some(&state) {
            let text = resolv_conf::render(&state.nameservers, &state.search);
            let path = self.options.etc.join("resolv.conf");
            if let Err(error) = resolv_conf::write_in_place(&path, &text) {
                tracing::error!("cannot write {}: {error}", path.display());
            }
            self.write_time_sources(&state);
        }
        if became_ready {
            commands::run_all("rancher.network.post_cmds", &self.config.post_cmds).await;
            self.ready = true;
            state.ready = true;
        }
        if self.published.as_ref() != Some(&state) {
            match state.write(&self.options.state_file) {
                Ok(()) => self.published = Some(state),
                Err(error) => tracing::error!(
                    "cannot write {}: {error}",
                    self.options.state_file.display()
                ),
            }
        }
    }

    /// Read by the time service at its start, which is after the network's.
    fn write_time_sources(&self, state: &NetworkState) {
        let path = &self.options.time_sources;
        let text: String = state
            .ntp_servers
            .iter()
            .map(|server| format!("server {server} iburst\n"))
            .collect();
        let written = match path.parent() {
            _ if text.is_empty() && !path.exists() => Ok(()),
            Some(directory) => {
                std::fs::create_dir_all(directory).and_then(|()| std::fs::write(path, &text))
            }
            None => std::fs::write(path, &text),
        };
        if let Err(error) = written {
            tracing::error!("cannot write {}: {error}", path.display());
        }
    }

    async fn state(&self) -> NetworkState {
        let mut interfaces = Vec::new();
        for interface in self.interfaces.values() {
            interfaces.push(interface.state(&self.netlink).await);
        }
        let gateways = self
            .netlink
            .default_gateways()
            .await
            .unwrap_or_else(|error| {
                tracing::error!("{error}");
                Vec::new()
            });
        let leases: Vec<_> = self
            .interfaces
            .values()
            .filter_map(Interface::lease)
            .collect();
        let of_leases = |servers: fn(&mozim::DhcpV4Lease) -> &Option<Vec<std::net::Ipv4Addr>>| {
            let listed = leases.iter().filter_map(|lease| servers(lease).as_ref());
            listed
                .flatten()
                .map(|server| IpAddr::V4(*server))
                .collect::<Vec<_>>()
        };
        let mut nameservers = self.config.nameservers.clone();
        if nameservers.is_empty() {
            nameservers = of_leases(|lease| &lease.dns_srvs);
        }
        if nameservers.is_empty() {
            nameservers.clone_from(&self.config.fallback_nameservers);
        }
        let mut search = self.config.search.clone();
        if search.is_empty() {
            search = leases
                .iter()
                .flat_map(|lease| dhcp::search(lease))
                .collect();
        }
        NetworkState {
            ready: self.ready,
            online: !gateways.is_empty(),
            gateways,
            nameservers,
            search,
            ntp_servers: of_leases(|lease| &lease.ntp_srvs),
            interfaces,
        }
    }

    /// Reads the configuration again and configures every interface anew.
    async fn reload(&mut self) -> Result<(), Error> {
        tracing::info!("reading the configuration again");
        self.config = read_config(&self.options);
        self.interfaces.clear();
        self.dirty = true;
        self.adopt_all().await
    }
}

fn read_config(options: &Options) -> NetworkConfig {
    let (config, problems) = NetworkConfig::new(&(options.load)());
    for problem in problems {
        tracing::error!("{} {}; ignored", problem.key, problem.message);
    }
    config
}
