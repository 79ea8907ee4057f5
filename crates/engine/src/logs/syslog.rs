//! The `syslog` log driver: entries to a syslog service, as datagrams or a stream, which may be one of TLS.

mod tls;

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Zoned;

use self::tls::TlsFiles;
use crate::error::{Error, Result};
use crate::streams::Stream;

/// Where programs of the machine find the syslog service.
const LOCAL: &str = "/dev/log";
/// The port of syslog (RFC 3164, 2; RFC 5426).
const PORT: u16 = 514;
/// How long a service may take to accept a connection or an entry; then entries are lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// The facility `daemon` (RFC 5424, table 1).
const DAEMON: u8 = 3;
/// Longest APP-NAME (RFC 5424, 6.2.5).
const APP_NAME: usize = 48;

const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Where and how entries are sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyslogTarget {
    address: Address,
    facility: u8,
    format: Format,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Address {
    /// `/dev/log`, whatever kind of socket it is.
    Local,
    Stream(PathBuf),
    Datagram(PathBuf),
    Tcp(String),
    Udp(String),
    Tls(String, TlsFiles),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    /// As programs of the same machine write: without its name.
    Local,
    Rfc3164,
    Rfc5424,
    /// With microseconds.
    Rfc5424Micro,
}

impl SyslogTarget {
    /// Reads the driver's options.
    ///
    /// # Errors
    /// Docker's texts.
    pub fn parse(given: &HashMap<String, String>) -> Result<Self> {
        let text = |name: &str| given.get(name).map_or("", String::as_str);
        let format = match text("syslog-format") {
            "" => Format::Local,
            "rfc3164" => Format::Rfc3164,
            "rfc5424" => Format::Rfc5424,
            "rfc5424micro" => Format::Rfc5424Micro,
            _ => return Err(Error::Invalid("Invalid syslog format".to_owned())),
        };
        let facility = match text("syslog-facility") {
            "" => DAEMON,
            text => FACILITIES
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, number)| *number)
                .or_else(|| text.parse().ok().filter(|number| *number < 24))
                .ok_or_else(|| Error::Invalid("invalid syslog facility".to_owned()))?,
        };
        Ok(Self {
            address: Address::parse(text("syslog-address"), || TlsFiles::parse(given))?,
            facility,
            format,
        })
    }
}

impl Address {
    fn parse(text: &str, tls: impl FnOnce() -> TlsFiles) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::Local);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let path = || match std::fs::metadata(rest) {
            Ok(_) => Ok(PathBuf::from(rest)),
            Err(_) => Err(Error::Invalid(format!(
                "stat {rest}: no such file or directory"
            ))),
        };
        let host = || {
            let named = rest.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty()
                    && port.parse::<u16>().is_ok()
                    && (!host.contains(':') || host.ends_with(']'))
            });
            match rest {
                "" => Err(Error::Invalid(format!("invalid syslog-address: {text}"))),
                rest if named => Ok(rest.to_owned()),
                rest => Ok(format!("{rest}:{PORT}")),
            }
        };
        match scheme {
            "unix" => path().map(Self::Stream),
            "unixgram" => path().map(Self::Datagram),
            "tcp" => host().map(Self::Tcp),
            "udp" => host().map(Self::Udp),
            "tcp+tls" => host().map(|host| Self::Tls(host, tls())),
            other => Err(Error::Invalid(format!("unsupported scheme: '{other}'"))),
        }
    }

    /// `authorities` are files of certificates, of which the first that exists is used.
    fn connect(&self, authorities: &[PathBuf]) -> io::Result<Connection> {
        match self {
            Self::Local => local(Path::new(LOCAL)),
            Self::Stream(path) => stream(path),
            Self::Datagram(path) => datagram(path),
            Self::Tcp(host) => Ok(Connection::Stream(Box::new(tcp(host)?))),
            Self::Tls(host, files) => {
                let config = files.config(authorities).map_err(io::Error::other)?;
                Ok(Connection::Stream(Box::new(tls::connect(
                    tcp(host)?,
                    host,
                    config,
                )?)))
            }
            Self::Udp(host) => {
                let target = host
                    .to_socket_addrs()?
                    .next()
                    .ok_or(io::ErrorKind::NotFound)?;
                let any = if target.is_ipv6() {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(target)?;
                Ok(Connection::Udp(socket))
            }
        }
    }
}

fn tcp(host: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Most services listen for datagrams.
fn local(path: &Path) -> io::Result<Connection> {
    datagram(path).or_else(|_| stream(path))
}

fn stream(path: &Path) -> io::Result<Connection> {
    let stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(Connection::Stream(Box::new(stream)))
}

fn datagram(path: &Path) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(Connection::Datagram(socket))
}

#[derive(Debug)]
enum Connection {
    Stream(Box<dyn Wire>),
    Datagram(UnixDatagram),
    Udp(UdpSocket),
}

trait Wire: Write + Send + std::fmt::Debug {}
impl<T: Write + Send + std::fmt::Debug> Wire for T {}

impl Connection {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(message)?;
                stream.flush()
            }
            Self::Datagram(socket) => socket.send(message).map(drop),
            Self::Udp(socket) => socket.send(message).map(drop),
        }
    }
}

/// An open connection to a syslog service.
#[derive(Debug)]
pub struct Syslog {
    target: SyslogTarget,
    tag: String,
    authorities: Vec<PathBuf>,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    connection: Option<Connection>,
    failing: bool,
}

impl Syslog {
    /// Connects; entries will have this tag. `authorities` are files of certificates that are good for TLS, of which the first that
    /// exists is used. Blocks.
    ///
    /// # Errors
    /// When the service cannot be reached, unless it is the machine's own.
    pub fn connect(target: SyslogTarget, tag: String, authorities: Vec<PathBuf>) -> Result<Self> {
        let failed = |reason: String| {
            Error::Internal(format!(
                "failed to create task for container: failed to initialize logging driver: {reason}"
            ))
        };
        if let Address::Tls(_, files) = &target.address {
            files.config(&authorities).map_err(failed)?;
        }
        let connection = match target.address.connect(&authorities) {
            Ok(connection) => Some(connection),
            // The machine's own service is a container too, and may start after this one.
            Err(error) if target.address == Address::Local => {
                tracing::warn!("log to syslog: {LOCAL}: {error}");
                None
            }
            Err(error) => {
                return Err(failed(format!("connect to syslog: {error}")));
            }
        };
        Ok(Self {
            target,
            tag,
            authorities,
            line: Mutex::new(Line {
                failing: connection.is_none(),
                connection,
            }),
        })
    }

    /// As [`Syslog::connect`], but connects with the first entry.
    pub fn later(target: SyslogTarget, tag: String, authorities: Vec<PathBuf>) -> Self {
        let line = Line {
            connection: None,
            failing: false,
        };
        Self {
            target,
            tag,
            authorities,
            line: Mutex::new(line),
        }
    }

    /// Sends entries. A service that has gone is looked for once per entry; meanwhile entries are lost, which is reported
    /// once. Blocks.
    pub fn send(&self, stream: Stream, entries: &[Vec<u8>]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Zoned::now();
        for entry in entries {
            let message = self.message(stream, &now, entry);
            let sent = match &mut line.connection {
                Some(connection) => connection.send(&message),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            let result = sent.or_else(|_| {
                line.connection = None;
                let mut connection = self.target.address.connect(&self.authorities)?;
                connection.send(&message)?;
                line.connection = Some(connection);
                Ok::<_, io::Error>(())
            });
            match &result {
                Err(error) if !line.failing => tracing::error!("log to syslog: {error}"),
                _ => {}
            }
            line.failing = result.is_err();
        }
    }

    fn message(&self, stream: Stream, now: &Zoned, entry: &[u8]) -> Vec<u8> {
        let severity = match stream {
            Stream::Stdout => 6,
            Stream::Stderr => 3,
        };
        let host = rustix::system::uname();
        let parts = Parts {
            priority: self.target.facility * 8 + severity,
            host: &host.nodename().to_string_lossy(),
            tag: &self.tag,
            pid: std::process::id(),
        };
        let mut message = parts.head(self.target.format, now).into_bytes();
        message.extend_from_slice(entry.strip_suffix(b"\n").unwrap_or(entry));
        message.push(b'\n');
        match (&self.target.address, self.target.format) {
            // RFC 5425, 4.3: the length goes first, where the format is that of RFC 5424.
            (Address::Tls(..), Format::Rfc5424 | Format::Rfc5424Micro) => {
                [format!("{} ", message.len()).into_bytes(), message].concat()
            }
            _ => message,
        }
    }
}

struct Parts<'a> {
    priority: u8,
    host: &'a str,
    tag: &'a str,
    pid: u32,
}

impl Parts<'_> {
    /// What goes before the text.
    fn head(&self, format: Format, now: &Zoned) -> String {
        let Self {
            priority,
            host,
            tag,
            pid,
        } = self;
        let stamp = now.strftime("%b %e %H:%M:%S");
        let app = tag.get(..APP_NAME).unwrap_or(tag);
        match format {
            Format::Local => format!("<{priority}>{stamp} {tag}[{pid}]: "),
            Format::Rfc3164 => format!("<{priority}>{stamp} {host} {tag}[{pid}]: "),
            Format::Rfc5424 => {
                let time = now.strftime("%Y-%m-%dT%H:%M:%S%:z");
                format!("<{priority}>1 {time} {host} {app} {pid} {tag} - ")
            }
            Format::Rfc5424Micro => {
                let time = now.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z");
                format!("<{priority}>1 {time} {host} {app} {pid} {tag} - ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn target(options: &[(&str, &str)]) -> Result<SyslogTarget, String> {
        let options = options
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        SyslogTarget::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_dockers() {
        let of = |address, facility, format| {
            Ok(SyslogTarget {
                address,
                facility,
                format,
            })
        };
        for (options, expected) in [
            (&[][..], of(Address::Local, 3, Format::Local)),
            (
                &[
                    ("syslog-address", "udp://10.0.0.1"),
                    ("syslog-format", "rfc5424"),
                ],
                of(Address::Udp("10.0.0.1:514".into()), 3, Format::Rfc5424),
            ),
            (
                &[
                    ("syslog-address", "tcp://[::1]:601"),
                    ("syslog-facility", "local7"),
                ],
                of(Address::Tcp("[::1]:601".into()), 23, Format::Local),
            ),
            (
                &[
                    ("syslog-address", "unixgram:///dev/null"),
                    ("syslog-facility", "16"),
                    ("syslog-format", "rfc3164"),
                ],
                of(Address::Datagram("/dev/null".into()), 16, Format::Rfc3164),
            ),
            (
                &[
                    ("syslog-address", "tcp+tls://logs.example"),
                    ("syslog-tls-ca-cert", "/ca"),
                    ("syslog-tls-skip-verify", "false"),
                ],
                of(
                    Address::Tls(
                        "logs.example:514".into(),
                        TlsFiles {
                            authority: Some("/ca".into()),
                            pair: None,
                            verify: false,
                        },
                    ),
                    3,
                    Format::Local,
                ),
            ),
            (
                &[("syslog-format", "json")],
                Err("Invalid syslog format".into()),
            ),
            (
                &[("syslog-facility", "moon")],
                Err("invalid syslog facility".into()),
            ),
            (
                &[("syslog-address", "gopher://x")],
                Err("unsupported scheme: 'gopher'".into()),
            ),
            (
                &[("syslog-address", "unix:///none/such")],
                Err("stat /none/such: no such file or directory".into()),
            ),
        ] {
            assert_eq!(target(options), expected, "{options:?}");
        }
    }

    #[test]
    fn formats_are_those_of_the_rfcs() {
        let now: Zoned = "2026-01-02T03:04:05.678901234+01:00[+01:00]"
            .parse()
            .unwrap();
        let parts = Parts {
            priority: 30,
            host: "host",
            tag: "web",
            pid: 7,
        };
        for (format, expected) in [
            (Format::Local, "<30>Jan  2 03:04:05 web[7]: "),
            (Format::Rfc3164, "<30>Jan  2 03:04:05 host web[7]: "),
            (
                Format::Rfc5424,
                "<30>1 2026-01-02T03:04:05+01:00 host web 7 web - ",
            ),
            (
                Format::Rfc5424Micro,
                "<30>1 2026-01-02T03:04:05.678901+01:00 host web 7 web - ",
            ),
        ] {
            assert_eq!(parts.head(format, &now), expected);
        }
    }

    #[test]
    fn only_the_machines_own_service_may_be_missing() {
        let connect = |address| {
            let target = SyslogTarget {
                address,
                facility: DAEMON,
                format: Format::Local,
            };
            Syslog::connect(target, "web".into(), Vec::new())
        };
        assert!(connect(Address::Local).is_ok());
        let dir = tempfile::tempdir().unwrap();
        for address in [
            Address::Datagram(dir.path().join("x")),
            Address::Stream(dir.path().join("x")),
        ] {
            let error = connect(address).unwrap_err().to_string();
            assert!(
                error.contains("failed to initialize logging driver"),
                "{error}"
            );
        }
    }

    #[test]
    fn entries_reach_every_kind_of_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let connect = |address: String| {
            let options = [
                ("syslog-address", address.as_str()),
                ("syslog-format", "rfc5424"),
            ];
            Syslog::connect(target(&options).unwrap(), "web".into(), Vec::new()).unwrap()
        };
        let entries = [b"one\n".to_vec(), b"two".to_vec()];
        let check = |text: &str, priority: u8, word: &str| {
            assert!(text.starts_with(&format!("<{priority}>1 ")), "{text}");
            assert!(text.ends_with(&format!(" web - {word}\n")), "{text}");
        };
        let mut buffer = [0; 512];
        let text =
            |count: usize, buffer: &[u8]| String::from_utf8_lossy(&buffer[..count]).into_owned();

        let syslog = connect(format!("unixgram://{}", path.display()));
        syslog.send(Stream::Stderr, &entries);
        for word in ["one", "two"] {
            let count = socket.recv(&mut buffer).unwrap();
            check(&text(count, &buffer), 27, word);
        }
        // A service that was started anew is found again.
        drop(socket);
        std::fs::remove_file(&path).unwrap();
        let socket = UnixDatagram::bind(&path).unwrap();
        syslog.send(Stream::Stdout, &entries[..1]);
        let count = socket.recv(&mut buffer).unwrap();
        check(&text(count, &buffer), 30, "one");

        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        connect(format!("udp://{}", udp.local_addr().unwrap())).send(Stream::Stdout, &entries[..1]);
        let count = udp.recv(&mut buffer).unwrap();
        check(&text(count, &buffer), 30, "one");

        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let unix_path = dir.path().join("stream");
        let unix = UnixListener::bind(&unix_path).unwrap();
        let tcp_log = connect(format!("tcp://{}", tcp.local_addr().unwrap()));
        let unix_log = connect(format!("unix://{}", unix_path.display()));
        let wires: [(Syslog, Box<dyn Read>); 2] = [
            (tcp_log, Box::new(tcp.accept().unwrap().0)),
            (unix_log, Box::new(unix.accept().unwrap().0)),
        ];
        for (syslog, mut wire) in wires {
            syslog.send(Stream::Stdout, &entries);
            drop(syslog);
            let mut all = String::new();
            wire.read_to_string(&mut all).unwrap();
            let lines: Vec<_> = all.split_inclusive('\n').collect();
            assert_eq!(lines.len(), 2);
            check(lines[0], 30, "one");
            check(lines[1], 30, "two");
        }
    }
}
