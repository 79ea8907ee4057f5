//! Syslog over TLS (RFC 5425).

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use coracle_distribution::tls;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;

/// Whom to trust and what to show: the driver's options. The files are read whenever a connection is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// `syslog-tls-ca-cert`: a certificate authority beside the system's.
    pub authority: Option<PathBuf>,
    /// `syslog-tls-cert` and `syslog-tls-key`. One of them without the other is an error when they are read.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// Not `syslog-tls-skip-verify`, which any value switches on, as in Docker.
    pub verify: bool,
}

impl TlsFiles {
    pub fn parse(given: &HashMap<String, String>) -> Self {
        let path = |name: &str| given.get(name).map(PathBuf::from).unwrap_or_default();
        let is_given = |path: &Path| !path.as_os_str().is_empty();
        let pair = (path("syslog-tls-cert"), path("syslog-tls-key"));
        Self {
            authority: Some(path("syslog-tls-ca-cert")).filter(|path| is_given(path)),
            pair: Some(pair).filter(|(cert, key)| is_given(cert) || is_given(key)),
            verify: !given.contains_key("syslog-tls-skip-verify"),
        }
    }

    /// Reads the files. `authorities` are the system's, the first that exists.
    ///
    /// # Errors
    /// Docker's texts.
    pub fn config(&self, authorities: &[PathBuf]) -> Result<Arc<ClientConfig>, String> {
        let roots = match self.verify {
            true => Some(self.roots(authorities)?),
            false => None,
        };
        let unloaded = |reason: String| format!("could not load X509 key pair: {reason}");
        let pair = match &self.pair {
            Some((cert, key)) => Some(pair(cert, key).map_err(unloaded)?),
            None => None,
        };
        if roots.as_ref().is_some_and(RootCertStore::is_empty) {
            return Err(
                "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                    .to_owned(),
            );
        }
        tls::client(roots, pair).map_err(|error| format!("tls: {error}"))
    }

    fn roots(&self, authorities: &[PathBuf]) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        if let Some(bundle) = authorities.iter().find(|path| path.exists()) {
            // Bundles hold old certificates that nothing understands any more.
            let bundle = certificates(&open(bundle)?).unwrap_or_default();
            roots.add_parsable_certificates(bundle);
        }
        if let Some(path) = &self.authority {
            let unread = |error| format!("could not read CA certificate {path:?}: {error}");
            let found = certificates(&open(path).map_err(unread)?).unwrap_or_default();
            if roots.add_parsable_certificates(found).0 == 0 {
                return Err(format!(
                    "failed to append certificates from PEM file: {path:?}"
                ));
            }
        }
        Ok(roots)
    }
}

fn pair(
    cert: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let (cert, key) = (open(cert)?, open(key)?);
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| match error {
        PemError::NoItemsFound => "no valid private key found".to_owned(),
        other => other.to_string(),
    })?;
    let chain = certificates(&cert).map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("tls: failed to find any PEM data in certificate input".to_owned());
    }
    Ok((chain, key))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    CertificateDer::pem_slice_iter(pem).collect()
}

/// What a file holds, or Go's text of why it cannot be read.
fn open(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        format!("open {}: {reason}", path.display())
    })
}

/// A connection that says goodbye, so that the service knows that nothing was cut off.
#[derive(Debug)]
pub struct TlsStream(StreamOwned<ClientConnection, TcpStream>);

/// Shakes hands with `host`, which has a port.
///
/// # Errors
/// Docker's texts.
pub fn connect(
    mut stream: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut stream)
            .map_err(|error| io::Error::other(tls::reason(&error)))?;
    }
    Ok(TlsStream(StreamOwned::new(connection, stream)))
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.0.conn.send_close_notify();
        // The service may have gone.
        let _ = self.0.flush();
        let _ = self.0.sock.shutdown(Shutdown::Write);
        // Closing while something is unread, as tickets of TLS 1.3 are, resets the connection (RFC 1122, 4.2.2.13): the service
        // would lose what it has not read yet.
        let until = Instant::now() + PATIENCE;
        let mut unread = [0; 1024];
        while matches!(self.0.sock.read(&mut unread), Ok(1..)) && Instant::now() < until {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc;
    use std::thread;

    use super::super::{Syslog, SyslogTarget};
    use super::*;
    use crate::streams::Stream;

    /// An authority, and certificates of it for 127.0.0.1 and for a client.
    const CERTIFICATES: &str = "
set -e
ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $ec -days 2 -subj /CN=authority -keyout ca.key -out ca.crt
printf 'subjectAltName=IP:127.0.0.1\n' > extensions
for name in server client; do
  openssl req $ec -subj /CN=$name -keyout $name.key -out $name.csr
  openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out $name.crt
done
echo nothing > empty
";

    fn certificates() -> Option<tempfile::TempDir> {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("sh")
            .args(["-c", CERTIFICATES])
            .current_dir(&dir)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !made.unwrap().success() {
            eprintln!("SKIPPED: tests of TLS need openssl(1)");
            return None;
        }
        Some(dir)
    }

    /// openssl(1) as a syslog service for one client: what it says, and what it has got when the client has gone.
    struct Server {
        process: Child,
        lines: mpsc::Receiver<String>,
        port: u16,
    }

    impl Server {
        fn start(dir: &Path, options: &[&str]) -> Self {
            let mut process = Command::new("openssl")
                .args(["s_server", "-naccept", "1", "-accept", "127.0.0.1:0"])
                .args(["-cert", "server.crt", "-key", "server.key"])
                .args(options)
                .current_dir(dir)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let (sender, lines) = mpsc::channel();
            let output = BufReader::new(process.stdout.take().unwrap());
            thread::spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    // The test may be over.
                    let _ = sender.send(line);
                }
            });
            let port = lines
                .iter()
                .find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok())
                .unwrap();
            Self {
                process,
                lines,
                port,
            }
        }

        /// Everything until the client has said goodbye.
        fn received(&mut self) -> Vec<String> {
            let lines = self.lines.iter().collect();
            assert!(self.process.wait().unwrap().success());
            lines
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    fn syslog(
        port: u16,
        options: &[(&str, String)],
        authorities: &[&str],
    ) -> Result<Syslog, String> {
        let mut given: HashMap<_, _> = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let address = format!("tcp+tls://127.0.0.1:{port}");
        given.insert("syslog-address".to_owned(), address);
        let target = SyslogTarget::parse(&given).unwrap();
        Syslog::connect(
            target,
            "web".to_owned(),
            authorities.iter().map(PathBuf::from).collect(),
        )
        .map_err(|error| error.to_string())
    }

    #[test]
    fn entries_travel_over_tls() {
        let Some(dir) = certificates() else { return };
        let file = |name: &str| dir.path().join(name).display().to_string();
        let trusted = ("syslog-tls-ca-cert", file("ca.crt"));
        let own = [
            ("syslog-tls-cert", file("client.crt")),
            ("syslog-tls-key", file("client.key")),
        ];
        let skip = ("syslog-tls-skip-verify", "1".to_owned());
        let rfc5424 = ("syslog-format", "rfc5424".to_owned());
        let all = |options: &[&(&'static str, String)]| -> Vec<_> {
            options.iter().map(|option| (*option).clone()).collect()
        };
        let demanding = ["-Verify", "1", "-verify_return_error", "-CAfile", "ca.crt"];
        let system = [file("none"), file("ca.crt")];
        let system = [system[0].as_str(), system[1].as_str()];
        for (server, options, authorities, framed) in [
            (&[][..], all(&[&trusted]), &[][..], false),
            (&["-tls1_2"], all(&[&rfc5424]), &system, true),
            (&[], all(&[&skip, &rfc5424]), &[], true),
            (&demanding, all(&[&trusted, &own[0], &own[1]]), &[], false),
        ] {
            let mut server = Server::start(dir.path(), server);
            let syslog = syslog(server.port, &options, authorities).unwrap();
            syslog.send(Stream::Stdout, &[b"one\n".to_vec(), b"two".to_vec()]);
            drop(syslog);
            let lines = server.received();
            let entries: Vec<_> = lines
                .iter()
                .filter(|line| line.contains("<30>"))
                .map(|line| line.split_once("<30>").unwrap())
                .collect();
            let words: Vec<_> = entries
                .iter()
                .map(|(_, text)| text.rsplit(' ').next().unwrap())
                .collect();
            assert_eq!(words, ["one", "two"], "{lines:?}");
            for (before, text) in entries {
                // The length counts the end of the line.
                let length = format!("{} ", text.len() + "<30>\n".len());
                assert_eq!(before, if framed { length } else { String::new() });
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_dockers_words() {
        let Some(dir) = certificates() else { return };
        let file = |name: &str| dir.path().join(name).display().to_string();
        let missing = format!("open {}: no such file or directory", file("none"));
        for (options, expected) in [
            (
                vec![],
                "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned(),
            ),
            (
                vec![("syslog-tls-ca-cert", file("client.crt"))],
                "connect to syslog: tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned(),
            ),
            (
                vec![("syslog-tls-ca-cert", file("none"))],
                format!("could not read CA certificate {:?}: {missing}", file("none")),
            ),
            (
                vec![("syslog-tls-ca-cert", file("empty"))],
                format!("failed to append certificates from PEM file: {:?}", file("empty")),
            ),
            (
                vec![("syslog-tls-skip-verify", String::new()), ("syslog-tls-cert", file("none"))],
                format!("could not load X509 key pair: {missing}"),
            ),
            (
                vec![
                    ("syslog-tls-skip-verify", String::new()),
                    ("syslog-tls-cert", file("client.crt")),
                    ("syslog-tls-key", file("empty")),
                ],
                "could not load X509 key pair: no valid private key found".to_owned(),
            ),
        ] {
            let server = Server::start(dir.path(), &[]);
            let error = syslog(server.port, &options, &[]).unwrap_err();
            let (_, reason) = error.split_once("failed to initialize logging driver: ").unwrap();
            assert_eq!(reason, expected);
        }
    }

    #[test]
    fn a_service_that_does_not_speak_tls_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.write_all(b"421 nothing to see here\r\n").unwrap();
            // Until the client has gone.
            let _ = client.read_to_end(&mut Vec::new());
        });
        let skip = ("syslog-tls-skip-verify", String::new());
        let error = syslog(port, &[skip], &[]).unwrap_err();
        assert!(error.contains("connect to syslog: "), "{error}");
        answer.join().unwrap();
    }
}
