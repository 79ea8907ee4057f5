//! Tags of log entries: a text with fields in Go's template notation (`{{.Name}}/{{.ID}}`).

use crate::error::{Error, Result};
use crate::id;
use crate::record::Record;

/// Fills in a container's fields.
///
/// # Errors
/// For anything but a known field.
pub fn render(template: &str, record: &Record) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once("{{") {
        let (expression, after) = after.split_once("}}").ok_or_else(|| {
            Error::Invalid(format!(
                "template: log-tag: unclosed action in \"{template}\""
            ))
        })?;
        out.push_str(text);
        out.push_str(&field(expression.trim(), record)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn field(expression: &str, record: &Record) -> Result<String> {
    let image = record.image_id.trim_start_matches("sha256:");
    let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
    Ok(match expression {
        ".ID" => id::short(&record.id).to_owned(),
        ".FullID" | ".ContainerID" => record.id.clone(),
        ".Name" => record.name.clone(),
        ".ContainerName" => format!("/{}", record.name),
        ".ImageID" => short(image),
        ".ImageFullID" | ".ContainerImageID" => record.image_id.clone(),
        ".ImageName" | ".ContainerImageName" => record.config.image.clone().unwrap_or_default(),
        ".DaemonName" => "docker".to_owned(),
        ".Command" => record.command().join(" "),
        ".Hostname" => rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        other => {
            return Err(Error::Invalid(format!(
                "template: log-tag: can't evaluate {other} in type *logger.Info"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::ContainerConfig;

    use super::*;

    #[test]
    fn fields_are_filled_in() {
        let record = Record {
            id: "0123456789abcdef".into(),
            name: "web".into(),
            image_id: "sha256:fedcba9876543210".into(),
            config: ContainerConfig {
                image: Some("busybox".into()),
                cmd: Some(vec!["sh".into(), "-c".into()]),
                ..ContainerConfig::default()
            },
            ..Record::default()
        };
        for (template, expected) in [
            ("plain", "plain"),
            (
                "{{.ImageName}}/{{.Name}}/{{ .ID }}",
                "busybox/web/0123456789ab",
            ),
            ("{{.FullID}} {{.ImageID}}", "0123456789abcdef fedcba987654"),
            ("<{{.Command}}>", "<sh -c>"),
        ] {
            assert_eq!(render(template, &record).unwrap(), expected, "{template}");
        }
        for template in ["{{.Name", "{{.Nope}}", "{{index .Config}}"] {
            assert!(render(template, &record).is_err(), "{template}");
        }
    }
}
