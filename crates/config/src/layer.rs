//! A source of configuration before it is merged, checked on its own so that one bad key costs only itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::merge::merge;
use crate::{Config, Problem, cmdline, tree, yaml};

/// Keys that only the kernel command line may give (B3-028, B3-029).
const COMMAND_LINE_ONLY: [&str; 2] = ["rancher.password", "rancher.autologin"];

/// One source: a tree whose keys have the types that [`Config`] wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The file's name, or [`cmdline::SOURCE`].
    pub source: String,
    /// Its keys.
    pub tree: Value,
}

impl Layer {
    /// Parses a file. What is not YAML gives an empty layer; keys of the wrong type are left out. Both are reported.
    #[must_use]
    pub fn from_yaml(source: &str, text: &str) -> (Self, Vec<Problem>) {
        let (mut layer, lines) = match yaml::parse(source, text) {
            Ok(located) => (
                Self {
                    source: source.into(),
                    tree: located.tree,
                },
                located.lines,
            ),
            Err(problem) => return (Self::empty(source), vec![problem]),
        };
        let mut problems = Vec::new();
        if !layer.tree.is_object() {
            let kind = if layer.tree.is_array() {
                "a list"
            } else {
                "text"
            };
            problems.push(layer.problem(
                None,
                &lines,
                format!(
                    "is {kind}, not a map of keys; cloud-config keys look like \"hostname: name\""
                ),
            ));
            layer.tree = Value::Object(Map::new());
        }
        for key in COMMAND_LINE_ONLY {
            if tree::remove(&mut layer.tree, key).is_some() {
                problems.push(layer.problem(
                    Some(key),
                    &lines,
                    "is read from the kernel command line only".into(),
                ));
            }
        }
        layer.flatten_sysctl();
        problems.extend(layer.leave_out_wrong_types(&lines));
        (layer, problems)
    }

    /// Parses the kernel command line.
    #[must_use]
    pub fn from_cmdline(line: &str) -> (Self, Vec<Problem>) {
        let (tree, mut problems) = cmdline::parse(line);
        let mut layer = Self {
            source: cmdline::SOURCE.into(),
            tree,
        };
        problems.extend(layer.leave_out_wrong_types(&BTreeMap::new()));
        (layer, problems)
    }

    fn empty(source: &str) -> Self {
        Self {
            source: source.into(),
            tree: Value::Object(Map::new()),
        }
    }

    /// Removes every key that the typed view cannot take. Each round removes the first that serde stumbles over.
    fn leave_out_wrong_types(&mut self, lines: &BTreeMap<String, u64>) -> Vec<Problem> {
        let mut problems = Vec::new();
        while let Err(error) = serde_path_to_error::deserialize::<_, Config>(&self.tree) {
            let steps = steps_of(error.path());
            let key = dotted(&steps);
            problems.push(self.problem(Some(&key), lines, error.inner().to_string()));
            if !remove_at(&mut self.tree, &steps) {
                // Cannot be left out on its own: give up the layer rather than loop.
                self.tree = Value::Object(Map::new());
            }
        }
        problems
    }

    /// Upstream's nested spelling `sysctl: {vm: {swappiness: 0}}` becomes the dotted one, so that layers merge.
    fn flatten_sysctl(&mut self) {
        let Some(Value::Object(nested)) = tree::get(&self.tree, "rancher.sysctl") else {
            return;
        };
        let mut flat = Map::new();
        flatten_into(&mut flat, "", nested);
        tree::set(&mut self.tree, "rancher.sysctl", Value::Object(flat));
    }

    fn problem(&self, key: Option<&str>, lines: &BTreeMap<String, u64>, text: String) -> Problem {
        let line = key.and_then(|key| lines.get(key)).copied();
        Problem {
            file: self.source.clone(),
            line,
            key: key.map(str::to_owned),
            text,
        }
    }
}

fn flatten_into(flat: &mut Map<String, Value>, prefix: &str, nested: &Map<String, Value>) {
    for (key, value) in nested {
        let key = tree::join(prefix, key);
        match value {
            Value::Object(deeper) => flatten_into(flat, &key, deeper),
            value => {
                flat.insert(key, value.clone());
            }
        }
    }
}

enum Step {
    Key(String),
    Index(usize),
}

fn steps_of(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn dotted(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) => tree::join(&path, key),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

fn remove_at(tree: &mut Value, steps: &[Step]) -> bool {
    let Some((last, parents)) = steps.split_last() else {
        return false;
    };
    let parent = parents.iter().try_fold(tree, |node, step| match step {
        Step::Key(key) => node.get_mut(key),
        Step::Index(index) => node.get_mut(index),
    });
    match (parent, last) {
        (Some(Value::Object(map)), Step::Key(key)) => map.shift_remove(key).is_some(),
        (Some(Value::Array(list)), Step::Index(index)) if *index < list.len() => {
            list.remove(*index);
            true
        }
        _ => false,
    }
}

/// Merges layers, lowest first. `rancher.disable` adds up instead of replacing, so that no layer, the command line least of
/// all, can take back what another forbids; `rancher.debug` turns on debugging of both Dockers and the log (B1-007).
#[must_use]
pub fn combine(layers: Vec<Layer>) -> Value {
    let mut merged = Value::Object(Map::new());
    let mut disabled: Vec<Value> = Vec::new();
    for layer in layers {
        match tree::get(&layer.tree, "rancher.disable") {
            Some(Value::Array(features)) => {
                disabled.extend(features.iter().filter(|f| !f.is_null()).cloned())
            }
            Some(feature @ Value::String(_)) => disabled.push(feature.clone()),
            _ => {}
        }
        merge(&mut merged, layer.tree);
    }
    let mut features: Vec<Value> = Vec::new();
    for feature in disabled {
        if !features.contains(&feature) {
            features.push(feature);
        }
    }
    if !features.is_empty() {
        tree::set(&mut merged, "rancher.disable", Value::Array(features));
    }
    let debug = tree::get(&merged, "rancher.debug")
        .is_some_and(|value| crate::lenient::boolean(value).unwrap_or(false));
    if debug {
        for key in [
            "rancher.docker.debug",
            "rancher.system_docker.debug",
            "rancher.log",
        ] {
            tree::set(&mut merged, key, Value::Bool(true));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_of_the_wrong_type_are_left_out_one_by_one() {
        let text = "hostname: good\nssh_authorized_keys:\n- ssh-rsa A\nrancher:\n  debug: perhaps\n  state:\n    wait: [1]\n    dev: /dev/vda\n  \
                    shutdown_timeout: soon\n  services: text\nmounts:\n- [a, b, c, d]\n- text\n";
        let (layer, problems) = Layer::from_yaml("boot.yml", text);
        assert_eq!(
            layer.tree,
            json!({
                "hostname": "good", "ssh_authorized_keys": ["ssh-rsa A"],
                "rancher": {"state": {"dev": "/dev/vda"}}, "mounts": [["a", "b", "c", "d"]],
            })
        );
        assert_eq!(
            texts(&problems),
            [
                "boot.yml:5: rancher.debug: \"perhaps\" is not a boolean, write true or false",
                "boot.yml:7: rancher.state.wait: [1] is not a boolean, write true or false",
                "boot.yml:9: rancher.shutdown_timeout: \"soon\" is not a whole number of 0 or more",
                "boot.yml:10: rancher.services: invalid type: string \"text\", expected a map",
                "boot.yml:13: mounts[1]: invalid type: string \"text\", expected a sequence",
            ]
        );
    }

    #[test]
    fn what_is_no_map_is_reported() {
        for (text, want) in [
            (
                "just text",
                "f: is text, not a map of keys; cloud-config keys look like \"hostname: name\"",
            ),
            (
                "- a\n- b\n",
                "f: is a list, not a map of keys; cloud-config keys look like \"hostname: name\"",
            ),
        ] {
            let (layer, problems) = Layer::from_yaml("f", text);
            assert_eq!(
                (layer.tree, texts(&problems)),
                (json!({}), vec![want.to_owned()])
            );
        }
    }

    #[test]
    fn password_in_a_file_is_refused() {
        let (layer, problems) = Layer::from_yaml("f", "rancher:\n  password: x\n");
        assert_eq!(layer.tree, json!({"rancher": {}}));
        assert_eq!(
            texts(&problems),
            ["f:2: rancher.password: is read from the kernel command line only"]
        );
    }

    #[test]
    fn nested_sysctl_is_the_same_as_dotted() {
        let (lower, _) = Layer::from_yaml(
            "a",
            "rancher: {sysctl: {vm.swappiness: 0, net: {ipv4: {ip_forward: 1}}}}",
        );
        let (upper, _) = Layer::from_yaml("b", "rancher: {sysctl: {vm: {swappiness: 10}}}");
        let merged = combine(vec![lower, upper]);
        assert_eq!(
            merged,
            json!({"rancher": {"sysctl": {"vm.swappiness": 10, "net.ipv4.ip_forward": 1}}})
        );
    }

    #[test]
    fn the_command_line_cannot_take_back_what_a_file_forbids() {
        let (file, _) = Layer::from_yaml("a", "rancher: {disable: [password]}");
        let (line, _) = Layer::from_cmdline("rancher.disable=[autologin] rancher.password=x");
        let merged = combine(vec![file, line]);
        assert_eq!(
            merged,
            json!({"rancher": {"disable": ["password", "autologin"], "password": "x"}})
        );
    }

    #[test]
    fn debug_reaches_both_dockers() {
        let (line, problems) = Layer::from_cmdline("rancher.debug rancher.state.wait=perhaps");
        assert_eq!(
            combine(vec![line]),
            json!({"rancher": {"debug": true, "state": {}, "docker": {"debug": true}, "system_docker": {"debug": true}, "log": true}})
        );
        assert_eq!(
            texts(&problems),
            [
                "kernel command line: rancher.state.wait: \"perhaps\" is not a boolean, write true or false"
            ]
        );
    }
}
