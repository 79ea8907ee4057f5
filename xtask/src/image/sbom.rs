//! The software bill of materials: Debian packages and Rust crates, as SPDX 2.3 JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use coracle_toolbox::Package;
use serde::Deserialize;
use serde_json::{Value, json};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const SYSTEM: &str = "SPDXRef-coracle";

/// An image that is not part of the system, and its packages.
#[derive(Debug)]
pub struct Optional<'a> {
    /// Name of the image, without version.
    pub image: &'a str,
    /// What is in it.
    pub packages: Vec<&'a Package>,
}

/// Writes the document. `uuid` is that of `system.erofs`: the same content gives the same document.
pub fn render(
    root: &Path,
    system: &[&Package],
    optional: &[Optional<'_>],
    version: &str,
    uuid: &str,
) -> anyhow::Result<Vec<u8>> {
    let mut contents = Contents::default();
    let parts: Vec<Value> = system.iter().map(|package| debian(package)).collect();
    contents.add(SYSTEM, "coracle", version, parts);
    contents.add_parts(SYSTEM, crates(root)?.iter().map(rust).collect());
    for Optional { image, packages } in optional {
        let parts = packages.iter().map(|package| debian(package)).collect();
        contents.add(
            &format!("SPDXRef-image-{}", id(image)),
            image,
            version,
            parts,
        );
    }
    let Contents { entries, relations } = contents;
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": format!("coracle-{version}"),
        "documentNamespace": format!("urn:uuid:{uuid}"),
        "creationInfo": { "created": super::bundle::CREATED, "creators": ["Tool: cargo xtask image"] },
        "packages": entries,
        "relationships": relations,
    });
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    Ok(text)
}

/// Entries, each once, and who contains whom.
#[derive(Debug, Default)]
struct Contents {
    entries: Vec<Value>,
    relations: Vec<Value>,
}

impl Contents {
    /// Adds something that the document describes, with its parts.
    fn add(&mut self, id: &str, name: &str, version: &str, parts: Vec<Value>) {
        self.entries.push(json!({
            "SPDXID": id,
            "name": name,
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
        }));
        self.relations.push(relation(DOCUMENT, "DESCRIBES", id));
        self.add_parts(id, parts);
    }

    fn add_parts(&mut self, id: &str, parts: Vec<Value>) {
        for part in parts {
            let of = part["SPDXID"].as_str().unwrap_or_default();
            self.relations.push(relation(id, "CONTAINS", of));
            if !self.entries.contains(&part) {
                self.entries.push(part);
            }
        }
    }
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn debian(package: &Package) -> Value {
    let archive = if package.filename.starts_with("pool/updates/") {
        "debian-security"
    } else {
        "debian"
    };
    let suite = package.suite.name();
    json!({
        "SPDXID": format!("SPDXRef-deb-{suite}-{}", id(&package.name)),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": "Organization: Debian",
        "downloadLocation": format!("http://deb.debian.org/{archive}/{}", package.filename),
        "filesAnalyzed": false,
        "checksums": [{ "algorithm": "SHA256", "checksumValue": package.sha256 }],
        "sourceInfo": format!("built from source package {} {}", package.source, package.source_version),
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [purl(format!(
            "pkg:deb/debian/{}@{}?arch=amd64&distro={suite}",
            package.name,
            package.version.replace('+', "%2B").replace(':', "%3A")
        ))],
    })
}

fn rust(package: &CargoPackage) -> Value {
    // Old crates separate alternatives with a slash.
    let license = package.license.as_deref().map_or_else(
        || "NOASSERTION".to_owned(),
        |text| text.replace('/', " OR "),
    );
    json!({
        "SPDXID": format!("SPDXRef-crate-{}-{}", id(&package.name), id(&package.version)),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": package.source.as_deref().map_or("NOASSERTION", |_| "https://crates.io"),
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": license,
        "copyrightText": "NOASSERTION",
        "externalRefs": [purl(format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B")))],
    })
}

fn purl(locator: String) -> Value {
    json!({ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator })
}

/// SPDX identifiers know letters, digits, `.` and `-` only.
fn id(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect()
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<CargoPackage>,
    resolve: Resolve,
}

#[derive(Debug, Clone, Deserialize)]
struct CargoPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// The crates that are linked into the binary.
fn crates(root: &Path) -> anyhow::Result<Vec<CargoPackage>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args([
            "metadata",
            "--locked",
            "--format-version=1",
            "--filter-platform=x86_64-unknown-linux-gnu",
        ])
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    linked(&serde_json::from_slice(&output.stdout)?)
}

fn linked(metadata: &Metadata) -> anyhow::Result<Vec<CargoPackage>> {
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let start = metadata
        .packages
        .iter()
        .find(|package| package.name == "coracle" && package.source.is_none());
    let mut todo = vec![
        start
            .context("the workspace has no package coracle")?
            .id
            .as_str(),
    ];
    let mut found = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if found.insert(id) {
            let normal = |dependency: &&Dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind.is_none())
            };
            let dependencies = nodes
                .get(id)
                .into_iter()
                .flat_map(|node| &node.deps)
                .filter(normal);
            todo.extend(dependencies.map(|dependency| dependency.pkg.as_str()));
        }
    }
    let mut packages: Vec<CargoPackage> = metadata
        .packages
        .iter()
        .filter(|package| found.contains(package.id.as_str()))
        .cloned()
        .collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_several_images_is_listed_once() {
        let part = |id: &str| json!({ "SPDXID": id });
        let mut contents = Contents::default();
        contents.add("system", "coracle", "v1", vec![part("a"), part("b")]);
        contents.add("optional", "coracle/x", "v1", vec![part("b"), part("c")]);
        let ids: Vec<_> = contents
            .entries
            .iter()
            .map(|entry| &entry["SPDXID"])
            .collect();
        assert_eq!(ids, ["system", "a", "b", "optional", "c"]);
        let expected = [
            (DOCUMENT, "DESCRIBES", "system"),
            ("system", "CONTAINS", "a"),
            ("system", "CONTAINS", "b"),
            (DOCUMENT, "DESCRIBES", "optional"),
            ("optional", "CONTAINS", "b"),
            ("optional", "CONTAINS", "c"),
        ];
        assert_eq!(
            contents.relations,
            expected.map(|(from, kind, to)| relation(from, kind, to))
        );
    }

    #[test]
    fn only_what_is_linked_is_listed() {
        let package = |name: &str, source: Value| json!({ "id": name, "name": name, "version": "1", "license": "MIT/Apache-2.0", "source": source });
        let needs =
            |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("coracle", Value::Null),
                package("used", json!("registry")),
                package("tool", json!("registry")),
                package("stranger", json!("registry")),
            ],
            "resolve": { "nodes": [
                { "id": "coracle", "deps": [needs("used", Value::Null), needs("tool", json!("build"))] },
                { "id": "used", "deps": [] },
                { "id": "tool", "deps": [needs("stranger", Value::Null)] },
                { "id": "stranger", "deps": [] },
            ] },
        });
        let metadata: Metadata = serde_json::from_value(metadata).expect("as cargo writes it");
        let found = linked(&metadata).expect("coracle is there");
        assert_eq!(
            found
                .iter()
                .map(|package| package.name.as_str())
                .collect::<Vec<_>>(),
            ["coracle", "used"]
        );
        assert_eq!(rust(&found[1])["licenseDeclared"], "MIT OR Apache-2.0");
    }
}
