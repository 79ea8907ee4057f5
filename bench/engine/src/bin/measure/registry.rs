//! A registry with one image, on loopback: what engines need to pull it (OCI distribution specification, "Pull").

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use serde_json::json;

use crate::image::{Image, digest};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// By path: media type and content.
type Documents = HashMap<String, (&'static str, Vec<u8>)>;

/// A registry; it serves until the process ends.
pub struct Registry {
    port: u16,
}

impl Registry {
    pub fn start(image: &Image) -> Result<Self> {
        let described = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
        let layer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        let layers: Vec<_> = image
            .compressed
            .iter()
            .map(|bytes| described(layer, bytes))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": described("application/vnd.docker.container.image.v1+json", &image.config), "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let mut documents = Documents::new();
        documents.insert("/v2/".into(), ("application/json", b"{}".to_vec()));
        for reference in ["latest".to_owned(), digest(&manifest)] {
            documents.insert(
                format!("/v2/large/manifests/{reference}"),
                (MANIFEST, manifest.clone()),
            );
        }
        for blob in image.compressed.iter().chain([&image.config]) {
            documents.insert(
                format!("/v2/large/blobs/{}", digest(blob)),
                ("application/octet-stream", blob.clone()),
            );
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        let port = listener.local_addr()?.port();
        let documents = Arc::new(documents);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let documents = Arc::clone(&documents);
                // A client that goes ends its connection.
                thread::spawn(move || serve(stream, &documents));
            }
        });
        Ok(Self { port })
    }

    /// What to pull.
    pub fn name(&self) -> String {
        format!("127.0.0.1:{}/large", self.port)
    }
}

fn serve(stream: TcpStream, documents: &Documents) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let Some(line) = lines.next().transpose()? else {
            return Ok(());
        };
        // The head ends with an empty line; requests have no body.
        let mut range = None;
        for header in lines.by_ref() {
            let header = header?;
            if header.is_empty() {
                break;
            }
            let lower = header.to_ascii_lowercase();
            if let Some(text) = lower.strip_prefix("range: bytes=") {
                range = text
                    .split('-')
                    .next()
                    .and_then(|start| start.parse::<usize>().ok());
            }
        }
        let mut words = line.split(' ');
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let path = path.split('?').next().unwrap_or_default();
        let Some((kind, content)) = documents.get(path) else {
            out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let start = range.unwrap_or(0).min(content.len());
        let rest = &content[start..];
        let status = match range {
            None => "200 OK".to_owned(),
            Some(_) => {
                let last = content.len().saturating_sub(1);
                format!(
                    "206 Partial Content\r\nContent-Range: bytes {start}-{last}/{}",
                    content.len()
                )
            }
        };
        // Whose digest is not in the path.
        let named = if *kind == MANIFEST {
            format!("Docker-Content-Digest: {}\r\n", digest(content))
        } else {
            String::new()
        };
        write!(
            out,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{named}Docker-Distribution-Api-Version: registry/2.0\r\n\
             Content-Length: {}\r\n\r\n",
            rest.len()
        )?;
        if method == "GET" {
            out.write_all(rest)?;
        }
    }
}
