//! Pulling the image of a service (inventory D2-019).

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt as _;

use crate::Error;
use crate::engine::Engine;

/// Has the engine pull an image.
///
/// # Errors
/// When the engine cannot or does not pull.
pub async fn pull(engine: &Engine, image: &str) -> Result<(), Error> {
    let (name, tag) = split_tag(image);
    let options = CreateImageOptionsBuilder::default().from_image(name);
    let options = match tag {
        Some(tag) => options.tag(tag),
        None => options,
    };
    let progress = engine
        .docker()
        .create_image(Some(options.build()), None, None);
    progress
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
        .map_err(|e| engine.failed("pull image", image, e))
}

/// Name and tag; without a tag `latest`, because an engine takes a bare name for all tags. A digest stays in the name.
fn split_tag(image: &str) -> (&str, Option<&str>) {
    if image.contains('@') {
        return (image, None);
    }
    match image.rsplit_once(':') {
        // "host:5000/name" has a port and no tag.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, Some("latest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_from_ports() {
        let table = [
            ("a", ("a", Some("latest"))),
            ("a/b:v1", ("a/b", Some("v1"))),
            ("host:5000/a", ("host:5000/a", Some("latest"))),
            ("host:5000/a:v1", ("host:5000/a", Some("v1"))),
            ("a@sha256:00", ("a@sha256:00", None)),
        ];
        for (image, want) in table {
            assert_eq!(split_tag(image), want, "{image}");
        }
    }
}
