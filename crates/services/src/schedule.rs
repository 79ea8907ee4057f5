//! Who may go now: bookkeeping for acting on services in an order, as soon as that order allows each.

use std::collections::{BTreeMap, BTreeSet};

/// Things by name, and which of them each still waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    waiting: BTreeMap<String, BTreeSet<String>>,
    /// Given out by [`Schedule::ready`] or done.
    begun: BTreeSet<String>,
    done: BTreeSet<String>,
    /// Keeps the order in which things were added where the waits leave a choice.
    names: Vec<String>,
}

impl Schedule {
    /// Adds `name`, or replaces what it waits for if it has not begun. It does not wait for names that are never added.
    pub(crate) fn add(&mut self, name: &str, waits_for: impl IntoIterator<Item = String>) {
        if self.begun.contains(name) {
            return;
        }
        if !self.waiting.contains_key(name) {
            self.names.push(name.into());
        }
        self.waiting
            .insert(name.into(), waits_for.into_iter().collect());
    }

    /// Drops everything that has not begun.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.names.clear();
    }

    /// Takes out everything that may begin.
    pub(crate) fn ready(&mut self) -> Vec<String> {
        let known = |name: &String| self.waiting.contains_key(name) || self.begun.contains(name);
        let may = |name: &&String| {
            self.waiting[*name]
                .iter()
                .all(|on| self.done.contains(on) || !known(on))
        };
        let ready: Vec<String> = self.names.iter().filter(may).cloned().collect();
        for name in &ready {
            self.waiting.remove(name);
            self.begun.insert(name.clone());
        }
        self.names.retain(|name| self.waiting.contains_key(name));
        ready
    }

    /// Notes that `name` is done, whatever came of it.
    pub(crate) fn done(&mut self, name: &str) {
        self.done.insert(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_begins_as_soon_as_it_may() {
        let mut schedule = Schedule::default();
        schedule.add("console", waits(&["network", "volumes", "absent"]));
        schedule.add("network", waits(&["udev"]));
        schedule.add("volumes", waits(&[]));
        schedule.add("udev", waits(&[]));
        assert_eq!(schedule.ready(), ["volumes", "udev"]);
        assert_eq!(schedule.ready(), [] as [String; 0]);
        schedule.done("udev");
        assert_eq!(schedule.ready(), ["network"]);
        schedule.done("network");
        assert_eq!(schedule.ready(), [] as [String; 0]);
        schedule.done("volumes");
        assert_eq!(schedule.ready(), ["console"]);
    }

    #[test]
    fn definitions_may_change_before_a_thing_begins() {
        let mut schedule = Schedule::default();
        schedule.add("network", waits(&[]));
        schedule.add("late", waits(&["network"]));
        assert_eq!(schedule.ready(), ["network"]);
        schedule.clear();
        schedule.add("network", waits(&["late"]));
        schedule.add("late", waits(&["network", "new"]));
        schedule.add("new", waits(&["network"]));
        schedule.done("network");
        assert_eq!(schedule.ready(), ["new"]);
        schedule.done("new");
        assert_eq!(schedule.ready(), ["late"]);
    }
}
