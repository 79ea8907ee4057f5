//! JSON as Go reads it: the names of fields match whatever their case, and some clients rely on that (docker-py sends `detachKeys`).

use serde::Deserializer;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// Parses JSON; fields are found by their names in any case.
///
/// # Errors
/// What is no JSON of this form.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    from_value(serde_json::from_slice(bytes)?).map_err(|error| {
        // The same error with its place in the text, where there is one.
        serde_json::from_slice::<T>(bytes).err().unwrap_or(error)
    })
}

/// As [`parse`], of JSON that is a value already.
///
/// # Errors
/// What is of another form.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Insensitive(value))
}

struct Insensitive(Value);

impl<'de> IntoDeserializer<'de, Error> for Insensitive {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Insensitive {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(entries(map)),
            Value::Array(list) => {
                visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(Insensitive)))
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(entries(renamed(map, fields))),
            other => Insensitive(other).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

fn entries(
    map: Map<String, Value>,
) -> MapDeserializer<'static, impl Iterator<Item = (String, Insensitive)>, Error> {
    MapDeserializer::new(
        map.into_iter()
            .map(|(name, value)| (name, Insensitive(value))),
    )
}

/// The map with the fields' own names; one that is there already is not replaced.
fn renamed(map: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    let mut out = Map::new();
    let mut others = Vec::new();
    for (name, value) in map {
        if fields.contains(&name.as_str()) {
            out.insert(name, value);
        } else {
            others.push((name, value));
        }
    }
    for (name, value) in others {
        let field = fields
            .iter()
            .find(|field| field.eq_ignore_ascii_case(&name));
        let name = field.map_or(name, |field| (*field).to_owned());
        out.entry(name).or_insert(value);
    }
    out
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{ContainerConfig, NetworkCreateRequest};
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_fields_match_in_any_case_and_keys_of_maps_as_they_are() {
        let body = json!({
            "image": "busybox", "TTY": true, "Cmd": ["a"], "cmd": ["b"],
            "Labels": {"Key": "1", "key": "2"},
            "healthcheck": {"test": ["CMD"], "INTERVAL": 5},
        });
        let config: ContainerConfig = parse(body.to_string().as_bytes()).unwrap();
        let check = config.healthcheck.unwrap();
        let labels = config.labels.unwrap();
        assert_eq!(
            (
                config.image.as_deref(),
                config.tty,
                config.cmd,
                labels["Key"].as_str(),
                labels["key"].as_str(),
                check.test,
                check.interval,
            ),
            (
                Some("busybox"),
                Some(true),
                Some(vec!["a".to_owned()]),
                "1",
                "2",
                Some(vec!["CMD".to_owned()]),
                Some(5),
            )
        );
        let network: NetworkCreateRequest = parse(br#"{"name": "n"}"#).unwrap();
        assert_eq!(network.name, "n");
    }

    #[test]
    fn errors_say_where() {
        for (text, expected) in [
            ("[1", "EOF while parsing a list at line 1 column 2"),
            (
                r#"{"Tty": 1}"#,
                "invalid type: integer `1`, expected a boolean at line 1 column 9",
            ),
        ] {
            let error = parse::<ContainerConfig>(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
