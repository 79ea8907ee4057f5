//! Which images a list shows (`GET /images/json`), and by which name a container's image is shown.

use std::collections::HashMap;

use coracle_engine::time;
use coracle_image::{Image, Reference};
use globset::Glob;
use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};
use crate::filters::Filters;
use crate::render::image::{created, labels};

/// The keys that Docker knows for lists.
pub const KEYS: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];
/// The keys of pruning images, containers and networks.
pub const PRUNE_KEYS: &[&str] = &["dangling", "label", "label!", "until"];

/// What a client wants to see.
#[derive(Clone, Debug, Default)]
pub struct ImageFilter {
    filters: Filters,
    dangling: Option<bool>,
    until: Option<Timestamp>,
    /// When the image that `before` names was made.
    pub before: Option<Timestamp>,
    /// When the image that `since` names was made.
    pub since: Option<Timestamp>,
}

impl ImageFilter {
    /// Checks the values that have a form.
    ///
    /// # Errors
    /// Docker's texts.
    pub fn new(filters: Filters, now: Timestamp) -> Result<Self> {
        let (dangling, until) = (filters.flag("dangling")?, until(&filters, now)?);
        Ok(Self {
            filters,
            dangling,
            until,
            ..Self::default()
        })
    }

    /// Whether to show an image.
    pub fn accepts(&self, image: &Image) -> bool {
        let made = made(image);
        self.dangling
            .is_none_or(|wanted| wanted == is_dangling(image))
            && self.filters.has_labels("label", &labels(image))
            && self.filters.lacks_labels("label!", &labels(image))
            && self.filters.any("reference", |pattern| {
                image.tags.iter().any(|name| fits(pattern, name))
            })
            && self.until.is_none_or(|until| made < until)
            && self.before.is_none_or(|before| made < before)
            && self.since.is_none_or(|since| made > since)
    }

    /// The image with the names that the filter `reference` wants, and no others: that is how Docker lists it.
    pub fn narrowed(&self, mut image: Image) -> Image {
        let patterns = self.filters.get("reference");
        if !patterns.is_empty() {
            image
                .tags
                .retain(|name| patterns.iter().any(|pattern| fits(pattern, name)));
            image.digests.clear();
        }
        image
    }

    /// Whether to prune an image: without `dangling=false` only those without a name.
    pub fn prunes(&self, image: &Image) -> bool {
        (self.dangling == Some(false) || is_dangling(image))
            && Self {
                dangling: None,
                ..self.clone()
            }
            .accepts(image)
    }
}

/// When an image was made.
pub fn made(image: &Image) -> Timestamp {
    time::parse(created(image)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn is_dangling(image: &Image) -> bool {
    image.tags.is_empty() && image.digests.is_empty()
}

/// Patterns are those of a shell, for the whole name or for the name without its tag.
fn fits(pattern: &str, name: &str) -> bool {
    let bare = name.rsplit_once(':').map_or(name, |(bare, _)| bare);
    let matches = |glob: Glob| {
        let matcher = glob.compile_matcher();
        matcher.is_match(name) || matcher.is_match(bare)
    };
    globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .is_ok_and(matches)
}

/// The filter `until`: a time, or a span before now (`24h`).
///
/// # Errors
/// When it is neither, or there are several.
pub fn until(filters: &Filters, now: Timestamp) -> Result<Option<Timestamp>> {
    match filters.get("until") {
        [] => Ok(None),
        [text] => {
            let ago = || {
                text.parse::<SignedDuration>()
                    .ok()
                    .and_then(|span| now.checked_sub(span).ok())
            };
            let time = time::parse_query(text).or_else(ago);
            time.map(Some).ok_or_else(|| {
                Error::BadRequest(format!("invalid value for \"until\" filter: {text}"))
            })
        }
        _ => Err(Error::BadRequest(
            "more than one until filter specified".into(),
        )),
    }
}

/// The names of images, for showing a container's.
#[derive(Clone, Debug, Default)]
pub struct ImageNames(HashMap<String, String>);

impl ImageNames {
    /// The names of these images.
    pub fn new(images: &[Image]) -> Self {
        let names = images.iter().flat_map(|image| {
            let names = image.tags.iter().chain(&image.digests);
            names.map(|name| (name.clone(), image.id.to_string()))
        });
        Self(names.collect())
    }

    /// The name by which a container asked for its image, as long as it still means that image; else the image's id.
    pub fn shown(&self, asked: &str, id: &str) -> String {
        let familiar =
            Reference::parse(asked).map(|reference| reference.with_default_tag().familiar());
        let named = familiar.is_ok_and(|name| self.0.get(&name).is_some_and(|found| found == id));
        let hex = id.strip_prefix("sha256:").unwrap_or(id);
        if named || (!asked.is_empty() && hex.starts_with(asked)) {
            asked.to_owned()
        } else {
            id.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use coracle_image::{Digest, ImageConfig};

    use super::*;

    fn image(seed: &str, tags: &[&str], created: &str) -> Image {
        let mut config = ImageConfig {
            created: Some(created.into()),
            ..ImageConfig::default()
        };
        config.config.labels = [("seed".to_owned(), seed.to_owned())].into();
        Image {
            id: Digest::of(seed.as_bytes()),
            config,
            tags: tags.iter().map(ToString::to_string).collect(),
            digests: Vec::new(),
            layers: Vec::new(),
            layer_sizes: Vec::new(),
            size: 0,
            bundled: false,
        }
    }

    fn images() -> [Image; 3] {
        [
            image(
                "a",
                &["busybox:1", "busybox:latest"],
                "2026-01-03T00:00:00Z",
            ),
            image("b", &["coracle/os-console:v1"], "2026-01-02T00:00:00Z"),
            image("c", &[], "2026-01-01T00:00:00Z"),
        ]
    }

    const NOW: &str = "2026-01-03T12:00:00Z";

    #[test]
    fn filters_choose_images() {
        for (json, listed, pruned) in [
            ("{}", "abc", "c"),
            (r#"{"dangling":["true"]}"#, "c", "c"),
            (r#"{"dangling":["false"]}"#, "ab", "abc"),
            (r#"{"label":["seed=b"]}"#, "b", ""),
            (r#"{"label!":["seed=b"],"dangling":["false"]}"#, "a", "ac"),
            (r#"{"reference":["busybox"]}"#, "a", ""),
            (r#"{"reference":["busy*:latest","*/os-*"]}"#, "ab", ""),
            (r#"{"reference":["*"]}"#, "a", ""),
            (r#"{"until":["24h"]}"#, "bc", "c"),
            (r#"{"until":["2026-01-02T00:00:00Z"]}"#, "c", "c"),
        ] {
            let filter =
                ImageFilter::new(Filters::parse(json).unwrap(), NOW.parse().unwrap()).unwrap();
            let chosen = |test: &dyn Fn(&Image) -> bool| -> String {
                images()
                    .iter()
                    .filter(|image| test(image))
                    .map(|image| labels(image)["seed"].clone())
                    .collect()
            };
            let found = (
                chosen(&|image| filter.accepts(image)),
                chosen(&|image| filter.prunes(image)),
            );
            assert_eq!(found, (listed.to_owned(), pruned.to_owned()), "{json}");
        }
    }

    #[test]
    fn a_list_by_name_shows_the_names_that_fit() {
        let image = Image {
            tags: vec!["one:1".into(), "busybox:latest".into()],
            ..images()[0].clone()
        };
        for (json, expected) in [
            ("{}", &["one:1", "busybox:latest"][..]),
            (r#"{"reference": ["one*"]}"#, &["one:1"]),
            (r#"{"reference": ["busybox", "none"]}"#, &["busybox:latest"]),
        ] {
            let filters = Filters::parse(json).unwrap();
            let filter = ImageFilter::new(filters, NOW.parse().unwrap()).unwrap();
            assert_eq!(filter.narrowed(image.clone()).tags, expected, "{json}");
        }
    }

    #[test]
    fn times_are_points_or_spans() {
        let now: Timestamp = NOW.parse().unwrap();
        for (text, expected) in [
            ("1767225600", Some("2026-01-01T00:00:00Z")),
            ("2026-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z")),
            ("12h", Some("2026-01-03T00:00:00Z")),
            ("1h30m", Some("2026-01-03T10:30:00Z")),
            ("soon", None),
        ] {
            let filters =
                Filters::parse(&serde_json::json!({"until": [text]}).to_string()).unwrap();
            let time = until(&filters, now)
                .ok()
                .flatten()
                .map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_name_is_shown_while_it_means_the_image() {
        let names = ImageNames::new(&images());
        let (a, b) = (Digest::of(b"a").to_string(), Digest::of(b"b").to_string());
        for (asked, id, expected) in [
            ("busybox", &a, "busybox"),
            (
                "docker.io/library/busybox:1",
                &a,
                "docker.io/library/busybox:1",
            ),
            ("busybox", &b, b.as_str()),
            ("gone", &a, a.as_str()),
            (&a[7..19], &a, &a[7..19]),
            (a.as_str(), &a, a.as_str()),
        ] {
            assert_eq!(names.shown(asked, id), expected);
        }
    }
}
