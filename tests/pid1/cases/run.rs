//! `docker run`: output, exit codes, failures to start.

use crate::host::Host;

#[test]
fn run_gives_output_and_exit_code() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --rm busybox echo hi
hi
$ docker run --rm busybox sh -c 'echo out; sleep 0.1; echo err >&2; exit 7'
out
err
[7]
$ echo input | docker run -i --rm busybox cat
input
$ docker run --rm --entrypoint echo busybox hi there
hi there
$ docker run --rm -e A=1 -w /made/here -u rancher busybox sh -c 'echo $A; pwd; id'
1
/made/here
uid=1100(rancher) gid=1100(rancher) groups=1100(rancher),1101(docker)
$ docker run --rm busybox sh -c 'seq 1 200000' | tail -n 1
200000
$ docker run --rm busybox sh -c 'dd if=/dev/zero bs=1M count=20 2>/dev/null' | wc -c
20971520
$ docker ps -a --format '{{.Names}}'
"#,
    );
}

#[test]
fn a_program_that_cannot_run_is_told_in_dockers_words() {
    let Some(host) = Host::start() else { return };
    let start = "docker: Error response from daemon: failed to create task for container:";
    for (program, reason, code) in [
        (
            "nosuch",
            "exec: \"nosuch\": executable file not found in $PATH",
            127,
        ),
        (
            "/no/such",
            "exec: \"/no/such\": stat /no/such: no such file or directory",
            127,
        ),
        ("/bin", "exec: \"/bin\": ", 126),
        (
            "/bin/not-executable",
            "exec: \"/bin/not-executable\": permission denied",
            126,
        ),
    ] {
        let (output, got) = host.shell(&format!("docker run --rm --name gone busybox {program}"));
        assert!(output.starts_with(start), "{output}");
        assert!(output.contains(reason), "{output}");
        assert_eq!(got, code, "{output}");
    }
    host.session(
        r#"
$ docker run --name kept busybox nosuch >/dev/null 2>&1
[127]
$ docker ps -a --format '{{.Names}} {{.Status}}'
kept Created
$ docker inspect -f '{{.State.ExitCode}} {{.State.Status}}' kept
127 created
$ docker rm kept
kept
"#,
    );
}

#[test]
fn wrong_requests_are_refused_in_dockers_words() {
    let Some(host) = Host::start() else { return };
    let hint = "\nRun 'docker run --help' for more information\n[125]";
    host.session(
        &r#"
$ docker run --rm --name x/y busybox true
docker: Error response from daemon: Invalid container name (x/y), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed
HINT
$ docker run --rm -v a:b:c:d busybox true
docker: Error response from daemon: invalid volume specification: 'a:b:c:d'
HINT
$ docker run --rm -v /a:/x -v /b:/x busybox true
docker: Error response from daemon: Duplicate mount point: /x
HINT
$ docker run --rm --mount type=bind,src=/no/such,dst=/x busybox true
docker: Error response from daemon: invalid mount config for type "bind": bind source path does not exist: /no/such
HINT
$ docker run --rm --network foo busybox true
docker: Error response from daemon: failed to set up container networking: network foo not found
HINT
$ docker run --rm --network container:foo busybox true
docker: Error response from daemon: joining network namespace of container: No such container: foo
HINT
$ docker run --rm -m 1k busybox true
docker: Error response from daemon: Minimum memory limit allowed is 6MB
HINT
$ docker run --rm -u nobody busybox true
docker: Error response from daemon: unable to find user nobody: no matching entries in passwd file
HINT
$ docker run --rm --stop-signal NOPE busybox true
docker: Error response from daemon: invalid signal: NOPE
HINT
$ docker run --rm --log-driver nope busybox true
docker: Error response from daemon: error looking up logging plugin nope: plugin "nope" not found
HINT
$ docker create --name twice busybox true
<id>
$ docker create --name twice busybox true
Error response from daemon: Conflict. The container name "/twice" is already in use by container "<id>". You have to remove (or rename) that container to be able to reuse that name.
[1]
$ docker run --restart always --name once busybox true; docker inspect -f '{{.State.Restarting}}' once >/dev/null; docker rm -f once
once
"#
        .replace("\nHINT", &format!("\n{hint}").replacen("\n\n", "\n\n", 1)),
    );
}
