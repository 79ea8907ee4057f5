//! `docker logs`, `docker attach`.

use crate::host::Host;

#[test]
fn logs_are_kept_chosen_and_followed() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --name ll busybox sh -c 'for i in 1 2 3; do echo line$i; done; sleep 0.1; echo err >&2; sleep 0.1; printf unfinished' >/dev/null 2>&1
$ docker logs ll 2>&1 >/dev/null
err
$ docker logs ll 2>/dev/null
line1
line2
line3
unfinished
$ docker logs --tail 2 ll 2>&1 >/dev/null
err
$ docker logs -n 0 ll
$ docker logs --since 2020-01-01T00:00:00Z --until 2020-01-02T00:00:00Z ll
$ docker logs -t ll 2>/dev/null | head -n 1
<time> line1
$ docker logs none
Error response from daemon: No such container: none
[1]
$ docker run -d --name ff busybox sh -c 'for i in 1 2 3; do echo line$i; sleep 0.2; done'; docker logs -f ff; docker rm ff
<id>
line1
line2
line3
ff
$ docker run --rm --log-driver none --name quiet busybox echo hi
hi
$ docker create --log-driver none --name nolog busybox true; docker logs nolog
<id>
Error response from daemon: configured logging driver does not support reading
[1]
"#,
    );
}

#[test]
fn rotation_keeps_the_newest_entries() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --name rr --log-opt max-size=20k --log-opt max-file=3 busybox sh -c 'i=0; while [ $i -lt 200 ]; do seq $i $((i+9)); i=$((i+10)); sleep 0.002; done' >/dev/null
$ docker logs rr | tail -n 1
199
$ ls root/containers/*/ | grep -c json.log
1
"#,
    );
    let (lines, _) = host.shell("docker run --name big --log-opt max-size=20k --log-opt max-file=3 busybox sh -c 'for i in $(seq 100); do seq 100; sleep 0.001; done' >/dev/null; docker logs big | tail -n 1; ls root/containers/*/*json.log* | wc -l");
    assert_eq!(
        lines, "100\n4\n",
        "three files of one container and one of the other"
    );
}

#[test]
fn a_slow_reader_loses_nothing_and_costs_no_memory() {
    let Some(host) = Host::start() else { return };
    let pss = || {
        let text = std::fs::read_to_string(format!(
            "/proc/{}/smaps_rollup",
            host.pid().as_raw_nonzero()
        ))
        .unwrap();
        let line = text
            .lines()
            .find_map(|line| {
                line.strip_prefix("Pss_Dirty:")
                    .or(line.strip_prefix("Pss:"))
            })
            .unwrap();
        line.split_whitespace()
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    host.session("$ docker run -d --name idle busybox sleep 1000\n<id>\n");
    let before = pss();
    let (output, code) = host.shell(
        "docker run --rm --log-driver none busybox sh -c 'head -c 200000000 /dev/zero' | (sleep 1; wc -c)",
    );
    assert_eq!((output.trim(), code), ("200000000", 0));
    assert!(
        pss() < before + 8 * 1024,
        "{} kB before, {} kB after",
        before,
        pss()
    );
}

#[test]
fn clients_attach_to_streams() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker create --name ss -i busybox cat; echo hello | docker start -ai ss
<id>
hello
$ docker run -d -i --name in busybox sh -c 'while read line; do echo "got $line"; done'
<id>
$ (echo one; sleep 0.5) | (timeout -s KILL 2 docker attach --sig-proxy=false in; true) 2>/dev/null
got one
$ docker inspect -f '{{.State.Running}}' in
true
$ docker attach ss
You cannot attach to a stopped container, start it first
[1]
$ docker run -d --name two busybox sh -c 'sleep 0.5; echo both'; docker attach two & docker attach two; wait
<id>
both
both
"#,
    );
}
