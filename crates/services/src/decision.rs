//! Whether a service's container is kept, made or replaced (inventory D2-007, D2-008, D2-018).

use crate::engine::Container;
use crate::labels::{self, Rebuild};

/// What the caller wants for containers that exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recreate {
    /// Replace those whose definition or image changed, as their rebuild label allows.
    #[default]
    WhenChanged,
    /// Replace all (`--force-recreate`).
    Always,
    /// Keep all (`--no-recreate`).
    Never,
}

/// What to do about a service's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// There is none: make it.
    Make,
    /// Remove the old one and make a new one.
    Replace,
    /// Keep the one there is.
    Keep,
}

/// What the container should be made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// See [`crate::config_hash`].
    pub hash: &'a str,
    /// Id of the image, `None` when the engine does not have it.
    pub image: Option<&'a str>,
    /// Whether the engine no longer has the image of the container there is: an update of the system brought others. The
    /// container cannot start again, whatever its rebuild label says.
    pub old_image_gone: bool,
    /// The service's console label.
    pub console: Option<&'a str>,
    /// The service's rebuild label.
    pub rebuild: Rebuild,
    /// Whether a container whose namespaces it joins was replaced: those are named by id.
    pub partner_replaced: bool,
}

pub(crate) fn decide(
    existing: Option<&Container>,
    wanted: Wanted<'_>,
    recreate: Recreate,
) -> Decision {
    let Some(container) = existing else {
        return Decision::Make;
    };
    let label = |name: &str| container.labels.get(name).map(String::as_str);
    let another_console = wanted.console != label(labels::CONSOLE);
    let changed = wanted.partner_replaced
        || label(labels::CONFIG_HASH) != Some(wanted.hash)
        || wanted.image.is_some_and(|image| image != container.image);
    let replace = match (recreate, wanted.rebuild) {
        (Recreate::Never, _) => false,
        (Recreate::Always, _) | (Recreate::WhenChanged, Rebuild::Always) => true,
        (Recreate::WhenChanged, Rebuild::Never) => another_console || wanted.old_image_gone,
        (Recreate::WhenChanged, Rebuild::WhenChanged) => another_console || changed,
    };
    if replace {
        Decision::Replace
    } else {
        Decision::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_replace_a_container() {
        use Decision::{Keep, Make, Replace};
        let container = Container {
            id: "1".into(),
            running: true,
            image: "sha256:a".into(),
            labels: [
                (labels::CONFIG_HASH.to_string(), "h".to_string()),
                (labels::CONSOLE.to_string(), "default".to_string()),
            ]
            .into(),
        };
        let same = Wanted {
            hash: "h",
            image: Some("sha256:a"),
            old_image_gone: false,
            console: Some("default"),
            rebuild: Rebuild::WhenChanged,
            partner_replaced: false,
        };
        let hash = Wanted { hash: "i", ..same };
        let image = Wanted {
            image: Some("sha256:b"),
            ..same
        };
        let no_image = Wanted {
            image: None,
            ..same
        };
        let partner = Wanted {
            partner_replaced: true,
            ..same
        };
        let console = Wanted {
            console: Some("alpine"),
            ..same
        };
        let never = |wanted| Wanted {
            rebuild: Rebuild::Never,
            ..wanted
        };
        let always = |wanted| Wanted {
            rebuild: Rebuild::Always,
            ..wanted
        };
        let table = [
            ("same", same, Recreate::WhenChanged, Keep),
            ("definition", hash, Recreate::WhenChanged, Replace),
            ("image", image, Recreate::WhenChanged, Replace),
            ("image gone", no_image, Recreate::WhenChanged, Keep),
            ("namespace", partner, Recreate::WhenChanged, Replace),
            ("console", console, Recreate::WhenChanged, Replace),
            (
                "never: definition",
                never(hash),
                Recreate::WhenChanged,
                Keep,
            ),
            ("never: image", never(image), Recreate::WhenChanged, Keep),
            (
                "never: updated system",
                never(Wanted {
                    old_image_gone: true,
                    ..image
                }),
                Recreate::WhenChanged,
                Replace,
            ),
            (
                "never: console",
                never(console),
                Recreate::WhenChanged,
                Replace,
            ),
            ("always: same", always(same), Recreate::WhenChanged, Replace),
            ("--force-recreate", never(same), Recreate::Always, Replace),
            ("--no-recreate", always(hash), Recreate::Never, Keep),
        ];
        for (what, wanted, recreate, want) in table {
            assert_eq!(decide(Some(&container), wanted, recreate), want, "{what}");
            assert_eq!(decide(None, wanted, recreate), Make, "{what}");
        }
    }
}
