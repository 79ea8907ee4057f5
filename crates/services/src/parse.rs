//! From a tree of values to a [`Service`]: one row of [`KEYS`] per compose key.

use serde_json::Value;

use crate::labels;
use crate::lenient::{self, Read};
use crate::problem::Problem;
use crate::service::{Device, Restart, Service, Ulimit, Variable};
use crate::{Environment, ports};

type Setter = fn(&mut Service, &Value) -> Read<()>;

/// Every key of a service definition and how its value is taken (inventory B.8; `tmpfs`, `shm_size` and `stop_signal` are compose
/// v1 keys that upstream's fork lacked).
const KEYS: &[(&str, Setter)] = &[
    ("image", |s, v| set(&mut s.image, lenient::text(v))),
    ("container_name", |s, v| {
        set(&mut s.container_name, lenient::text(v))
    }),
    ("command", |s, v| set(&mut s.command, lenient::words(v))),
    ("entrypoint", |s, v| {
        set(&mut s.entrypoint, lenient::words(v))
    }),
    ("environment", |s, v| set(&mut s.environment, variables(v))),
    ("env_file", |s, v| set(&mut s.env_file, lenient::list(v))),
    ("labels", |s, v| {
        let pairs = lenient::pairs(v)?;
        s.labels = pairs
            .into_iter()
            .map(|(k, v)| (k, v.unwrap_or_default()))
            .collect();
        Ok(())
    }),
    ("hostname", |s, v| some(&mut s.hostname, lenient::text(v))),
    ("domainname", |s, v| {
        some(&mut s.domainname, lenient::text(v))
    }),
    ("user", |s, v| some(&mut s.user, lenient::text(v))),
    ("working_dir", |s, v| {
        some(&mut s.working_dir, lenient::text(v))
    }),
    ("tty", |s, v| set(&mut s.tty, lenient::flag(v))),
    ("stdin_open", |s, v| {
        set(&mut s.stdin_open, lenient::flag(v))
    }),
    ("read_only", |s, v| set(&mut s.read_only, lenient::flag(v))),
    ("stop_signal", |s, v| {
        some(&mut s.stop_signal, lenient::text(v))
    }),
    ("net", |s, v| some(&mut s.net, lenient::text(v))),
    ("pid", |s, v| some(&mut s.pid, lenient::text(v))),
    ("ipc", |s, v| some(&mut s.ipc, lenient::text(v))),
    ("uts", |s, v| some(&mut s.uts, lenient::text(v))),
    ("cgroup", |s, v| set(&mut s.host_cgroup, host_cgroup(v))),
    ("dns", |s, v| set(&mut s.dns, lenient::list(v))),
    ("dns_search", |s, v| {
        set(&mut s.dns_search, lenient::list(v))
    }),
    ("extra_hosts", |s, v| set(&mut s.extra_hosts, hosts(v))),
    ("links", |s, v| set(&mut s.links, lenient::list(v))),
    ("external_links", |s, v| {
        set(&mut s.external_links, lenient::list(v))
    }),
    ("expose", |s, v| set(&mut s.expose, lenient::list(v))),
    ("ports", |s, v| {
        let parsed: Result<Vec<_>, _> = lenient::list(v)?.iter().map(|p| ports::parse(p)).collect();
        set(&mut s.ports, parsed.map(|lists| lists.concat()))
    }),
    ("mac_address", |s, v| {
        some(&mut s.mac_address, lenient::text(v))
    }),
    ("privileged", |s, v| {
        set(&mut s.privileged, lenient::flag(v))
    }),
    ("cap_add", |s, v| set(&mut s.cap_add, lenient::list(v))),
    ("cap_drop", |s, v| set(&mut s.cap_drop, lenient::list(v))),
    ("devices", |s, v| set(&mut s.devices, devices(v))),
    ("security_opt", |s, v| {
        set(&mut s.security_opt, lenient::list(v))
    }),
    ("cgroup_parent", |s, v| {
        some(&mut s.cgroup_parent, lenient::text(v))
    }),
    ("volumes", |s, v| set(&mut s.volumes, volumes(v))),
    ("volumes_from", |s, v| {
        set(&mut s.volumes_from, lenient::list(v))
    }),
    ("volume_driver", |s, v| {
        some(&mut s.volume_driver, lenient::text(v))
    }),
    ("tmpfs", |s, v| {
        let split = |entry: String| match entry.split_once(':') {
            Some((path, options)) => (path.to_string(), options.to_string()),
            None => (entry, String::new()),
        };
        s.tmpfs = lenient::list(v)?.into_iter().map(split).collect();
        Ok(())
    }),
    ("cpu_quota", |s, v| {
        some(&mut s.cpu_quota, lenient::integer(v))
    }),
    ("cpuset", |s, v| some(&mut s.cpuset, lenient::text(v))),
    ("cpu_shares", |s, v| {
        some(&mut s.cpu_shares, lenient::integer(v))
    }),
    ("mem_limit", |s, v| {
        some(&mut s.mem_limit, lenient::bytes(v))
    }),
    ("memswap_limit", |s, v| {
        some(&mut s.memswap_limit, lenient::bytes(v))
    }),
    ("shm_size", |s, v| some(&mut s.shm_size, lenient::bytes(v))),
    ("oom_score_adj", |s, v| {
        some(&mut s.oom_score_adj, lenient::integer(v))
    }),
    ("ulimits", |s, v| set(&mut s.ulimits, ulimits(v))),
    ("restart", |s, v| set(&mut s.restart, restart(v))),
    ("log_driver", |s, v| {
        some(&mut s.log_driver, lenient::text(v))
    }),
    ("log_opt", |s, v| {
        let pairs = lenient::pairs(v)?;
        s.log_opt = pairs
            .into_iter()
            .map(|(k, v)| (k, v.unwrap_or_default()))
            .collect();
        Ok(())
    }),
];

/// Keys of newer compose formats or of building, and what to do instead (B8-007, B8-008).
const REFUSED: &[(&str, &str)] = &[
    (
        "build",
        "images are not built on this machine; build elsewhere and name the result in 'image'",
    ),
    (
        "dockerfile",
        "images are not built on this machine; build elsewhere and name the result in 'image'",
    ),
    ("extends", "not supported; write the keys out"),
    (
        "depends_on",
        "not part of compose v1; use the label io.rancher.os.after",
    ),
    ("networks", "not part of compose v1; use net"),
    ("network_mode", "not part of compose v1; use net"),
    (
        "logging",
        "not part of compose v1; use log_driver and log_opt",
    ),
    ("deploy", "not part of compose v1"),
    ("secrets", "not part of compose v1"),
    ("healthcheck", "not part of compose v1"),
];

/// Reads one definition. Whatever cannot be used is left out and reported; `None` when nothing can be started from it.
pub(crate) fn service(
    name: &str,
    definition: &Value,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Option<Service> {
    let mut complain =
        |key: Option<&str>, text: String| problems.push(Problem::new(name, key, text));
    let Value::Object(map) = definition else {
        complain(None, "the definition is not a map of keys; ignored".into());
        return None;
    };
    let mut service = Service {
        name: name.into(),
        container_name: name.into(),
        ..Service::default()
    };
    for (key, value) in map {
        let value = &interpolated(value, &mut |text| {
            let mut unknown = Vec::new();
            let text = environment.interpolate(name, text, &mut unknown);
            for variable in unknown {
                complain(
                    Some(key),
                    format!(
                        "variable {variable} is not set in rancher.environment; taken as empty"
                    ),
                );
            }
            text
        });
        if let Some((_, setter)) = KEYS.iter().find(|(known, _)| known == key) {
            if value.is_null() {
                continue;
            }
            if let Err(why) = setter(&mut service, value) {
                complain(Some(key), format!("{why}; ignored"));
            }
        } else if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| refused == key) {
            complain(Some(key), format!("{why}; ignored"));
        } else {
            let hint = closest(key).map_or(String::new(), |k| format!(" (did you mean {k}?)"));
            complain(Some(key), format!("unknown key{hint}; ignored"));
        }
    }
    let (steering, wrong) = labels::read(&service.labels);
    service.steering = steering;
    for (label, why) in wrong {
        complain(Some(&format!("labels.{label}")), format!("{why}; ignored"));
    }
    if service.image.is_empty() {
        complain(
            Some("image"),
            "missing; the service cannot be started".into(),
        );
        return None;
    }
    Some(service)
}

fn host_cgroup(value: &Value) -> Read<bool> {
    match lenient::text(value)?.as_str() {
        "host" => Ok(true),
        "private" => Ok(false),
        other => Err(format!("expected host or private, found '{other}'")),
    }
}

fn set<T>(field: &mut T, value: Read<T>) -> Read<()> {
    *field = value?;
    Ok(())
}

fn some<T>(field: &mut Option<T>, value: Read<T>) -> Read<()> {
    *field = Some(value?);
    Ok(())
}

/// `value` with every text in it passed through `expand`.
fn interpolated(value: &Value, expand: &mut dyn FnMut(&str) -> String) -> Value {
    match value {
        Value::String(s) => Value::String(expand(s)),
        Value::Array(items) => items.iter().map(|v| interpolated(v, expand)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| (k.clone(), interpolated(v, expand)))
            .collect(),
        other => other.clone(),
    }
}

fn variables(value: &Value) -> Read<Vec<Variable>> {
    Ok(lenient::pairs(value)?
        .into_iter()
        .map(|(key, value)| match (value, key.strip_suffix('*')) {
            (Some(value), _) => Variable::Set(key, value),
            (None, Some(prefix)) => Variable::Prefix(prefix.into()),
            (None, None) => Variable::Lookup(key),
        })
        .collect())
}

/// `extra_hosts` as a list of `name:address` or a map.
fn hosts(value: &Value) -> Read<Vec<String>> {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, address)| lenient::text(address).map(|a| format!("{name}:{a}")))
            .collect(),
        value => lenient::list(value),
    }
}

fn devices(value: &Value) -> Read<Vec<Device>> {
    lenient::list(value)?
        .into_iter()
        .map(|entry| {
            let parts: Vec<&str> = entry.split(':').collect();
            let permissions_of = |text: &str| text.bytes().all(|b| b"rwm".contains(&b));
            let (host, container, permissions) = match parts[..] {
                [host] => (host, host, "rwm"),
                // "/dev/a:r" gives permissions, "/dev/a:/dev/b" a path (docker run --device).
                [host, last] if !last.starts_with('/') => (host, host, last),
                [host, container] => (host, container, "rwm"),
                [host, container, permissions] => (host, container, permissions),
                _ => ("", "", ""),
            };
            if host.starts_with('/') && !permissions.is_empty() && permissions_of(permissions) {
                Ok(Device {
                    host: host.into(),
                    container: container.into(),
                    permissions: permissions.into(),
                })
            } else {
                Err(format!(
                    "'{entry}' is not a device; write /dev/host[:/dev/container][:rwm]"
                ))
            }
        })
        .collect()
}

fn volumes(value: &Value) -> Read<Vec<String>> {
    let list = lenient::list(value)?;
    for entry in &list {
        let parts: Vec<&str> = entry.split(':').collect();
        let target = match parts[..] {
            [target] | [_, target] | [_, target, _] => target,
            _ => "",
        };
        if !target.starts_with('/') || parts[0].is_empty() {
            return Err(format!(
                "'{entry}' is not a volume; write /host/path:/container/path[:ro|shared|...]"
            ));
        }
    }
    Ok(list)
}

fn ulimits(value: &Value) -> Read<Vec<Ulimit>> {
    let Value::Object(map) = value else {
        return Err("expected a map such as nofile: 1024".into());
    };
    map.iter()
        .map(|(name, limit)| {
            let (soft, hard) = match limit {
                Value::Object(both) => {
                    let of = |key: &str| {
                        both.get(key)
                            .ok_or_else(|| format!("{name}: '{key}' is missing"))
                            .and_then(lenient::integer)
                    };
                    (of("soft")?, of("hard")?)
                }
                single => {
                    let limit = lenient::integer(single).map_err(|why| format!("{name}: {why}"))?;
                    (limit, limit)
                }
            };
            Ok(Ulimit {
                name: name.clone(),
                soft,
                hard,
            })
        })
        .collect()
}

fn restart(value: &Value) -> Read<Restart> {
    // YAML 1.1 readers make a boolean of a bare `no`.
    let word = match value {
        Value::Bool(false) => "no".into(),
        value => lenient::text(value)?,
    };
    match word.split_once(':').unwrap_or((&word, "")) {
        ("no" | "", "") => Ok(Restart::No),
        ("always", "") => Ok(Restart::Always),
        ("unless-stopped", "") => Ok(Restart::UnlessStopped),
        ("on-failure", "") => Ok(Restart::OnFailure(None)),
        ("on-failure", count) if count.parse::<u32>().is_ok() => {
            Ok(Restart::OnFailure(count.parse().ok()))
        }
        _ => Err(format!(
            "'{word}' is not one of no, always, unless-stopped, on-failure[:N]"
        )),
    }
}

/// The known key that is one edit away from `key`, for messages.
fn closest(key: &str) -> Option<&'static str> {
    let near = |known: &str| {
        let (a, b) = (known.as_bytes(), key.as_bytes());
        let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        let (a, b) = (&a[start..], &b[start..]);
        let end = a
            .iter()
            .rev()
            .zip(b.iter().rev())
            .take_while(|(x, y)| x == y)
            .count();
        a.len().max(b.len()) - end <= 1
    };
    KEYS.iter()
        .map(|(known, _)| *known)
        .find(|known| near(known))
}

#[cfg(test)]
mod tests;
