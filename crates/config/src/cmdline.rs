//! The kernel command line as a layer of configuration (inventory A9-001 to A9-003).
//!
//! `rancher.KEY=VALUE` and `cc.KEY=VALUE` set keys; the value is YAML; no value means `true`. Quotes keep spaces together, and so
//! do the brackets of a list. The kernel's `--` separator has no meaning here: without upstream's kernel patch what follows
//! it is as public as the rest of `/proc/cmdline`.

use serde_json::{Map, Value};

use crate::{Problem, tree, yaml};

/// The name of this layer in [`Problem`]s.
pub const SOURCE: &str = "kernel command line";

/// Keys that are text whatever they look like: a password of `0123` or `1e3` is not a number.
const TEXT_KEYS: [&str; 3] = ["rancher.password", "hostname", "rancher.console"];

/// Keys that may be given several times, each adding to a list (A9-005).
const REPEATED_KEYS: [&str; 1] = ["rancher.autologin"];

/// Parses a kernel command line into a tree; what is not ours is left alone.
#[must_use]
pub fn parse(line: &str) -> (Value, Vec<Problem>) {
    let mut result = Value::Object(Map::new());
    let mut problems = Vec::new();
    for argument in split(line) {
        let (key, value) = match argument.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (argument.as_str(), None),
        };
        let Some(key) = config_key(key) else { continue };
        if tree::split(&key).iter().any(|step| step.is_empty()) {
            problems.push(problem(&key, "a dotted key has an empty part".into()));
            continue;
        }
        let value = value.map_or(Value::Bool(true), |text| typed(&key, text));
        if let Some(conflict) = scalar_on_the_way(&result, &key) {
            problems.push(problem(
                &key,
                format!("conflicts with the value given to {conflict}"),
            ));
        } else if REPEATED_KEYS.contains(&key.as_str()) {
            append(&mut result, &key, value);
        } else {
            tree::set(&mut result, &key, value);
        }
    }
    (result, problems)
}

/// Splits a command line into arguments: at spaces and tabs that are not within quotes, nor, for our own arguments, within
/// brackets. A quote that begins an argument encloses the whole of it (`"rancher.key=a b"`) and is taken off.
///
/// A newline is part of a value, except at the end of the line, where `/proc/cmdline` has one.
#[must_use]
pub fn split(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut rest = line.trim_end_matches(['\n', '\0', ' ', '\t']);
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return arguments;
        }
        let (argument, length) = next(rest);
        arguments.push(argument);
        rest = &rest[length..];
    }
}

/// The first argument of `rest` and the bytes that it takes.
fn next(rest: &str) -> (String, usize) {
    if let Some(inner) = rest.strip_prefix('"')
        && let Some(end) = inner.find('"')
        && inner[end + 1..]
            .chars()
            .next()
            .is_none_or(|c| c == ' ' || c == '\t')
    {
        return (inner[..end].to_owned(), end + 2);
    }
    // An unclosed bracket or quote must not swallow the rest of the line: then only what is left counts.
    let ours = config_key(rest).is_some();
    for (brackets, quotes) in [(ours, true), (false, true), (false, false)] {
        if let Some(end) = end_of_argument(rest, brackets, quotes) {
            return (rest[..end].to_owned(), end);
        }
    }
    (rest.to_owned(), rest.len())
}

fn end_of_argument(rest: &str, brackets: bool, quotes: bool) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if quotes => quote = Some(c),
            (None, '[' | '{') if brackets => depth += 1,
            (None, ']' | '}') if brackets => depth = depth.saturating_sub(1),
            (None, ' ' | '\t') if depth == 0 => return Some(at),
            _ => {}
        }
    }
    (quote.is_none() && depth == 0).then_some(rest.len())
}

/// The configuration key of an argument: without `cc.`, with `rancher.`.
fn config_key(argument: &str) -> Option<String> {
    argument
        .strip_prefix("cc.")
        .or_else(|| argument.starts_with("rancher.").then_some(argument))
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
}

/// The value of one argument: YAML, except that a number which would not be written the same way again is text.
fn typed(key: &str, text: &str) -> Value {
    if TEXT_KEYS.contains(&key) || REPEATED_KEYS.contains(&key) {
        return Value::String(unquoted(text));
    }
    if text.is_empty() {
        return Value::String(String::new());
    }
    if text.contains('\n') && !text.contains(['"', '\'']) {
        return Value::String(text.to_owned());
    }
    match yaml::parse_value(&protect_line_breaks(text)) {
        // `a: b` in one argument is text, not a map: maps are written {a: b} or as dotted keys.
        Value::Object(_) if !text.trim_start().starts_with('{') => Value::String(text.to_owned()),
        Value::Number(number) if number.to_string() != text => Value::String(text.to_owned()),
        Value::String(_) if is_quoted(text) => Value::String(unquoted(text)),
        Value::String(plain) => Value::String(plain.replace("\\\"", "\"").replace("\\'", "'")),
        value => value,
    }
}

/// YAML folds a line break within quotes into a space; a kernel argument means it. (Only `"` knows the escape.)
fn protect_line_breaks(text: &str) -> String {
    text.replace('\n', "\\n")
}

fn is_quoted(text: &str) -> bool {
    text.len() >= 2
        && (text.starts_with('"') && text.ends_with('"')
            || text.starts_with('\'') && text.ends_with('\''))
}

fn unquoted(text: &str) -> String {
    let inner = if is_quoted(text) {
        &text[1..text.len() - 1]
    } else {
        text
    };
    inner.replace("\\\"", "\"").replace("\\'", "'")
}

/// The first part of `key` that already holds something that is no map.
fn scalar_on_the_way(result: &Value, key: &str) -> Option<String> {
    let steps = tree::split(key);
    let mut node = result;
    let mut path = String::new();
    for step in &steps[..steps.len() - 1] {
        node = node.get(step)?;
        path = tree::join(&path, step);
        if !node.is_object() {
            return Some(path);
        }
    }
    None
}

fn append(result: &mut Value, key: &str, value: Value) {
    let mut list = match tree::get(result, key) {
        Some(Value::Array(list)) => list.clone(),
        _ => Vec::new(),
    };
    list.push(value);
    tree::set(result, key, Value::Array(list));
}

fn problem(key: &str, text: String) -> Problem {
    Problem {
        file: SOURCE.into(),
        line: None,
        key: Some(key.to_owned()),
        text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // I3-001 (TestCmdlineParse, TestUnmarshalOrReturnString), A9-001, A9-002.
    #[test]
    fn arguments_become_a_tree() {
        let cases = [
            (
                "a b rancher.key1=value1 c rancher.key2=value2",
                json!({"rancher": {"key1": "value1", "key2": "value2"}}),
            ),
            ("rancher.key=a,b", json!({"rancher": {"key": "a,b"}})),
            ("rancher.key=a\nb", json!({"rancher": {"key": "a\nb"}})),
            ("rancher.key='a b'", json!({"rancher": {"key": "a b"}})),
            ("rancher.key=\"a b\"", json!({"rancher": {"key": "a b"}})),
            ("\"rancher.key=a b\" x", json!({"rancher": {"key": "a b"}})),
            ("rancher.key=a:b", json!({"rancher": {"key": "a:b"}})),
            ("rancher.key='a: b'", json!({"rancher": {"key": "a: b"}})),
            ("rancher.key=5", json!({"rancher": {"key": 5}})),
            ("rancher.key=-5", json!({"rancher": {"key": -5}})),
            ("rancher.key=1e3", json!({"rancher": {"key": "1e3"}})),
            ("rancher.key=0x10", json!({"rancher": {"key": "0x10"}})),
            ("rancher.key=", json!({"rancher": {"key": ""}})),
            (
                "rancher.key=a\\\"b\\'c",
                json!({"rancher": {"key": "a\"b'c"}}),
            ),
            ("rancher.rescue", json!({"rancher": {"rescue": true}})),
            (
                "rancher.rescue=false",
                json!({"rancher": {"rescue": false}}),
            ),
            (
                "rancher.keyArray=[1,2]",
                json!({"rancher": {"keyArray": [1, 2]}}),
            ),
            ("rancher.a=[a,10]", json!({"rancher": {"a": ["a", 10]}})),
            (
                "rancher.a=[false,a]",
                json!({"rancher": {"a": [false, "a"]}}),
            ),
            (
                "rancher.a=[\"a,\",b]",
                json!({"rancher": {"a": ["a,", "b"]}}),
            ),
            (
                "rancher.a=[\" a, \",\" ,b \"]",
                json!({"rancher": {"a": [" a, ", " ,b "]}}),
            ),
            (
                "rancher.a=[\"a\n\",b]",
                json!({"rancher": {"a": ["a\n", "b"]}}),
            ),
            (
                "rancher.strArray=[\"url:http://192.168.1.100/cloud-config?a=b\"]",
                json!({"rancher": {"strArray": ["url:http://192.168.1.100/cloud-config?a=b"]}}),
            ),
            (
                "rancher.strArray=[url:http://192.168.1.100/cloud-config?a=b]",
                json!({"rancher": {"strArray": ["url:http://192.168.1.100/cloud-config?a=b"]}}),
            ),
            (
                "rancher.strArray=['part1 part2',part3]",
                json!({"rancher": {"strArray": ["part1 part2", "part3"]}}),
            ),
            (
                "rancher.strArray=[\"part1 part2\",part3]",
                json!({"rancher": {"strArray": ["part1 part2", "part3"]}}),
            ),
            (
                "rancher.strArray=[ \"part1 part2\", part3 ] x",
                json!({"rancher": {"strArray": ["part1 part2", "part3"]}}),
            ),
            (
                "rancher.state.dev=LABEL=RANCHER_STATE",
                json!({"rancher": {"state": {"dev": "LABEL=RANCHER_STATE"}}}),
            ),
            (
                "rancher.state.autoformat=[/dev/sda,/dev/vda] rancher.state.wait",
                json!({"rancher": {"state": {"autoformat": ["/dev/sda", "/dev/vda"], "wait": true}}}),
            ),
            (
                "cc.hostname=007 cc.ssh_authorized_keys=[\"ssh-rsa AAAA me@host\"] quiet -- rancher.debug\n",
                json!({"hostname": "007", "ssh_authorized_keys": ["ssh-rsa AAAA me@host"], "rancher": {"debug": true}}),
            ),
            (
                "cc.runcmd=[[touch, '/a b'], \"echo hi\"]",
                json!({"runcmd": [["touch", "/a b"], "echo hi"]}),
            ),
            (
                "rancher.autologin=tty1 rancher.autologin=ttyS0",
                json!({"rancher": {"autologin": ["tty1", "ttyS0"]}}),
            ),
            (
                "rancher.password=0123",
                json!({"rancher": {"password": "0123"}}),
            ),
            (
                "rancher.password='a b'",
                json!({"rancher": {"password": "a b"}}),
            ),
            (
                "rancher.sysctl.vm.swappiness=10 rancher.services_include.amazon-ecs-agent",
                json!({"rancher": {"sysctl": {"vm.swappiness": 10}, "services_include": {"amazon-ecs-agent": true}}}),
            ),
            (
                "rancher.network.interfaces.eth0.dhcp=false rancher.network.dns.nameservers=[1.1.1.1,::1]",
                json!({"rancher": {"network": {"interfaces": {"eth0": {"dhcp": false}}, "dns": {"nameservers": ["1.1.1.1", "::1"]}}}}),
            ),
            (
                "rancherx.a=1 ccx=2 dyndbg=\"file [a\" rancher.b=2",
                json!({"rancher": {"b": 2}}),
            ),
            ("", json!({})),
        ];
        for (line, want) in cases {
            assert_eq!(parse(line), (want, vec![]), "{line}");
        }
    }

    #[test]
    fn unclosed_quotes_and_brackets_end_at_the_next_space() {
        let cases = [
            (
                "rancher.a=[1, rancher.b=2",
                json!({"rancher": {"a": "[1,", "b": 2}}),
            ),
            (
                "rancher.a='x rancher.b=2",
                json!({"rancher": {"a": "'x", "b": 2}}),
            ),
            ("foo=\"bar rancher.b=2", json!({"rancher": {"b": 2}})),
        ];
        for (line, want) in cases {
            assert_eq!(parse(line).0, want, "{line}");
        }
    }

    #[test]
    fn conflicts_are_reported_and_the_first_value_stays() {
        let (tree, problems) = parse("rancher.a=1 rancher.a.b=2 rancher..x=1");
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(tree, json!({"rancher": {"a": 1}}));
        assert_eq!(
            problems,
            [
                "kernel command line: rancher.a.b: conflicts with the value given to rancher.a",
                "kernel command line: rancher..x: a dotted key has an empty part",
            ]
        );
    }
}
