//! Certificates, with a real registry (Debian: docker-registry) that speaks TLS with those of openssl(1).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use coracle_distribution::{Credentials, Endpoint, Registry, Settings, login};
use coracle_image::Reference;

/// An authority, and a certificate of it for 127.0.0.1.
const CERTIFICATES: &str = "
set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry -keyout registry.key -out registry.csr
printf 'subjectAltName=IP:127.0.0.1\n' > extensions
openssl x509 -req -in registry.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out registry.crt
";

/// A registry that ends with the value.
struct Server {
    process: Child,
    authority: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a registry on a port that the kernel chooses.
fn start(dir: &Path, tls: bool) -> Option<Server> {
    let shown = dir.display();
    let mut config = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {shown}/data}}}}\nhttp:\n  addr: 127.0.0.1:0\n"
    );
    if tls {
        config +=
            &format!("  tls: {{certificate: {shown}/registry.crt, key: {shown}/registry.key}}\n");
    }
    let file = dir.join(format!("{tls}.yml"));
    fs::write(&file, config).unwrap();
    let started = Command::new("docker-registry")
        .arg("serve")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut process) = started else {
        eprintln!("SKIPPED: tests of TLS need docker-registry (package docker-registry)");
        return None;
    };
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let authority = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            let rest = line.split_once("listening on ")?.1;
            let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')));
            Some(rest[..end.unwrap_or(rest.len())].to_owned())
        })
        .expect("the registry says where it listens");
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Some(Server { process, authority })
}

async fn outcome(settings: &Settings, authority: &str, verify: bool) -> String {
    let endpoint = Endpoint {
        tls: true,
        authority: authority.to_owned(),
        verify,
        mirror: false,
    };
    let name = Reference::parse("x").unwrap().name;
    let nobody = Credentials::default();
    match Registry::connect(settings, &endpoint, &name, &nobody, false).await {
        Ok(registry) => match registry.manifest("1").await {
            Ok(_) => "found".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string().replace(authority, "AUTHORITY"),
    }
}

#[tokio::test]
async fn certificates_must_be_good_unless_the_registry_is_insecure() {
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("sh")
        .args(["-c", CERTIFICATES])
        .current_dir(dir.path())
        .output()
        .unwrap();
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(said.contains("not found"), "{said}");
        eprintln!("SKIPPED: tests of TLS need openssl (package openssl)");
        return;
    }
    let Some(server) = start(dir.path(), true) else {
        return;
    };
    let Some(plain) = start(dir.path(), false) else {
        return;
    };
    let authority = server.authority.as_str();
    let missing = "manifest unknown: manifest unknown";
    let settings = Settings {
        ca_bundles: vec![
            "/nowhere".into(),
            "/etc/ssl/certs/ca-certificates.crt".into(),
        ],
        certificates: dir.path().join("certs.d"),
        ..Settings::default()
    };
    assert_eq!(
        outcome(&settings, authority, true).await,
        "Get \"https://AUTHORITY/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
    assert_eq!(outcome(&settings, authority, false).await, missing);
    assert_eq!(
        outcome(&settings, &plain.authority, true).await,
        "Get \"https://AUTHORITY/v2/\": http: server gave HTTP response to HTTPS client"
    );
    let place = settings.certificates.join(authority);
    fs::create_dir_all(&place).unwrap();
    fs::copy(dir.path().join("ca.crt"), place.join("ca.crt")).unwrap();
    assert_eq!(outcome(&settings, authority, true).await, missing);
    // The bundle serves as well, and a name must be in the certificate.
    let settings = Settings {
        ca_bundles: vec![dir.path().join("ca.crt")],
        ..settings
    };
    assert_eq!(outcome(&settings, authority, true).await, missing);
    let other = authority.replace("127.0.0.1", "localhost");
    let refused = outcome(&settings, &other, true).await;
    assert!(
        refused.contains("x509: certificate not valid for name \"localhost\""),
        "{refused}"
    );
    fs::write(place.join("client.cert"), "").unwrap();
    assert_eq!(
        outcome(&settings, authority, true).await,
        "missing key client.key for client certificate client.cert. CA certificates must use the extension .crt"
    );
}

#[tokio::test]
async fn loopback_speaks_https_or_http() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = start(dir.path(), false) else {
        return;
    };
    let credentials = Credentials {
        serveraddress: format!("http://{}/v2/", server.authority),
        ..Credentials::default()
    };
    let token = login(&Settings::default(), &credentials).await.unwrap();
    assert_eq!(token, None);
}
