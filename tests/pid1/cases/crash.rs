//! An engine that ends, politely or not, and begins again on the same directory.

use crate::host::Host;

#[test]
fn containers_stop_in_reverse_order_and_policies_bring_them_back() {
    let Some(mut host) = Host::start() else {
        return;
    };
    host.session(
        r#"
$ for name in first second third; do docker run -d --restart always --name $name -v log:/log busybox sh -c "trap 'echo $name >>/log/order; exit 0' TERM; touch /log/$name; while :; do sleep 0.05; done" >/dev/null; timeout 20 sh -c "until docker exec $name test -e /log/$name; do :; done"; done
$ docker run -d --restart unless-stopped --name stopped busybox sleep 1000 >/dev/null; docker stop -t 0 stopped
stopped
$ docker run -d --name plain busybox sleep 1000
<id>
"#,
    );
    host.restart(true);
    host.session(
        r#"
$ cat root/volumes/log/_data/order
third
second
first
$ timeout 20 sh -c 'until [ "$(docker ps -q | wc -l)" = 3 ]; do :; done'; docker ps --format '{{.Names}}' | sort
first
second
third
$ docker ps -a --filter status=exited --format '{{.Names}} {{.Status}}' | sort
plain Exited (137) <ago> ago
stopped Exited (137) <ago> ago
"#,
    );
}

#[test]
fn a_killed_engine_finds_its_containers_ended() {
    let Some(mut host) = Host::start() else {
        return;
    };
    host.session(
        r#"
$ docker run -d --name one busybox sleep 1000; docker run -d --rm --name gone busybox sleep 1000; docker create --name idle -v vol:/v busybox true
<id>
<id>
<id>
$ docker run -d --restart always --name back busybox sleep 1000
<id>
"#,
    );
    host.restart(false);
    host.session(
        r#"
$ timeout 20 sh -c 'until docker ps -a --format "{{.Names}}" | grep -qv gone && docker ps -q | grep -q .; do :; done'; docker ps -a --format '{{.Names}} {{.Status}}' | sort
back Up <ago>
idle Created
one Exited (255) <ago> ago
$ docker start one; docker rm -f one back idle; docker volume ls -q; docker images -q
one
one
back
idle
vol
<id>
"#,
    );
}

#[test]
fn damaged_files_are_left_out_and_reported() {
    let Some(mut host) = Host::start() else {
        return;
    };
    host.session("$ docker create --name good busybox true; docker create --name bad busybox true\n<id>\n<id>\n");
    let (id, _) = host.shell("docker inspect -f '{{.Id}}' bad");
    std::fs::write(
        host.path("root/containers")
            .join(id.trim())
            .join("container.json"),
        "{\"id\":",
    )
    .unwrap();
    host.restart(true);
    host.session("$ docker ps -a --format '{{.Names}}'\ngood\n");
    assert!(host.log().contains("container left out"), "{}", host.log());
}
