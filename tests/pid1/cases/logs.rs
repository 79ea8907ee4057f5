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
fn every_driver_is_read_or_says_why_not() {
    let Some(host) = Host::start() else { return };
    let socket = std::os::unix::net::UnixDatagram::bind(host.path("syslog")).unwrap();
    host.session(
        r#"
$ docker run --name local --log-driver local --log-opt max-size=4k --log-opt max-file=3 busybox sh -c 'i=0; while [ $i -lt 30 ]; do seq $i $((i+9)); i=$((i+10)); sleep 0.01; done' >/dev/null; docker logs -n 3 local; docker inspect -f '{{.HostConfig.LogConfig.Type}} {{.LogPath}}' local
27
28
29
local
$ docker run --name packed --log-opt max-size=2k --log-opt max-file=50 --log-opt compress=true busybox sh -c 'i=0; while [ $i -lt 200 ]; do seq $i $((i+9)); i=$((i+10)); sleep 0.01; done' >/dev/null; docker logs packed | wc -l; docker logs packed | head -n 1; ls root/containers/*/*json.log*.gz | grep -c gz.new || true
200
0
0
$ docker run --log-driver syslog --log-opt syslog-address=unixgram://$PWD/syslog --log-opt syslog-format=rfc3164 --log-opt tag='{{.Name}}/{{.ImageName}}' --name sys busybox sh -c 'echo out; echo err >&2' >/dev/null 2>&1; docker logs sys 2>&1 | sort
err
out
$ docker run --rm --log-driver syslog --log-opt syslog-address=unixgram://$PWD/syslog --log-opt cache-disabled=true --name nocache -d busybox sleep 1000 >/dev/null; docker logs nocache
Error response from daemon: configured logging driver does not support reading
[1]
$ docker rm -f nocache; docker run --rm --log-driver syslog --log-opt syslog-address=tcp+gopher://x busybox true 2>&1 | head -n 1
nocache
docker: Error response from daemon: unsupported scheme: 'tcp+gopher'
$ docker run --rm --log-driver splunk busybox true 2>&1 | head -n 1
docker: Error response from daemon: error looking up logging plugin splunk: plugin "splunk" not found
$ docker run --name details -l a=1 -l b.x=2 -e E=3 --log-opt labels=a --log-opt labels-regex='^b' --log-opt env=E --log-opt tag='{{.Name}}' busybox echo hi >/dev/null; docker logs --details details
E=3,a=1,b.x=2,tag=details hi
"#,
    );
    let mut received = Vec::new();
    for _ in 0..2 {
        let mut buffer = [0; 512];
        let count = socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        let priority = text.split('>').next().unwrap_or_default().to_owned();
        let message = text
            .split("sys/busybox[")
            .nth(1)
            .and_then(|rest| rest.split("]: ").nth(1));
        received.push(format!("{priority} {}", message.unwrap_or(&text)));
    }
    received.sort();
    assert_eq!(received, ["<27 err\n", "<30 out\n"]);
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
