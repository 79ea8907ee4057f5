//! What is added to each entry of a log: the options `labels`, `labels-regex`, `env`, `env-regex` and `tag`.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;

use super::tag;
use crate::error::{Error, Result};
use crate::record::Record;

/// Which labels and variables of a container its entries have.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    labels: Vec<String>,
    labels_regex: Option<Regex>,
    env: Vec<String>,
    env_regex: Option<Regex>,
    tag: Option<String>,
}

impl Selection {
    /// Reads the options.
    ///
    /// # Errors
    /// For an expression or a template that is none.
    pub fn parse(given: &HashMap<String, String>) -> Result<Self> {
        let text = |name: &str| given.get(name).filter(|text| !text.is_empty());
        let list = |name: &str| {
            let words = text(name)
                .map(String::as_str)
                .unwrap_or_default()
                .split(',');
            words
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let expression = |name: &str| {
            text(name)
                .map(|text| {
                    Regex::new(text)
                        .map_err(|error| Error::Invalid(format!("invalid {name}: {error}")))
                })
                .transpose()
        };
        if let Some(template) = text("tag") {
            tag::render(template, &Record::default())?;
        }
        Ok(Self {
            labels: list("labels"),
            labels_regex: expression("labels-regex")?,
            env: list("env"),
            env_regex: expression("env-regex")?,
            tag: text("tag").cloned(),
        })
    }

    /// The labels and variables of a container, with its tag if one is asked for.
    pub fn attributes(&self, record: &Record) -> BTreeMap<String, String> {
        let wanted = |names: &[String], regex: &Option<Regex>, name: &str| {
            names.iter().any(|wanted| wanted == name)
                || regex.as_ref().is_some_and(|regex| regex.is_match(name))
        };
        let labels = record.config.labels.iter().flatten();
        let labels = labels
            .filter(|(name, _)| wanted(&self.labels, &self.labels_regex, name))
            .map(|(name, value)| (name.clone(), value.clone()));
        let env = record.config.env.iter().flatten();
        let env = env
            .filter_map(|entry| entry.split_once('='))
            .filter(|(name, _)| wanted(&self.env, &self.env_regex, name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let tag = self
            .tag
            .as_ref()
            .map(|_| ("tag".to_owned(), self.tag(record)));
        labels.chain(env).chain(tag).collect()
    }

    /// The tag; without the option the beginning of the container's id.
    pub fn tag(&self, record: &Record) -> String {
        let template = self.tag.as_deref().unwrap_or("{{.ID}}");
        // Checked when it was parsed.
        tag::render(template, record).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::ContainerConfig;

    use super::*;

    #[test]
    fn labels_variables_and_tags_are_chosen() {
        let record = Record {
            id: "0123456789abcdef".into(),
            name: "web".into(),
            config: ContainerConfig {
                labels: Some(
                    [
                        ("a".to_owned(), "1".to_owned()),
                        ("b.c".to_owned(), "2".to_owned()),
                    ]
                    .into(),
                ),
                env: Some(vec!["PATH=/bin".into(), "X_Y=3".into(), "EMPTY".into()]),
                ..ContainerConfig::default()
            },
            ..Record::default()
        };
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let table: &[(Pairs, Pairs)] = &[
            (&[], &[]),
            (
                &[("labels", "a,none"), ("env", "X_Y")],
                &[("X_Y", "3"), ("a", "1")],
            ),
            (&[("labels-regex", "^b")], &[("b.c", "2")]),
            (
                &[("env-regex", "^X"), ("tag", "{{.Name}}/{{ .ID }}")],
                &[("X_Y", "3"), ("tag", "web/0123456789ab")],
            ),
        ];
        for (options, expected) in table {
            let map = |pairs: Pairs| -> BTreeMap<String, String> {
                pairs
                    .iter()
                    .map(|(k, v)| (k.to_string(), v.to_string()))
                    .collect()
            };
            let selection = Selection::parse(&map(options).into_iter().collect()).unwrap();
            assert_eq!(selection.attributes(&record), map(expected), "{options:?}");
        }
        assert_eq!(Selection::default().tag(&record), "0123456789ab");
        for (key, text) in [("labels-regex", "("), ("tag", "{{.Nope}}")] {
            assert!(Selection::parse(&[(key.to_owned(), text.to_owned())].into()).is_err());
        }
    }
}
