//! Who may go now: bookkeeping for acting on services in an order, as soon as that order allows each.

use std::collections::{BTreeMap, BTreeSet};

/// How far a service has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Its container is there.
    Made,
    /// Nothing more is to be done for it, whatever came of that.
    Done,
}

/// Things by name, and which of them each still waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    waiting: BTreeMap<String, BTreeSet<(String, Reached)>>,
    /// Given out by [`Schedule::ready`] or done.
    begun: BTreeSet<String>,
    reached: BTreeMap<String, Reached>,
    /// Keeps the order in which things were added where the waits leave a choice.
    names: Vec<String>,
}

impl Schedule {
    /// Adds `name`, or replaces what it waits for if it has not begun. It does not wait for names that are never added.
    pub(crate) fn add(
        &mut self,
        name: &str,
        waits_for: impl IntoIterator<Item = (String, Reached)>,
    ) {
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
                .all(|(on, until)| self.reached.get(on) >= Some(until) || !known(on))
        };
        let ready: Vec<String> = self.names.iter().filter(may).cloned().collect();
        for name in &ready {
            self.waiting.remove(name);
            self.begun.insert(name.clone());
        }
        self.names.retain(|name| self.waiting.contains_key(name));
        ready
    }

    /// Notes how far `name` has come.
    pub(crate) fn reached(&mut self, name: &str, reached: Reached) {
        let furthest = self.reached.entry(name.into()).or_insert(reached);
        *furthest = reached.max(*furthest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(names: &[&str]) -> Vec<(String, Reached)> {
        let done = |name: &&str| ((*name).to_owned(), Reached::Done);
        names.iter().map(done).collect()
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
        schedule.reached("udev", Reached::Done);
        assert_eq!(schedule.ready(), ["network"]);
        schedule.reached("network", Reached::Done);
        assert_eq!(schedule.ready(), [] as [String; 0]);
        schedule.reached("volumes", Reached::Done);
        assert_eq!(schedule.ready(), ["console"]);
    }

    #[test]
    fn some_wait_only_until_a_container_is_there() {
        let mut schedule = Schedule::default();
        schedule.add("console", waits(&[]));
        schedule.add("docker", [("console".to_owned(), Reached::Made)]);
        schedule.add("syslog", waits(&["console"]));
        assert_eq!(schedule.ready(), ["console"]);
        assert_eq!(schedule.ready(), [] as [String; 0]);
        schedule.reached("console", Reached::Made);
        assert_eq!(schedule.ready(), ["docker"]);
        schedule.reached("console", Reached::Done);
        assert_eq!(schedule.ready(), ["syslog"]);
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
        schedule.reached("network", Reached::Done);
        assert_eq!(schedule.ready(), ["new"]);
        schedule.reached("new", Reached::Done);
        assert_eq!(schedule.ready(), ["late"]);
    }
}
