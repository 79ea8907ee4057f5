//! The containers of the services as a table (E1-025).

use bollard::models::{ContainerSummary, PortSummary};

use crate::Error;
use crate::engine::Kind;
use crate::engines::Engines;
use crate::labels::{SERVICE, Scope};

/// One container of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The service it belongs to.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Command line.
    pub command: String,
    /// Docker's words: `Up 5 minutes`, `Exited (0) 2 hours ago`, `Created`.
    pub state: String,
    /// Published and exposed ports in Docker's notation.
    pub ports: String,
}

/// The containers of all services by name: System Docker's, and User Docker's when it runs.
///
/// # Errors
/// When an engine fails.
pub async fn ps(engines: &Engines) -> Result<Vec<Row>, Error> {
    let mut containers = engines
        .get(Kind::System)
        .await?
        .service_containers()
        .await?;
    if let Some(user) = engines.if_running(Scope::User).await? {
        containers.extend(user.service_containers().await?);
    }
    let mut rows: Vec<Row> = containers.into_iter().map(row).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

fn row(container: ContainerSummary) -> Row {
    let labels = container.labels.unwrap_or_default();
    let names = container.names.unwrap_or_default();
    Row {
        id: container.id.unwrap_or_default(),
        service: labels.get(SERVICE).cloned().unwrap_or_default(),
        name: names
            .first()
            .map(|n| n.trim_start_matches('/').to_string())
            .unwrap_or_default(),
        command: container.command.unwrap_or_default(),
        state: container.status.unwrap_or_default(),
        ports: ports(container.ports.unwrap_or_default()),
    }
}

/// `0.0.0.0:8080->80/tcp, 53/udp`, sorted.
fn ports(list: Vec<PortSummary>) -> String {
    let mut texts: Vec<String> = list
        .iter()
        .map(|port| {
            let protocol = port.typ.map_or(String::new(), |t| format!("/{t}"));
            match port.public_port {
                Some(public) => format!(
                    "{}:{public}->{}{protocol}",
                    port.ip.as_deref().unwrap_or("0.0.0.0"),
                    port.private_port
                ),
                None => format!("{}{protocol}", port.private_port),
            }
        })
        .collect();
    texts.sort();
    texts.dedup();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn summary_becomes_a_row() {
        let summary = json!({
            "Id": "abc",
            "Names": ["/web"],
            "Command": "httpd -f",
            "Status": "Up 5 minutes",
            "Labels": {"io.docker.compose.service": "www"},
            "Ports": [
                {"PrivatePort": 53, "Type": "udp"},
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            ],
        });
        let want = Row {
            id: "abc".into(),
            service: "www".into(),
            name: "web".into(),
            command: "httpd -f".into(),
            state: "Up 5 minutes".into(),
            ports: "0.0.0.0:8080->80/tcp, 53/udp".into(),
        };
        assert_eq!(row(serde_json::from_value(summary).unwrap()), want);
    }
}
