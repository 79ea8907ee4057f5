//! All services of the machine as one compose project named `os`.

use std::collections::HashMap;

use serde_json::Value;

use crate::Environment;
use crate::parse;
use crate::problem::Problem;
use crate::service::{Service, Variable};

/// The services of the machine, and what is wrong with their definitions.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// In the order of the configuration; the built-in ones come first.
    pub services: Vec<Service>,
    /// The variables that the definitions may name.
    pub environment: Environment,
    /// Everything that was left out of the definitions.
    pub problems: Vec<Problem>,
}

impl Project {
    /// Reads a map of service definitions (`rancher.services`). A name without a definition is skipped.
    #[must_use]
    pub fn parse(definitions: &Value, environment: Environment) -> Self {
        let mut project = Self {
            environment,
            ..Self::default()
        };
        project.add(definitions);
        project
    }

    /// Adds definitions, for example those of a catalogue entry; a name that is already there is replaced.
    pub fn add(&mut self, definitions: &Value) {
        let map = match definitions {
            Value::Null => return,
            Value::Object(map) => map,
            _ => {
                let text = "the services are not a map of names to definitions; ignored";
                return self.problems.push(Problem::new("*", None, text));
            }
        };
        for (name, definition) in map.iter().filter(|(_, d)| !d.is_null()) {
            if !valid_name(name) {
                let text =
                    "not a name for a container; use letters, digits, '_', '.' and '-'; ignored";
                self.problems.push(Problem::new(name, None, text));
                continue;
            }
            let Some(service) =
                parse::service(name, definition, &self.environment, &mut self.problems)
            else {
                continue;
            };
            match self.services.iter_mut().find(|s| s.name == *name) {
                Some(old) => *old = service,
                None => self.services.push(service),
            }
        }
    }

    /// The service of that name, or whose container has that name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        let by_name = self.services.iter().find(|s| s.name == name);
        by_name.or_else(|| self.services.iter().find(|s| s.container_name == name))
    }

    /// The container's name for a name used in a definition; names from outside the project stay.
    #[must_use]
    pub fn container_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.service(name).map_or(name, |s| &s.container_name)
    }

    /// The container's variables, in the form `KEY=VALUE`: later ones win over earlier ones of the same name.
    #[must_use]
    pub fn variables(&self, service: &Service) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        let mut values: HashMap<String, String> = HashMap::new();
        let mut put = |key: String, value: String| {
            if values.insert(key.clone(), value).is_none() {
                order.push(key);
            }
        };
        for variable in &service.environment {
            match variable {
                Variable::Set(key, value) => put(key.clone(), value.clone()),
                Variable::Lookup(key) => {
                    if let Some(value) = self.environment.lookup(&service.name, key) {
                        put(key.clone(), value.into());
                    }
                }
                Variable::Prefix(prefix) => {
                    for (key, value) in self.environment.starting_with(&service.name, prefix) {
                        put(key, value);
                    }
                }
            }
        }
        order
            .into_iter()
            .map(|key| format!("{key}={}", values[&key]))
            .collect()
    }

    /// For a machine that shares no mounts (`rancher.no_sharedroot`, A9-020): the engine would refuse volumes that ask for it, and with
    /// them every service.
    pub fn keep_mounts_apart(&mut self) {
        for service in &mut self.services {
            for volume in &mut service.volumes {
                *volume = without_propagation(volume);
            }
        }
    }

    /// Replaces `env_file` entries by the variables in the files; what `environment` sets wins. `read` gives a file's text.
    pub fn read_env_files(&mut self, read: impl Fn(&str) -> std::io::Result<String>) {
        for service in &mut self.services {
            let mut variables = Vec::new();
            for file in std::mem::take(&mut service.env_file) {
                match read(&file) {
                    Ok(text) => variables.extend(env_file(&text)),
                    Err(why) => self.problems.push(Problem::new(
                        &service.name,
                        Some("env_file"),
                        format!("cannot read {file}: {why}; ignored"),
                    )),
                }
            }
            variables.append(&mut service.environment);
            service.environment = variables;
        }
    }
}

/// `SOURCE:DESTINATION[:MODE,…]` with the modes but those of propagation (B8-004).
fn without_propagation(volume: &str) -> String {
    let Some((paths, modes)) = volume
        .rsplit_once(':')
        .filter(|(paths, _)| paths.contains(':'))
    else {
        return volume.to_owned();
    };
    let kept: Vec<&str> = modes
        .split(',')
        .filter(|mode| !matches!(*mode, "shared" | "rshared" | "slave" | "rslave"))
        .collect();
    match kept.as_slice() {
        [] => paths.to_owned(),
        kept => format!("{paths}:{}", kept.join(",")),
    }
}

/// `KEY=VALUE` lines; empty lines and those that begin with `#` are skipped, `KEY` alone is looked up.
fn env_file(text: &str) -> impl Iterator<Item = Variable> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match line.split_once('=') {
            Some((key, value)) => Variable::Set(key.trim().into(), value.into()),
            None => Variable::Lookup(line.into()),
        })
}

/// Docker's rule for container names.
fn valid_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn senseless_definitions_are_reported_and_the_rest_is_kept() {
        let definitions = json!({
            "good": {"image": "a"},
            "off": null,
            "text": "b",
            "no image": {"image": "c"},
            "empty": {},
        });
        let project = Project::parse(&definitions, Environment::default());
        let names: Vec<_> = project.services.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["good"]);
        let problems: Vec<_> = project.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "service text: the definition is not a map of keys; ignored",
                "service no image: not a name for a container; use letters, digits, '_', '.' and '-'; ignored",
                "service empty: image: missing; the service cannot be started",
            ]
        );
    }

    #[test]
    fn variables_come_from_files_definitions_and_environment() {
        let environment = Environment::from_config(
            &json!({"environment": {"KEY": "looked up", "P_1": "x", "P_2": "y", "s/P_2": "own"}}),
            "6.12",
        );
        let definitions = json!({"s": {
            "image": "i",
            "env_file": "/etc/s.env",
            "environment": ["KEY", "ABSENT", "P_*", "FILE=definition", "EMPTY="],
        }});
        let mut project = Project::parse(&definitions, environment);
        project.read_env_files(|path| {
            assert_eq!(path, "/etc/s.env");
            Ok("# comment\nFILE=file\n\nOTHER=a=b\n".into())
        });
        assert_eq!(
            project.variables(&project.services[0]),
            [
                "FILE=definition",
                "OTHER=a=b",
                "KEY=looked up",
                "P_1=x",
                "P_2=own",
                "EMPTY="
            ]
        );
    }

    #[test]
    fn missing_env_file_is_reported() {
        let definitions = json!({"s": {"image": "i", "env_file": ["/none"]}});
        let mut project = Project::parse(&definitions, Environment::default());
        project.read_env_files(|_| Err(std::io::ErrorKind::NotFound.into()));
        assert_eq!(
            project.problems[0].to_string(),
            "service s: env_file: cannot read /none: entity not found; ignored"
        );
    }

    #[test]
    fn mounts_that_are_kept_apart_ask_for_no_propagation() {
        let definitions = json!({"s": {"image": "i", "volumes": [
            "/anonymous", "/a:/b", "/a:/b:ro", "/a:/b:shared", "/a:/b:ro,rslave", "/a:/b:rshared,z,ro", "/a:/shared",
        ]}});
        let mut project = Project::parse(&definitions, Environment::default());
        project.keep_mounts_apart();
        assert_eq!(
            project.services[0].volumes,
            [
                "/anonymous",
                "/a:/b",
                "/a:/b:ro",
                "/a:/b",
                "/a:/b:ro",
                "/a:/b:z,ro",
                "/a:/shared"
            ]
        );
    }

    #[test]
    fn containers_are_found_by_either_name() {
        let definitions = json!({"web": {"image": "i", "container_name": "my-web"}});
        let project = Project::parse(&definitions, Environment::default());
        assert_eq!(project.container_name("web"), "my-web");
        assert_eq!(
            project.service("my-web").map(|s| s.name.as_str()),
            Some("web")
        );
        assert_eq!(project.container_name("elsewhere"), "elsewhere");
    }
}
