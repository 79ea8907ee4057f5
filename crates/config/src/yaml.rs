//! YAML to trees and back.
//!
//! The dialect is chosen for what cloud-configs contain: plain `0644` stays the text `0644` (a file mode, not 644), `1_000`
//! stays text, and `yes`, `no`, `on`, `off` stay text too, so that a host may be called `on`; keys that want a boolean accept
//! them ([`crate::lenient`]).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Options, Spanned};

use crate::Problem;

/// A tree and the line on which each of its values starts, by dotted path.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// The value.
    pub tree: Value,
    /// Line (from 1) of each mapping value, by the path that [`crate::tree::join`] makes.
    pub lines: BTreeMap<String, u64>,
}

/// Parses one YAML document. Empty input is an empty map.
///
/// # Errors
/// A [`Problem`] with the line, in `file`'s name, when the text is not YAML.
pub fn parse(file: &str, text: &str) -> Result<Located, Problem> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(Located {
            tree: Value::Object(Map::new()),
            lines: BTreeMap::new(),
        });
    }
    let root: Spanned<Node> =
        serde_saphyr::from_str_with_options(text, options()).map_err(|e| Problem {
            file: file.to_owned(),
            line: e.location().map(|l| l.line()).filter(|line| *line > 0),
            key: None,
            text: format!("not YAML: {}", one_line(&e.without_snippet().to_string())),
        })?;
    let mut lines = BTreeMap::new();
    let tree = flatten(root, "", &mut lines);
    Ok(Located { tree, lines })
}

/// Parses a single YAML value such as `[a, b]`, `true` or `text`; what is not YAML is text.
#[must_use]
pub fn parse_value(text: &str) -> Value {
    serde_saphyr::from_str_with_options(text, options())
        .unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Writes a tree as YAML that [`parse`] reads back unchanged. Long strings are not folded.
///
/// # Errors
/// When a map in the tree cannot be written (this does not happen with trees that [`parse`] made).
pub fn emit(tree: &Value) -> Result<String, Problem> {
    let options =
        serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX, min_fold_chars: usize::MAX };
    serde_saphyr::to_string_with_options(tree, options).map_err(|e| Problem {
        file: "configuration".into(),
        line: None,
        key: None,
        text: format!("cannot be written as YAML: {e}"),
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        duplicate_keys: DuplicateKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        ignore_binary_tag_for_string: true,
        with_snippet: false,
    }
}

/// The parser's message without its line breaks, and without the position that [`Problem`] shows itself.
fn one_line(message: &str) -> String {
    let text = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn flatten(node: Spanned<Node>, path: &str, lines: &mut BTreeMap<String, u64>) -> Value {
    if !path.is_empty() {
        lines.insert(path.to_owned(), node.referenced.line());
    }
    match node.value {
        Node::Scalar(value) => value,
        Node::List(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(i, item)| flatten(item, &format!("{path}[{i}]"), lines))
                .collect(),
        ),
        Node::Map(entries) => Value::Object(
            entries
                .into_iter()
                .map(|(key, item)| {
                    let value = flatten(item, &crate::tree::join(path, &key), lines);
                    (key, value)
                })
                .collect(),
        ),
    }
}

/// A YAML node that remembers where its children are.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
        Ok(Node::Scalar(v.into()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
        Ok(Node::Scalar(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
        Ok(Node::Scalar(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Node, E> {
        Ok(Node::Scalar(v.into()))
    }

    fn visit_str<E>(self, v: &str) -> Result<Node, E> {
        Ok(Node::Scalar(v.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_what_a_cloud_config_means() {
        let cases = [
            ("a: 0644", json!({"a": "0644"})),
            ("a: 1_000", json!({"a": "1_000"})),
            ("a: yes", json!({"a": "yes"})),
            ("a: on", json!({"a": "on"})),
            ("a: true", json!({"a": true})),
            ("a: 5", json!({"a": 5})),
            ("a: -5", json!({"a": -5})),
            ("a: 1.5", json!({"a": 1.5})),
            ("a: .inf", json!({"a": ".inf"})),
            ("a: ~", json!({"a": null})),
            ("a:", json!({"a": null})),
            ("a: {b: [c, 1]}", json!({"a": {"b": ["c", 1]}})),
            ("1: x", json!({"1": "x"})),
            ("a: &x {b: 1}\nc: *x", json!({"a": {"b": 1}, "c": {"b": 1}})),
            ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
            ("# nothing\n", json!({})),
            ("", json!({})),
            ("#cloud-config\nhostname: a\r\n", json!({"hostname": "a"})),
        ];
        for (text, want) in cases {
            assert_eq!(parse("f", text).map(|l| l.tree), Ok(want), "{text}");
        }
    }

    #[test]
    fn every_value_knows_its_line() {
        let located = parse(
            "f",
            "#cloud-config\nhostname: a\nrancher:\n  debug: true\n  disable:\n  - password\n",
        )
        .unwrap();
        let lines: Vec<_> = located
            .lines
            .iter()
            .map(|(k, l)| (k.as_str(), *l))
            .collect();
        assert_eq!(
            lines,
            [
                ("hostname", 2),
                ("rancher", 4),
                ("rancher.debug", 4),
                ("rancher.disable", 6),
                ("rancher.disable[0]", 6)
            ]
        );
    }

    #[test]
    fn errors_name_the_line() {
        let cases = [
            ("a: [1\nb: 2\n", "f:2: not YAML:"),
            (
                "a: 1\n\tb: 2\n",
                "f:1: not YAML: while scanning a plain scalar, found a tab",
            ),
            ("a: 1\na: 2\n", "f:2: not YAML:"),
        ];
        for (text, want) in cases {
            let problem = parse("f", text).unwrap_err().to_string();
            assert!(
                problem.starts_with(want) && !problem.contains('\n'),
                "{problem}"
            );
        }
    }

    #[test]
    fn what_is_emitted_is_read_back_unchanged() {
        let key = format!("ssh-rsa {} a@b", "A".repeat(400));
        let tree = json!({
            "hostname": "on", "n": 5, "mode": "0644", "f": 1.5, "e": "", "none": null, "keys": [key, "x: y", "# no"],
            "multi": "a\nb\n", "trail": "a\nb", "tilde": "~", "nested": {"vm.swappiness": 0, "empty": {}, "list": []}, "num": "12",
            "colon": "a: b", "bool": "true", "date": "2024-01-01", "lead": "  x", "quote": "it's \"x\"",
        });
        assert_eq!(parse("f", &emit(&tree).unwrap()).unwrap().tree, tree);
    }
}
