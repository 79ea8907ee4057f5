//! What a container takes over from its image.

use bollard_stubs::models::{ContainerConfig, HealthConfig};
use coracle_image::ImageConfig;

/// Fills what `config` leaves open with the image's defaults, by Docker's rules.
pub fn merge(config: &mut ContainerConfig, image: &ImageConfig) {
    let defaults = &image.config;
    let text = |mine: &mut Option<String>, theirs: &str| {
        if mine.as_deref().unwrap_or_default().is_empty() && !theirs.is_empty() {
            *mine = Some(theirs.to_owned());
        }
    };
    text(&mut config.user, &defaults.user);
    text(&mut config.working_dir, &defaults.working_dir);
    text(&mut config.stop_signal, &defaults.stop_signal);

    let env = config.env.get_or_insert_default();
    for entry in &defaults.env {
        let key = entry.split('=').next().unwrap_or_default();
        if !env.iter().any(|mine| mine.split('=').next() == Some(key)) {
            env.push(entry.clone());
        }
    }
    let labels = config.labels.get_or_insert_default();
    for (key, value) in &defaults.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    add(&mut config.exposed_ports, defaults.exposed_ports.keys());
    add(&mut config.volumes, defaults.volumes.keys());
    // Docker: shown as null.
    config.volumes = config.volumes.take().filter(|volumes| !volumes.is_empty());

    // A single empty word resets the image's entry point.
    let reset = config.entrypoint.as_deref() == Some(&[String::new()]);
    if reset {
        config.entrypoint = None;
    } else if config.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&defaults.cmd);
        }
        config.entrypoint.clone_from(&defaults.entrypoint);
    }
    if let Some(check) = &defaults.healthcheck
        && let Ok(theirs) = serde_json::from_value::<HealthConfig>(check.clone())
    {
        match &mut config.healthcheck {
            Some(mine) => merge_check(mine, theirs),
            mine => *mine = Some(theirs),
        }
    }
    if config.shell.is_none() {
        config.shell.clone_from(&defaults.shell);
    }
}

/// What a client changes of a check leaves the rest as the image has it.
fn merge_check(mine: &mut HealthConfig, theirs: HealthConfig) {
    if mine.test.as_ref().is_none_or(Vec::is_empty) {
        mine.test = theirs.test;
    }
    let number = |mine: &mut Option<i64>, theirs: Option<i64>| {
        if mine.unwrap_or(0) == 0 {
            *mine = theirs;
        }
    };
    number(&mut mine.interval, theirs.interval);
    number(&mut mine.timeout, theirs.timeout);
    number(&mut mine.retries, theirs.retries);
    number(&mut mine.start_period, theirs.start_period);
    number(&mut mine.start_interval, theirs.start_interval);
}

fn add<'a>(list: &mut Option<Vec<String>>, more: impl Iterator<Item = &'a String>) {
    for entry in more {
        let list = list.get_or_insert_default();
        if !list.contains(entry) {
            list.push(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn entry_point_and_command_go_together() {
        let mut image = ImageConfig::default();
        image.config.entrypoint = words(&["/entry"]);
        image.config.cmd = words(&["default"]);
        let table = [
            (None, None, words(&["/entry"]), words(&["default"])),
            (None, words(&["mine"]), words(&["/entry"]), words(&["mine"])),
            (words(&["/other"]), None, words(&["/other"]), None),
            (words(&[""]), words(&["sh"]), None, words(&["sh"])),
        ];
        for (entrypoint, cmd, wanted_entrypoint, wanted_cmd) in table {
            let mut config = ContainerConfig {
                entrypoint,
                cmd,
                ..ContainerConfig::default()
            };
            merge(&mut config, &image);
            assert_eq!(
                (config.entrypoint, config.cmd),
                (wanted_entrypoint, wanted_cmd)
            );
        }
    }

    #[test]
    fn a_changed_check_keeps_the_rest_of_the_images() {
        let mut image = ImageConfig::default();
        image.config.healthcheck =
            Some(serde_json::json!({"Test": ["CMD", "image"], "Interval": 5, "Retries": 2}));
        let check = |json| serde_json::from_value::<HealthConfig>(json).unwrap();
        for (mine, expected) in [
            (
                None,
                serde_json::json!({"Test": ["CMD", "image"], "Interval": 5, "Retries": 2}),
            ),
            (
                Some(serde_json::json!({"Interval": 7})),
                serde_json::json!({"Test": ["CMD", "image"], "Interval": 7, "Retries": 2}),
            ),
            (
                Some(serde_json::json!({"Test": ["NONE"]})),
                serde_json::json!({"Test": ["NONE"], "Interval": 5, "Retries": 2}),
            ),
        ] {
            let mut config = ContainerConfig {
                healthcheck: mine.map(check),
                ..ContainerConfig::default()
            };
            merge(&mut config, &image);
            assert_eq!(config.healthcheck, Some(check(expected)));
        }
    }

    #[test]
    fn the_containers_words_win_over_the_images() {
        let mut image = ImageConfig::default();
        image.config.user = "app".into();
        image.config.env = vec!["A=image".into(), "B=image".into()];
        image.config.labels = [("l".to_owned(), "image".to_owned())].into();
        image.config.volumes = [("/data".to_owned(), serde_json::json!({}))].into();
        let mut config = ContainerConfig {
            env: words(&["A=mine"]),
            labels: Some([("l".to_owned(), "mine".to_owned())].into()),
            ..ContainerConfig::default()
        };
        merge(&mut config, &image);
        assert_eq!(config.user.as_deref(), Some("app"));
        assert_eq!(config.env, words(&["A=mine", "B=image"]));
        assert_eq!(config.labels.unwrap()["l"], "mine");
        assert_eq!(config.volumes, words(&["/data"]));
    }
}
