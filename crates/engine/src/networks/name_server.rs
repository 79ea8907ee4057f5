//! The name servers of containers: one in each network namespace, all served by the engine's runtime.
//!
//! Its sockets are made inside the namespace, on a port that is nobody's: a container may itself be a name server and want port 53. A
//! rule in the namespace brings there what is sent to 127.0.0.11, port 53.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use coracle_container_network::dns::{self, Answer, Question, Wanted};
use coracle_container_network::nftables::{Chain, Expression, Hook, Table};
use coracle_container_network::{Cidr, Endpoint, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Networks, State};
use crate::error::{Doing, Result};
use crate::network_files::name_servers;
use crate::task;

/// How long a server may take to answer (Docker).
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// Pause after a socket's error.
const AFTER_ERROR: Duration = Duration::from_millis(10);
/// Questions and connections of one container that are dealt with at the same time (Docker: 1024).
const AT_ONCE: usize = 256;
/// The longest message over UDP.
const LONGEST: usize = 65535;

/// Sockets that were made in a container's namespace.
#[derive(Debug)]
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Those that a predecessor has made.
    pub fn inherited(udp: OwnedFd, tcp: OwnedFd) -> Self {
        Self {
            udp: udp.into(),
            tcp: tcp.into(),
        }
    }

    /// Makes them in the namespace of the calling thread, and the rule that leads there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open() -> coracle_container_network::Result<Self> {
        let failed = |source| coracle_container_network::Error::Kernel {
            what: "open the name server of a container".to_owned(),
            source,
        };
        let open = || -> io::Result<Self> {
            let (udp, tcp) = (
                UdpSocket::bind((dns::ADDRESS, 0))?,
                TcpListener::bind((dns::ADDRESS, 0))?,
            );
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            Ok(Self { udp, tcp })
        };
        let sockets = open().map_err(failed)?;
        let ports = [
            (
                Protocol::Udp,
                sockets.udp.local_addr().map_err(failed)?.port(),
            ),
            (
                Protocol::Tcp,
                sockets.tcp.local_addr().map_err(failed)?.port(),
            ),
        ];
        table(ports).install()?;
        Ok(sockets)
    }
}

fn table(ports: [(Protocol, u16); 2]) -> Table {
    let address = IpAddr::from(dns::ADDRESS);
    let rule = |(protocol, port)| {
        vec![
            Expression::Destination(Cidr {
                address,
                prefix: 32,
            }),
            Expression::Port(protocol, dns::PORT),
            Expression::Dnat(address, port),
        ]
    };
    Table {
        name: "coracle-names",
        chains: vec![Chain {
            name: "output",
            hook: Some(Hook::NatOutput),
            rules: ports.map(rule).to_vec(),
        }],
    }
}

/// A name server at work; it ends with the value.
#[derive(Debug)]
pub struct NameServer {
    tasks: [JoinHandle<()>; 2],
    servers: Vec<String>,
    /// The same sockets once more, for a successor.
    copies: Sockets,
}

impl NameServer {
    /// The servers that it asks, and copies of its sockets: UDP, TCP.
    ///
    /// # Errors
    /// When there is no room for a descriptor.
    pub fn copy(&self) -> io::Result<(Vec<String>, OwnedFd, OwnedFd)> {
        let (udp, tcp) = (self.copies.udp.try_clone()?, self.copies.tcp.try_clone()?);
        Ok((self.servers.clone(), udp.into(), tcp.into()))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What a name server knows of its container.
#[derive(Debug)]
struct Client {
    networks: Arc<Networks>,
    container: String,
    /// `--dns`; the machine's servers when empty.
    servers: Vec<String>,
    permits: Arc<Semaphore>,
}

impl Networks {
    /// Serves a container's questions. Call it inside the runtime.
    ///
    /// # Errors
    /// When the runtime does not take the sockets.
    pub fn serve_names(
        self: &Arc<Self>,
        container: &str,
        servers: &[String],
        sockets: Sockets,
    ) -> Result<()> {
        let doing = || format!("serve names to container {container}");
        let copies = Sockets {
            udp: sockets.udp.try_clone().doing(doing)?,
            tcp: sockets.tcp.try_clone().doing(doing)?,
        };
        let udp = Arc::new(tokio::net::UdpSocket::from_std(sockets.udp).doing(doing)?);
        let tcp = tokio::net::TcpListener::from_std(sockets.tcp).doing(doing)?;
        let client = Arc::new(Client {
            networks: Arc::clone(self),
            container: container.to_owned(),
            servers: servers.to_vec(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        });
        let name = format!("name server of container {container}");
        let server = NameServer {
            tasks: [
                task::spawn(name.clone(), serve_udp(Arc::clone(&client), udp)),
                task::spawn(name, serve_tcp(client, tcp)),
            ],
            servers: servers.to_vec(),
            copies,
        };
        self.name_servers().insert(container.to_owned(), server);
        Ok(())
    }

    /// What the networks of `container` know about a question. `None`: somebody else may know. `Failure`: nobody may be asked.
    fn look_up(&self, container: &str, question: &Question) -> Option<Answer> {
        let state = self.state();
        match &question.wanted {
            Wanted::Addresses(name, is_ipv6) => state
                .addresses_of(container, name, *is_ipv6)
                .map(Answer::Addresses),
            Wanted::Name(address) => state.name_of(container, *address).map(Answer::Name),
            Wanted::Other => None,
        }
        .or_else(|| (!state.leads_out(container)).then_some(Answer::Failure))
    }
}

impl State {
    /// The endpoints of a container in networks with names.
    fn named<'a>(&'a self, container: &str) -> impl Iterator<Item = (&'a Endpoint, &'a str)> {
        self.endpoints
            .get(container)
            .into_iter()
            .flatten()
            .filter_map(|endpoint| {
                let network = self.networks.get(&endpoint.network)?;
                network
                    .has_name_server()
                    .then_some((endpoint, network.name.as_str()))
            })
    }

    fn neighbours(&self, endpoint: &Endpoint) -> impl Iterator<Item = &Endpoint> {
        let network = endpoint.network.clone();
        self.endpoints
            .values()
            .flatten()
            .filter(move |other| other.network == network)
    }

    /// Addresses of all neighbours with this name; `None` when nobody has it, in any family.
    fn addresses_of(&self, container: &str, name: &str, is_ipv6: bool) -> Option<Vec<IpAddr>> {
        for (endpoint, network) in self.named(container) {
            let suffix = format!(".{}", network.to_lowercase());
            // A name of the container's own for a neighbour comes first.
            let linked = endpoint
                .links
                .iter()
                .find(|(alias, _)| alias.eq_ignore_ascii_case(name));
            let wanted = linked.map_or(name, |(_, target)| target);
            let bare = wanted.strip_suffix(&suffix);
            let has_name = |other: &&Endpoint| {
                let mut names = other.names.iter();
                names.any(|own| {
                    own.eq_ignore_ascii_case(wanted)
                        || bare.is_some_and(|bare| own.eq_ignore_ascii_case(bare))
                })
            };
            let mut found: Vec<&Endpoint> = self.neighbours(endpoint).filter(has_name).collect();
            if !found.is_empty() {
                found.sort_by_key(|other| &other.addresses);
                let addresses = found.iter().filter_map(|other| other.address(is_ipv6));
                return Some(addresses.map(|cidr| cidr.address).collect());
            }
        }
        None
    }

    /// Docker: the neighbour's first name, in its network.
    fn name_of(&self, container: &str, address: IpAddr) -> Option<String> {
        self.named(container).find_map(|(endpoint, network)| {
            let has_address =
                |other: &&Endpoint| other.addresses.iter().any(|cidr| cidr.address == address);
            let other = self.neighbours(endpoint).find(has_address)?;
            Some(format!("{}.{network}", other.names.first()?))
        })
    }

    /// Whether one of the container's networks has a way out.
    fn leads_out(&self, container: &str) -> bool {
        self.endpoints
            .get(container)
            .is_some_and(|list| list.iter().any(|endpoint| !endpoint.gateways.is_empty()))
    }
}

async fn serve_udp(client: Arc<Client>, socket: Arc<tokio::net::UdpSocket>) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((count, from)) = socket.recv_from(&mut buffer).await else {
            // Never for long; should it be, the engine must not spin.
            tokio::time::sleep(AFTER_ERROR).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&client.permits).try_acquire_owned() else {
            // As a busy network does: the client asks again.
            continue;
        };
        let message = buffer[..count].to_vec();
        let Some(question) = dns::question(&message) else {
            continue;
        };
        if let Some(answer) = client.networks.look_up(&client.container, &question) {
            let _ = socket
                .send_to(&dns::respond(&message, &question, &answer, true), from)
                .await;
            continue;
        }
        let (client, socket) = (Arc::clone(&client), Arc::clone(&socket));
        let name = format!("question of container {}", client.container);
        task::spawn(name, async move {
            let answer = client.ask_others(&message, true).await;
            let answer =
                answer.unwrap_or_else(|| dns::respond(&message, &question, &Answer::Failure, true));
            let _ = socket.send_to(&answer, from).await;
            drop(permit);
        });
    }
}

async fn serve_tcp(client: Arc<Client>, listener: tokio::net::TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_ERROR).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&client.permits).try_acquire_owned() else {
            continue;
        };
        let client = Arc::clone(&client);
        let name = format!("connection of container {}", client.container);
        task::spawn(name, async move {
            // The client may close at any time.
            let _ = client.converse(stream).await;
            drop(permit);
        });
    }
}

impl Client {
    /// Answers the questions of one connection.
    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let message = timeout(IDLE, read_message(&mut stream)).await??;
            let question = dns::question(&message).ok_or(io::ErrorKind::InvalidData)?;
            let answer = match self.networks.look_up(&self.container, &question) {
                Some(answer) => dns::respond(&message, &question, &answer, false),
                None => self
                    .ask_others(&message, false)
                    .await
                    .unwrap_or_else(|| dns::respond(&message, &question, &Answer::Failure, false)),
            };
            write_message(&mut stream, &answer).await?;
        }
    }

    /// The answer of the first server that has one. The machine asks: its servers may be on its loopback interface.
    async fn ask_others(&self, message: &[u8], is_udp: bool) -> Option<Vec<u8>> {
        let servers = if self.servers.is_empty() {
            name_servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
        } else {
            self.servers.clone()
        };
        let mut unwilling = None;
        for server in servers
            .iter()
            .filter_map(|server| server.parse::<IpAddr>().ok())
        {
            let server = SocketAddr::new(server, dns::PORT);
            let asked = async {
                if is_udp {
                    ask_udp(server, message).await
                } else {
                    ask_tcp(server, message).await
                }
            };
            if let Ok(Ok(answer)) = timeout(PATIENCE, asked).await {
                match dns::is_answer(message, &answer) {
                    Some(false) => return Some(answer),
                    Some(true) => unwilling = Some(answer),
                    None => {}
                }
            }
        }
        unwilling
    }
}

async fn ask_udp(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv6() {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = tokio::net::UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let count = socket.recv(&mut buffer).await?;
        // What somebody else put in between.
        if dns::is_answer(message, &buffer[..count]).is_some() {
            buffer.truncate(count);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_message(&mut stream, message).await?;
    read_message(&mut stream).await
}

/// Over TCP each message has its length before it.
async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::tests::{record, settings, state};
    use super::*;

    #[test]
    fn neighbours_are_found_by_all_their_names() {
        let mut state = state();
        let mut client = settings("10.0.0.2", &[]);
        client.links = Some(vec!["web:database".into()]);
        for (name, networks) in [
            ("client", vec![("foo", client)]),
            (
                "web",
                vec![
                    ("foo", settings("10.0.0.3", &["www"])),
                    ("inner", settings("10.1.0.9", &["www"])),
                ],
            ),
            ("other", vec![("foo", settings("10.0.0.4", &["www"]))]),
            ("hidden", vec![("inner", settings("10.1.0.8", &["secret"]))]),
        ] {
            let record = record(name, networks[0].0, &networks);
            for (network, settings) in &networks {
                state.join(&record, network, settings).unwrap();
            }
        }
        let client = "client-0123456789abcdef";
        for (name, expected) in [
            ("web", Some(&["10.0.0.3"][..])),
            ("web.foo", Some(&["10.0.0.3"])),
            ("web-01234567", Some(&["10.0.0.3"])),
            ("database", Some(&["10.0.0.3"])),
            ("www", Some(&["10.0.0.3", "10.0.0.4"])),
            ("client", Some(&["10.0.0.2"])),
            ("web.inner", None),
            ("secret", None),
            ("example.org", None),
        ] {
            let found = state.addresses_of(client, name, false);
            let found = found.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(
                found.as_deref(),
                expected
                    .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>())
                    .as_deref(),
                "{name}"
            );
        }
        assert_eq!(state.addresses_of(client, "web", true), Some(Vec::new()));
        assert_eq!(
            state.name_of(client, [10, 0, 0, 4].into()).as_deref(),
            Some("other.foo")
        );
        assert_eq!(state.name_of(client, [10, 1, 0, 8].into()), None);
        assert!(state.leads_out(client));
        assert!(!state.leads_out("hidden-0123456789abcdef"));
    }

    #[test]
    fn questions_reach_the_sockets_by_a_rule() {
        assert_eq!(
            table([(Protocol::Udp, 1000), (Protocol::Tcp, 2000)]).to_string(),
            "table inet coracle-names {\n\tchain output {\n\t\ttype nat hook output priority -101; policy accept;\n\
             \t\tip daddr 127.0.0.11 udp dport 53 dnat ip to 127.0.0.11:1000\n\
             \t\tip daddr 127.0.0.11 tcp dport 53 dnat ip to 127.0.0.11:2000\n\t}\n}\n"
        );
    }
}
