//! Health checks.

use crate::host::Host;

#[test]
fn probes_decide_about_the_health() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name hh --health-cmd 'echo probe; test -e /tmp/ok' --health-interval 400ms --health-retries 2 --health-start-period 1ms busybox sleep 1000
<id>
$ until [ "$(docker inspect -f '{{.State.Health.Status}} {{len .State.Health.Log}}' hh)" = 'unhealthy 5' ]; do :; done; docker ps --filter health=unhealthy --format '{{.Names}} {{.Status}}'
hh Up <ago> (unhealthy)
$ docker exec hh touch /tmp/ok; until [ "$(docker inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' hh)" = 'healthy 0' ]; do :; done; docker ps --format '{{.Names}} {{.Status}}'
hh Up <ago> (healthy)
$ docker ps --filter health=starting --filter health=none -q
$ docker inspect -f '{{(index .State.Health.Log 4).ExitCode}} {{json (index .State.Health.Log 4).Output}}' hh
0 "probe\n"
$ docker events --since 2020-01-01T00:00:00Z --until "$(date -u +%Y-%m-%dT%H:%M:%S.999999999Z)" --filter container=hh --filter event=health_status --format '{{.Action}}'
health_status: unhealthy
health_status: healthy
$ docker events --since 2020-01-01T00:00:00Z --until "$(date -u +%Y-%m-%dT%H:%M:%S.999999999Z)" --filter container=hh --format '{{.Action}} {{.Actor.Attributes.exitCode}}' | grep -A2 exec_create | head -3
exec_create: /bin/sh -c echo probe; test -e /tmp/ok <no value>
exec_start: /bin/sh -c echo probe; test -e /tmp/ok <no value>
exec_die 1
$ docker stop -t 0 hh; docker inspect -f '{{.State.Health.Status}}' hh
hh
unhealthy
$ docker start hh; until docker inspect -f '{{.State.Health.Status}}' hh | grep -qx healthy; do :; done; docker rm -f hh
hh
hh
"#,
    );
}

#[test]
fn probes_that_hang_or_cannot_run_have_failed() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name slow --health-cmd 'sleep 1000' --health-interval 50ms --health-timeout 100ms --health-retries 1 busybox sleep 1001
<id>
$ until docker inspect -f '{{.State.Health.Status}}' slow | grep -q unhealthy; do :; done; docker inspect -f '{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}' slow
-1 Health check exceeded timeout (100ms)
$ docker pause slow; docker ps --format '{{.Status}}'; docker unpause slow; docker rm -f slow
slow
Up <ago> (Paused)
slow
slow
$ docker run -d --name none --no-healthcheck busybox sleep 1000; docker inspect -f '{{.State.Health}}' none; docker ps --filter health=none --format '{{.Names}}'; docker rm -f none
<id>
<nil>
none
none
"#,
    );
}

#[test]
fn the_health_survives_the_engine() {
    let Some(mut host) = Host::start() else {
        return;
    };
    host.session(
        r#"
$ docker run -d --name hh --restart always --health-cmd true --health-interval 50ms busybox sleep 1000
<id>
$ until docker inspect -f '{{.State.Health.Status}}' hh | grep -qx healthy; do :; done
"#,
    );
    host.restart(false);
    host.session(
        r#"
$ docker inspect -f '{{if .State.Health.Log}}kept{{end}}' hh
kept
$ until docker inspect -f '{{.State.Health.Status}}' hh | grep -qx healthy; do :; done; docker rm -f hh
hh
"#,
    );
}
