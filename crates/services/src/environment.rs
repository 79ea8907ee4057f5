//! The variables that service definitions may name (inventory B3-002, D2-017): `rancher.environment`, the proxies of
//! `rancher.network` and the kernel's version.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::lenient;

/// Variables by name. A name `service/KEY` is seen by that service only and hides `KEY` from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    values: BTreeMap<String, String>,
}

/// Key of `rancher.network` and the names under which programs look for it.
const PROXIES: [(&str, [&str; 2]); 3] = [
    ("http_proxy", ["HTTP_PROXY", "http_proxy"]),
    ("https_proxy", ["HTTPS_PROXY", "https_proxy"]),
    ("no_proxy", ["NO_PROXY", "no_proxy"]),
];

impl Environment {
    /// Variables of the merged configuration's `rancher` map, and `KERNEL_VERSION`.
    #[must_use]
    pub fn from_config(rancher: &Value, kernel_release: &str) -> Self {
        let mut values = BTreeMap::new();
        for (key, names) in PROXIES {
            if let Ok(proxy) = lenient::text(&rancher["network"][key])
                && !proxy.is_empty()
            {
                values.extend(names.map(|name| (name.to_string(), proxy.clone())));
            }
        }
        values.insert("KERNEL_VERSION".into(), kernel_release.into());
        if let Value::Object(map) = &rancher["environment"] {
            for (key, value) in map {
                if let Ok(value) = lenient::text(value) {
                    values.insert(key.clone(), value);
                }
            }
        }
        Self { values }
    }

    /// Everything, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The value that `service` sees under `key`.
    #[must_use]
    pub fn lookup(&self, service: &str, key: &str) -> Option<&str> {
        self.values
            .get(&format!("{service}/{key}"))
            .or_else(|| self.values.get(key))
            .map(String::as_str)
    }

    /// All variables that `service` sees whose name begins with `prefix`, by name (`KEY*` in a definition).
    #[must_use]
    pub fn starting_with(&self, service: &str, prefix: &str) -> Vec<(String, String)> {
        let own = format!("{service}/");
        let mut found = BTreeMap::new();
        for (key, value) in &self.values {
            if !key.contains('/') && key.starts_with(prefix) {
                found.insert(key.clone(), value.clone());
            }
        }
        for (key, value) in &self.values {
            if let Some(key) = key.strip_prefix(&own)
                && key.starts_with(prefix)
            {
                found.insert(key.to_string(), value.clone());
            }
        }
        found.into_iter().collect()
    }

    /// Replaces `$KEY`, `${KEY}`, `${KEY-default}` and `${KEY:-default}` in `text` by what `service` sees; `$$` is a dollar sign.
    /// Unknown names become empty and are pushed to `unknown`.
    #[must_use]
    pub fn interpolate(&self, service: &str, text: &str, unknown: &mut Vec<String>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(tail) = after.strip_prefix('$') {
                out.push('$');
                rest = tail;
            } else if let Some((inner, tail)) =
                after.strip_prefix('{').and_then(|a| a.split_once('}'))
            {
                self.expand(service, inner, &mut out, unknown);
                rest = tail;
            } else {
                let end = name_length(after);
                if end == 0 {
                    out.push('$');
                } else {
                    self.expand(service, &after[..end], &mut out, unknown);
                }
                rest = &after[end..];
            }
        }
        out.push_str(rest);
        out
    }

    fn expand(&self, service: &str, inner: &str, out: &mut String, unknown: &mut Vec<String>) {
        let (key, default) = match inner.find('-') {
            Some(at) if inner[..at].ends_with(':') => (&inner[..at - 1], Some(&inner[at + 1..])),
            Some(at) => (&inner[..at], Some(&inner[at + 1..])),
            None => (inner, None),
        };
        let empty_counts = !inner[key.len()..].starts_with(':');
        match (self.lookup(service, key), default) {
            (Some(value), _) if empty_counts || !value.is_empty() => out.push_str(value),
            (_, Some(default)) => out.push_str(default),
            _ => unknown.push(key.to_string()),
        }
    }
}

/// Length of the variable name at the start of `text`.
fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Environment {
        let rancher = json!({
            "environment": {
                "VERSION": "v0.1.0", "SUFFIX": "", "ETCD_A": 1, "ETCD_B": "two",
                "etcd/ETCD_B": "own", "other/ETCD_C": "hidden",
            },
            "network": {"http_proxy": "http://p:3128"},
        });
        Environment::from_config(&rancher, "6.12.1")
    }

    #[test]
    fn config_gives_variables_proxies_and_kernel() {
        let environment = sample();
        let all: Vec<_> = environment.iter().collect();
        assert_eq!(
            all,
            [
                ("ETCD_A", "1"),
                ("ETCD_B", "two"),
                ("HTTP_PROXY", "http://p:3128"),
                ("KERNEL_VERSION", "6.12.1"),
                ("SUFFIX", ""),
                ("VERSION", "v0.1.0"),
                ("etcd/ETCD_B", "own"),
                ("http_proxy", "http://p:3128"),
                ("other/ETCD_C", "hidden"),
            ]
        );
    }

    #[test]
    fn own_values_hide_shared_ones() {
        let environment = sample();
        assert_eq!(environment.lookup("etcd", "ETCD_B"), Some("own"));
        assert_eq!(environment.lookup("ntp", "ETCD_B"), Some("two"));
        assert_eq!(
            environment.starting_with("etcd", "ETCD_"),
            [
                ("ETCD_A".into(), "1".into()),
                ("ETCD_B".into(), "own".into())
            ]
        );
        assert_eq!(environment.starting_with("etcd", "X"), []);
    }

    #[test]
    fn interpolation_follows_compose() {
        let table = [
            (
                "coracle/os-ntp:${VERSION}${SUFFIX}",
                "coracle/os-ntp:v0.1.0",
                vec![],
            ),
            ("$VERSION/x", "v0.1.0/x", vec![]),
            ("a$$b", "a$b", vec![]),
            ("costs $5 or $", "costs $5 or $", vec![]),
            ("${NONE}!", "!", vec!["NONE"]),
            ("${NONE:-d}", "d", vec![]),
            ("${SUFFIX:-d}", "d", vec![]),
            ("${SUFFIX-d}", "", vec![]),
            ("${open", "${open", vec![]),
        ];
        for (text, want, want_unknown) in table {
            let mut unknown = Vec::new();
            assert_eq!(
                sample().interpolate("x", text, &mut unknown),
                want,
                "{text}"
            );
            assert_eq!(unknown, want_unknown, "{text}");
        }
    }
}
