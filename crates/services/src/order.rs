//! The order of start: who waits for whom, and why (inventory D2-005, D2-006, D2-013, D2-014 and compose's implicit links).
//!
//! The order is data: [`Order`] can be printed, walked and tested without starting anything.

use std::fmt;

use crate::labels::Scope;
use crate::problem::Problem;
use crate::project::Project;
use crate::schedule::Reached;
use crate::service::Service;

/// Why a service waits for another, weakest first: when services wait for each other in a circle, the weakest reason gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The other one's `io.rancher.os.before` names it.
    Before,
    /// Its `io.rancher.os.after` names the other one.
    After,
    /// It runs in User Docker, which the service `docker` provides.
    UserScope,
    /// It logs to syslog.
    LogDriver,
    /// `links`.
    Link,
    /// `net`, `pid` or `ipc` is `container:NAME`.
    Namespace,
    /// `volumes_from`.
    VolumesFrom,
    /// Its root file system is the other one's, which must be there for that; the other one's programs need not run.
    Root,
}

impl Why {
    /// What the other service must have come to.
    #[must_use]
    pub fn until(self) -> Reached {
        match self {
            Self::Root => Reached::Made,
            _ => Reached::Done,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
            Self::UserScope => "user scope",
            Self::LogDriver => "log_driver",
            Self::Link => "links",
            Self::Namespace => "namespace",
            Self::VolumesFrom => "volumes_from",
            Self::Root => "root",
        })
    }
}

/// One service and what it waits for; services are named by their index in [`Project::services`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The service.
    pub service: usize,
    /// The services that must come first, each once for each [`Reached`].
    pub waits_for: Vec<(usize, Why)>,
}

/// The services in an order in which each comes after all that it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// Every service once.
    pub steps: Vec<Step>,
    /// Circles that were cut open.
    pub problems: Vec<Problem>,
}

impl Order {
    /// Works out the order. Circles are cut at their weakest link and reported, so that every service is in the result.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let mut waits = waits(project);
        let mut problems = Vec::new();
        while let Some(circle) = circle(&waits) {
            problems.push(cut(project, &mut waits, &circle));
        }
        let mut steps: Vec<Step> = Vec::with_capacity(waits.len());
        let mut placed = vec![false; waits.len()];
        // Quadratic, for some dozens of services; keeps the order of the configuration where the labels leave a choice.
        while let Some(next) =
            (0..waits.len()).find(|&i| !placed[i] && waits[i].iter().all(|&(on, _)| placed[on]))
        {
            placed[next] = true;
            steps.push(Step {
                service: next,
                waits_for: waits[next].clone(),
            });
        }
        Self { steps, problems }
    }

    /// What the given services (by index) wait for, directly and through others, themselves included.
    #[must_use]
    pub fn closure(&self, wanted: &[usize]) -> Vec<usize> {
        let mut found: Vec<usize> = wanted.to_vec();
        for step in self.steps.iter().rev() {
            if found.contains(&step.service) {
                for (on, _) in &step.waits_for {
                    if !found.contains(on) {
                        found.push(*on);
                    }
                }
            }
        }
        found
    }

    /// One line per service, in order: `network after udev (after)`.
    #[must_use]
    pub fn describe(&self, project: &Project) -> String {
        let name = |i: usize| project.services[i].name.as_str();
        let mut out = String::new();
        for step in &self.steps {
            out.push_str(name(step.service));
            for (i, (on, why)) in step.waits_for.iter().enumerate() {
                let join = if i == 0 { " after" } else { "," };
                out.push_str(&format!("{join} {} ({why})", name(*on)));
            }
            out.push('\n');
        }
        out
    }
}

/// Everything each service waits for. Names that belong to no service are left to the engine.
fn waits(project: &Project) -> Vec<Vec<(usize, Why)>> {
    let index = |name: &str| {
        let service = project.service(name)?;
        project.services.iter().position(|s| s.name == service.name)
    };
    let mut waits: Vec<Vec<(usize, Why)>> = vec![Vec::new(); project.services.len()];
    let mut add = |who: usize, on: Option<usize>, why: Why| {
        let Some(on) = on.filter(|&on| on != who) else {
            return;
        };
        let same = |old: &(usize, Why)| old.0 == on && old.1.until() == why.until();
        match waits[who].iter_mut().find(|old| same(old)) {
            Some(known) => known.1 = known.1.max(why),
            None => waits[who].push((on, why)),
        }
    };
    for (who, service) in project.services.iter().enumerate() {
        for name in &service.steering.after {
            add(who, index(name), Why::After);
        }
        for name in &service.steering.before {
            if let Some(waiting) = index(name) {
                add(waiting, Some(who), Why::Before);
            }
        }
        if service.steering.scope == Scope::User {
            add(who, index("docker"), Why::UserScope);
        }
        if service.log_driver.as_deref() == Some("syslog") {
            add(who, index("syslog"), Why::LogDriver);
        }
        for link in &service.links {
            add(who, index(before_colon(link)), Why::Link);
        }
        for name in namespaces(service) {
            add(who, index(name), Why::Namespace);
        }
        for name in &service.volumes_from {
            add(who, index(before_colon(name)), Why::VolumesFrom);
        }
        if let Some(name) = &service.steering.root {
            add(who, index(name), Why::Root);
        }
    }
    waits
}

/// Containers whose namespaces the service joins.
pub(crate) fn namespaces(service: &Service) -> impl Iterator<Item = &str> {
    [&service.net, &service.pid, &service.ipc]
        .into_iter()
        .flatten()
        .filter_map(|mode| mode.strip_prefix("container:"))
}

pub(crate) fn before_colon(text: &str) -> &str {
    text.split(':').next().unwrap_or(text)
}

/// A circle, if there is one: each waits for the next, the last for the first.
fn circle(waits: &[Vec<(usize, Why)>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    fn visit(
        at: usize,
        waits: &[Vec<(usize, Why)>],
        marks: &mut [Mark],
        path: &mut Vec<usize>,
    ) -> Option<Vec<usize>> {
        marks[at] = Mark::OnPath;
        path.push(at);
        for &(on, _) in &waits[at] {
            match marks[on] {
                Mark::OnPath => {
                    let start = path.iter().position(|&p| p == on).unwrap_or(0);
                    return Some(path[start..].to_vec());
                }
                Mark::New => {
                    if let Some(found) = visit(on, waits, marks, path) {
                        return Some(found);
                    }
                }
                Mark::Done => {}
            }
        }
        path.pop();
        marks[at] = Mark::Done;
        None
    }
    let mut marks = vec![Mark::New; waits.len()];
    (0..waits.len()).find_map(|start| {
        (marks[start] == Mark::New).then(|| visit(start, waits, &mut marks, &mut Vec::new()))?
    })
}

/// Removes the weakest link of a circle; among equals, that of the service defined last (users' come after the built-in ones).
fn cut(project: &Project, waits: &mut [Vec<(usize, Why)>], circle: &[usize]) -> Problem {
    let links = circle.iter().enumerate().map(|(i, &who)| {
        let on = circle[(i + 1) % circle.len()];
        let why = waits[who].iter().filter(|(o, _)| *o == on);
        (
            who,
            on,
            why.map(|(_, why)| *why).max().unwrap_or(Why::Before),
        )
    });
    // A "before" was written in the definition of the service that comes first.
    let author = |who: usize, on: usize, why: Why| if why == Why::Before { on } else { who };
    let weakest = links.min_by_key(|&(who, on, why)| (why, usize::MAX - author(who, on, why)));
    let (who, on, why) = weakest.unwrap_or((circle[0], circle[0], Why::Before));
    waits[who].retain(|(o, _)| *o != on);
    let name = |i: usize| project.services[i].name.as_str();
    let mut names: Vec<&str> = circle.iter().map(|&i| name(i)).collect();
    names.push(name(circle[0]));
    Problem::new(
        name(author(who, on, why)),
        None,
        format!(
            "services wait for each other: {}; going on as if {} did not wait for {} ({why})",
            names.join(" → "),
            name(who),
            name(on),
        ),
    )
}

#[cfg(test)]
mod tests;
