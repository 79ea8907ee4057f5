use serde_json::json;

use super::*;

fn parse(definition: Value) -> (Option<Service>, Vec<String>) {
    let mut problems = Vec::new();
    let environment = Environment::from_config(&json!({"environment": {"TAG": "v1"}}), "6.12");
    let service = service("s", &definition, &environment, &mut problems);
    (service, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn what_cannot_be_used_is_named_and_left_out() {
    let (service, problems) = parse(json!({
        "image": "i:$TAG",
        "imagee": "typo",
        "colour": "blue",
        "depends_on": ["x"],
        "build": ".",
        "tty": "perhaps",
        "mem_limit": "much",
        "volumes": ["relative"],
        "devices": ["fuse"],
        "ulimits": {"nofile": {"soft": 1}},
        "restart": "sometimes",
        "hostname": "${UNSET}",
        "command": null,
        "labels": ["io.rancher.os.detach=maybe"],
    }));
    let expected = Service {
        name: "s".into(),
        container_name: "s".into(),
        image: "i:v1".into(),
        hostname: Some(String::new()),
        labels: [("io.rancher.os.detach".to_string(), "maybe".to_string())].into(),
        ..Service::default()
    };
    assert_eq!(service, Some(expected));
    assert_eq!(
        problems,
        [
            "service s: imagee: unknown key (did you mean image?); ignored",
            "service s: colour: unknown key; ignored",
            "service s: depends_on: not part of compose v1; use the label io.rancher.os.after; ignored",
            "service s: build: images are not built on this machine; build elsewhere and name the result in 'image'; ignored",
            "service s: tty: expected true or false, found 'perhaps'; ignored",
            "service s: mem_limit: 'much' is not a size such as 512m or 1g; ignored",
            "service s: volumes: 'relative' is not a volume; write /host/path:/container/path[:ro|shared|...]; ignored",
            "service s: devices: 'fuse' is not a device; write /dev/host[:/dev/container][:rwm]; ignored",
            "service s: ulimits: nofile: 'hard' is missing; ignored",
            "service s: restart: 'sometimes' is not one of no, always, unless-stopped, on-failure[:N]; ignored",
            "service s: hostname: variable UNSET is not set in rancher.environment; taken as empty",
            "service s: labels.io.rancher.os.detach: expected true or false, found 'maybe'; ignored",
        ]
    );
}

#[test]
fn upstream_catalogue_spellings_are_understood() {
    // The shapes that os-services files use: labels as a map with booleans, privileged as text (TestLenientServiceParsing).
    let (service, problems) = parse(json!({
        "image": "i",
        "privileged": "true",
        "restart": false,
        "labels": {"io.rancher.os.scope": "system", "io.rancher.os.createonly": true, "io.rancher.os.after": "console"},
        "environment": {"A": "1", "B": null, "ECS_*": null},
        "volumes_from": "all-volumes",
        "entrypoint": "",
    }));
    assert_eq!(problems, [] as [String; 0]);
    let service = service.unwrap();
    assert!(service.privileged && service.steering.create_only);
    assert_eq!(service.restart, Restart::No);
    assert_eq!(service.volumes_from, ["all-volumes"]);
    assert_eq!(service.entrypoint, None);
    assert_eq!(
        service.environment,
        [
            Variable::Set("A".into(), "1".into()),
            Variable::Lookup("B".into()),
            Variable::Prefix("ECS_".into())
        ]
    );
}

#[test]
fn device_notation_matches_docker_run() {
    let device = |host: &str, container: &str, permissions: &str| Device {
        host: host.into(),
        container: container.into(),
        permissions: permissions.into(),
    };
    let table = [
        ("/dev/a", device("/dev/a", "/dev/a", "rwm")),
        ("/dev/a:r", device("/dev/a", "/dev/a", "r")),
        ("/dev/a:/dev/b", device("/dev/a", "/dev/b", "rwm")),
        ("/dev/a:/dev/b:rw", device("/dev/a", "/dev/b", "rw")),
    ];
    for (entry, want) in table {
        assert_eq!(devices(&json!([entry])), Ok(vec![want]), "{entry}");
    }
    for entry in ["/dev/a:/dev/b:x", "/dev/a:", "a", "/a:/b:r:w"] {
        assert!(devices(&json!([entry])).is_err(), "{entry}");
    }
}
