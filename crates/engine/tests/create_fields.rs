//! `docs/containers.md` says what every field of the API's model does.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fmt;

use bollard_stubs::models::{ContainerConfig, HostConfig, Mount};
use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

/// Tells the names of a structure's fields instead of reading one.
struct FieldNames<'a>(&'a mut BTreeSet<String>);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no structure"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields.iter().map(ToString::to_string));
        Err(Error::custom("names only"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<T: for<'de> Deserialize<'de> + fmt::Debug>() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    T::deserialize(FieldNames(&mut names)).unwrap_err();
    names
}

#[test]
fn every_field_is_accounted_for() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/containers.md");
    let text = std::fs::read_to_string(path).unwrap();
    for (section, expected) in [
        ("Config", fields::<ContainerConfig>()),
        ("HostConfig", fields::<HostConfig>()),
        ("Mounts", fields::<Mount>()),
    ] {
        let start = format!("\n## {section}\n");
        let rest = text.split_once(&start).unwrap().1;
        let table = rest.split("\n## ").next().unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        let unique: BTreeSet<String> = documented.iter().map(ToString::to_string).collect();
        assert_eq!(unique, expected, "{section}");
        assert_eq!(
            documented.len(),
            unique.len(),
            "{section}: a field is there twice"
        );
    }
}
