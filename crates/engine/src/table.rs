//! The containers by id and by name.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::container::Container;
use crate::error::{Error, Result};

/// All containers.
#[derive(Debug, Default)]
pub struct Table {
    by_id: BTreeMap<String, Arc<Container>>,
    /// Name without slash to id.
    names: HashMap<String, String>,
}

impl Table {
    /// Gives `name` to container `id`.
    ///
    /// # Errors
    /// Docker's conflict when another container has the name.
    pub fn reserve(&mut self, name: &str, id: &str) -> Result<()> {
        match self.names.get(name) {
            Some(owner) if owner != id => Err(Error::Conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove \
                 (or rename) that container to be able to reuse that name."
            ))),
            _ => {
                self.names.insert(name.to_owned(), id.to_owned());
                Ok(())
            }
        }
    }

    /// Takes a name away.
    pub fn release(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Whether a container has this name.
    pub fn is_taken(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Adds a container whose name was reserved.
    pub fn insert(&mut self, container: Arc<Container>) {
        self.by_id.insert(container.id().to_owned(), container);
    }

    /// Forgets a container and its names.
    pub fn remove(&mut self, id: &str) {
        self.by_id.remove(id);
        self.names.retain(|_, owner| owner != id);
    }

    /// By id, name (with or without slash) or unambiguous beginning of an id, in this order.
    ///
    /// # Errors
    /// When none or several fit.
    pub fn find(&self, reference: &str) -> Result<Arc<Container>> {
        if let Some(container) = self.by_id.get(reference) {
            return Ok(Arc::clone(container));
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(container) = self.names.get(name).and_then(|id| self.by_id.get(id)) {
            return Ok(Arc::clone(container));
        }
        let none = || Error::NoSuchContainer(reference.to_owned());
        if reference.is_empty() {
            return Err(none());
        }
        let from = (Bound::Included(reference.to_owned()), Bound::Unbounded);
        let mut fitting = self
            .by_id
            .range(from)
            .take_while(|(id, _)| id.starts_with(reference));
        let (_, container) = fitting.next().ok_or_else(none)?;
        if fitting.next().is_some() {
            return Err(Error::AmbiguousContainer(reference.to_owned()));
        }
        Ok(Arc::clone(container))
    }

    /// Every container, by id.
    pub fn all(&self) -> Vec<Arc<Container>> {
        self.by_id.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, State};

    #[test]
    fn containers_are_found_by_id_name_and_prefix() {
        let mut table = Table::default();
        for (id, name) in [("abc1", "web"), ("abc2", "abd"), ("abd3", "db")] {
            let record = Record {
                id: id.into(),
                name: name.into(),
                ..Record::default()
            };
            table.reserve(name, id).unwrap();
            table.insert(Arc::new(Container::new(
                "/nowhere".into(),
                record,
                State::default(),
            )));
        }
        for (reference, expected) in [
            ("abc1", Ok("abc1")),
            ("/web", Ok("abc1")),
            ("web", Ok("abc1")),
            ("abd", Ok("abc2")),
            ("abd3", Ok("abd3")),
            ("abc", Err("Multiple IDs found with provided prefix: abc")),
            ("x", Err("No such container: x")),
            ("", Err("No such container: ")),
        ] {
            let found = table
                .find(reference)
                .map(|container| container.id().to_owned());
            assert_eq!(
                found.map_err(|error| error.to_string()),
                expected.map(str::to_owned).map_err(str::to_owned)
            );
        }
        assert_eq!(
            table.reserve("web", "other").unwrap_err().to_string(),
            "Conflict. The container name \"/web\" is already in use by container \"abc1\". You have to remove (or rename) \
             that container to be able to reuse that name."
        );
        table.remove("abc1");
        assert!(!table.is_taken("web"));
    }
}
