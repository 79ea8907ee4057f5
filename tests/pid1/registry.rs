//! A real registry (Debian: docker-registry) in the network namespace of an engine, and a bad connection to it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;
use tar::{Builder, EntryType};

use crate::busybox::{header, hex, write_image};
use crate::host::{Host, Setup};

/// User `ann`, password `secret`.
const USERS: &str = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// An engine with a network of its own.
pub fn host(options: &'static str) -> Option<Host> {
    Host::start_as(Setup {
        own_network: true,
        options,
        ..Setup::default()
    })
}

/// A running registry; it ends with the value.
pub struct Registry {
    process: Child,
    root: PathBuf,
    network: fs::File,
    port: u16,
}

impl Registry {
    /// Starts a registry that listens on `127.0.0.1:<port>`, without TLS; with a user if there shall be `users`. What it
    /// has is kept in the host's directory. `None`, with a reason on standard error, where there is none.
    pub fn start(host: &Host, port: u16, users: bool) -> Option<Self> {
        let root = host.path(&format!("registry-{port}"));
        fs::create_dir_all(&root).expect("make a directory");
        let data = root.join("data");
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n",
            data.display()
        );
        if users {
            let file = root.join("users");
            fs::write(&file, USERS).expect("write the users");
            config += &format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                file.display()
            );
        }
        let file = root.join("config.yml");
        fs::write(&file, config).expect("write the configuration");
        let network = format!("/proc/{}/ns/net", host.pid().as_raw_nonzero());
        let started = Command::new("nsenter")
            .arg(format!("--net={network}"))
            .args(["docker-registry", "serve"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = started.expect("run nsenter(1)");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("listening on"));
        if !ready {
            process.wait().expect("wait for nsenter(1)");
            eprintln!(
                "SKIPPED: images from registries need docker-registry (package docker-registry)"
            );
            return None;
        }
        // Otherwise it waits for somebody to read what it says.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(Self {
            process,
            root,
            network: fs::File::open(network).expect("the engine runs"),
            port,
        })
    }

    /// Overwrites the first bytes of each blob of this media type that manifests have.
    pub fn damage_layers(&self, repository: &str, tag: &str) {
        let manifest: serde_json::Value =
            serde_json::from_str(&self.get(repository, tag)).expect("a manifest");
        for layer in manifest["layers"].as_array().expect("layers") {
            let digest = layer["digest"].as_str().expect("a digest");
            let hex = digest.strip_prefix("sha256:").expect("SHA-256");
            let blob = self
                .root
                .join("data/docker/registry/v2/blobs/sha256")
                .join(&hex[..2])
                .join(hex)
                .join("data");
            let mut bytes = fs::read(&blob).expect("read the blob");
            bytes[..4].copy_from_slice(b"oops");
            fs::write(&blob, bytes).expect("write the blob");
        }
    }

    /// The manifest of an image.
    pub fn get(&self, repository: &str, tag: &str) -> String {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let accept = "Accept: application/vnd.docker.distribution.manifest.v2+json";
        self.exchange("GET", &path, accept, "")
    }

    /// The digest of a manifest of any kind.
    pub fn digest(&self, repository: &str, tag: &str) -> String {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let accept = "Accept: application/vnd.oci.image.index.v1+json";
        format!(
            "sha256:{}",
            hex(self.exchange("GET", &path, accept, "").as_bytes())
        )
    }

    /// Puts a manifest of any kind under a tag.
    pub fn put(&self, repository: &str, tag: &str, media_type: &str, manifest: &str) {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let header = format!("Content-Type: {media_type}");
        self.exchange("PUT", &path, &header, manifest);
    }

    /// A request and the body of its answer, which must be a good one.
    fn exchange(&self, method: &str, path: &str, header: &str, body: &str) -> String {
        let port = self.port;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{header}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.inside(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.write_all(request.as_bytes())?;
            io::read_to_string(stream)
        });
        let answer = answer.expect("an answer of the registry");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{head}\n{body}");
        body.to_owned()
    }

    /// Does something in the registry's network.
    fn inside<T: Send + 'static>(
        &self,
        action: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let network = self.network.try_clone()?;
        let thread = thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), kind)?;
            action()
        });
        thread.join().expect("no panic")
    }

    /// Offers the registry at another port, over connections that break after this many bytes from it: by end or,
    /// when `silent`, by silence; the receiver is told each time.
    pub fn break_after(&self, port: u16, limit: usize, silent: bool) -> mpsc::Receiver<()> {
        let target = self.port;
        let listener = self.inside(move || TcpListener::bind(("127.0.0.1", port)));
        let listener = listener.expect("listen");
        let network = self.network.try_clone().expect("a descriptor");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), kind).expect("enter");
            // Ends with the process of the test.
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    return;
                };
                let sender = sender.clone();
                thread::spawn(move || relay(client, server, limit, silent, &sender));
            }
        });
        receiver
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn relay(
    client: TcpStream,
    server: TcpStream,
    limit: usize,
    silent: bool,
    broken: &mpsc::Sender<()>,
) -> Option<()> {
    let (mut up_from, mut up_to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        let _ = io::copy(&mut up_from, &mut up_to);
        let _ = up_to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (server, client);
    let mut buffer = vec![0; 16 << 10];
    let mut left = limit;
    loop {
        let wanted = buffer.len().min(left);
        let count = from.read(&mut buffer[..wanted]).ok()?;
        if count == 0 {
            break;
        }
        to.write_all(&buffer[..count]).ok()?;
        left -= count;
        if left == 0 {
            // The test may not be interested.
            let _ = broken.send(());
            if silent {
                thread::park();
            }
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
    Some(())
}

/// Writes an archive of `docker save` with an image of several layers, each with a file `layer-<n>` of its number.
pub fn write_layers(path: &Path, name: &str, count: usize) -> io::Result<()> {
    let layer = |number: usize| {
        let mut layer = Builder::new(Vec::new());
        let text = number.to_string();
        let mut file = header(EntryType::Regular, text.len() as u64, 0o644);
        layer.append_data(&mut file, format!("layer-{number}"), text.as_bytes())?;
        layer.into_inner()
    };
    let layers = (0..count).map(layer).collect::<io::Result<Vec<_>>>()?;
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|layer| format!("sha256:{}", hex(layer)))
        .collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    write_image(path, name, &config, &layers)
}
