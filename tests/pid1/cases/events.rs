//! `docker events`.

use crate::host::Host;

#[test]
fn a_containers_life_is_told_in_order() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --rm --name life busybox sh -c 'exit 3'
[3]
$ docker events --since 2020-01-01T00:00:00Z --until "$(date -u +%Y-%m-%dT%H:%M:%S.999999999Z)" --filter type=container --format '{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}'
create life <no value>
attach life <no value>
start life <no value>
die life 3
destroy life <no value>
$ docker run -d --name ee busybox sleep 1000 >/dev/null; docker exec ee true; docker rename ee ff; docker kill ff >/dev/null; docker wait ff >/dev/null; docker rm ff >/dev/null
$ docker events --since 2020-01-01T00:00:00Z --until "$(date -u +%Y-%m-%dT%H:%M:%S.999999999Z)" --filter container=ff --filter container=ee --format '{{.Action}}' | grep -v attach
create
start
exec_create: true
exec_start: true
exec_die
rename
kill
die
destroy
$ docker events --since 2020-01-01T00:00:00Z --until "$(date -u +%Y-%m-%dT%H:%M:%S.999999999Z)" --filter type=image --format '{{.Action}} {{.Actor.Attributes.name}}'
load busybox:latest
"#,
    );
}
