//! What containers must do.

use std::fs::{self, File};
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use coracle_runtime::{FailureKind, capabilities};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::bench::{Bench, Ended, ended, run, wait};
use crate::system_calls::{self, CLONE3, KEYCTL};
use crate::{devices, mounts};

type Case = (&'static str, fn());

pub const ALL: &[Case] = &[
    ("a_container_runs_restricted_like_dockers", restricted),
    ("a_user_has_no_capabilities", user_without_capabilities),
    (
        "the_default_profile_filters_system_calls",
        system_calls::filtered,
    ),
    ("capabilities_open_the_filter", system_calls::opened),
    (
        "the_device_filter_refuses_what_the_rules_do",
        devices::rules,
    ),
    (
        "a_privileged_container_may_use_every_device",
        devices::privileged,
    ),
    (
        "devices_are_made_as_they_are_asked_for_whoever_runs",
        devices::nodes,
    ),
    ("an_added_process_is_restricted_the_same", exec_restricted),
    ("an_added_process_that_cannot_start_says_why", exec_failures),
    (
        "a_container_that_cannot_start_says_why_and_leaves_nothing",
        create_failures,
    ),
    (
        "a_program_of_the_wrong_format_fails_after_the_start",
        exec_format,
    ),
    ("descriptors_are_handed_over_with_listen_pid", listen_fds),
    ("a_terminal_comes_over_the_console_socket", terminal),
    (
        "a_shared_mount_reaches_the_host",
        mounts::shared_reaches_the_host,
    ),
    (
        "mounts_beside_a_shared_one_stay_inside",
        mounts::others_stay_inside,
    ),
    (
        "an_added_terminal_has_its_size_and_belongs_to_its_user",
        exec_terminal,
    ),
    ("a_user_may_open_its_own_streams", own_streams),
    ("no_new_privileges_comes_with_the_filter", no_new_privileges),
    ("a_user_namespace_works", user_namespace),
    ("many_containers_can_be_made_at_once", many),
    ("the_command_line_is_runcs", command_line),
];

fn restricted() {
    let ended = run(
        "grep -E '^(Cap|Seccomp:|NoNewPrivs|SigIgn|SigBlk|Umask)' /proc/self/status; id -u; \
                     cat /proc/sys/kernel/hostname; exit 3",
    );
    assert_eq!(
        ended,
        Ended {
            code: 3,
            output: "Umask:\t0022\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nCapInh:\t0000000000000000\n\
                     CapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n\
                     CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n0\nbox\n"
                .into()
        }
    );
    let mut bench = Bench::new("");
    bench.process()["args"] = json!(["env"]);
    assert_eq!(
        bench.run().unwrap().output,
        "PATH=/bin\nZ=1\nA=2\nHOME=/root\n"
    );
}

fn user_without_capabilities() {
    let mut bench =
        Bench::new("id; grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status; cat /etc/secret");
    fs::write(bench.rootfs().join("etc/secret"), "x").unwrap();
    fs::set_permissions(
        bench.rootfs().join("etc/secret"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    bench.process()["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [5]});
    bench.process()["capabilities"] = json!(capabilities::process_sets(
        &capabilities::default_set(),
        1000
    ));
    let ended = bench.run().unwrap();
    assert_eq!(
        ended.output,
        "uid=1000 gid=1001 groups=5\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n\
         cat: can't open '/etc/secret': Permission denied\n"
    );
}

fn running(script: &str) -> (Bench, File) {
    let bench = Bench::new(&format!("{script}; exec sleep 1000"));
    let (_, mut output) = bench.create(None, vec![]).unwrap();
    bench.runtime.start(&bench.id).unwrap();
    let mut first = [0; 3];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"up\n");
    (bench, output)
}

fn exec_restricted() {
    let (mut bench, _output) = running("echo up");
    let mut process = bench.process().clone();
    let script = format!(
        "grep -E '^(CapBnd|CapEff|Seccomp:|SigIgn)' /proc/self/status; cat /proc/sys/kernel/hostname; pwd; {}; head -c 1 /tmp/k; exit 4",
        system_calls::attempt(&[KEYCTL, CLONE3])
    );
    process["args"] = json!(["sh", "-c", format!("mknod /tmp/k c 250 1; {script}")]);
    process["cwd"] = json!("/tmp");
    let ended = bench.exec(&process).unwrap();
    assert_eq!(
        ended,
        Ended {
            code: 4,
            output: "SigIgn:\t0000000000000000\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\nbox\n\
                     /tmp\n250 1\n435 38\nhead: /tmp/k: Operation not permitted\n"
                .into()
        }
    );
    // docker exec --privileged: all capabilities, same filter.
    let own = capabilities::own_bounding_set().unwrap();
    process["capabilities"] = json!(capabilities::process_sets(&own, 0));
    process["args"] = json!(["grep", "-c", "CapEff:.*a80425fb", "/proc/self/status"]);
    assert_eq!(bench.exec(&process).unwrap().output, "0\n");
}

fn exec_failures() {
    let (mut bench, _output) = running("echo up");
    let process = bench.process().clone();
    let attempt = |change: &dyn Fn(&mut Value)| {
        let mut process = process.clone();
        change(&mut process);
        bench.exec(&process).unwrap_err()
    };
    let missing = attempt(&|p| p["args"] = json!(["nope"]));
    assert_eq!(
        missing.exec_message(),
        "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\": executable file not \
         found in $PATH"
    );
    assert_eq!(missing.exit_code(), 127);
    let denied = attempt(&|p| p["args"] = json!(["/etc/passwd"]));
    assert_eq!(
        (denied.message.as_str(), denied.exit_code()),
        ("exec: \"/etc/passwd\": permission denied", 126)
    );
    let nowhere = attempt(&|p| p["cwd"] = json!("/nowhere"));
    assert_eq!(
        (nowhere.message.as_str(), nowhere.exit_code()),
        (
            "chdir to cwd (\"/nowhere\") set in config.json failed: no such file or directory",
            127
        )
    );
    // And the next one works.
    let mut fine = process.clone();
    fine["args"] = json!(["sh", "-c", "echo fine"]);
    assert_eq!(
        bench.exec(&fine).unwrap(),
        Ended {
            code: 0,
            output: "fine\n".into()
        }
    );
}

fn create_failures() {
    let mut bench = Bench::new("true");
    let good = bench.config.clone();
    let cases: [(&str, Value, FailureKind, &str); 6] = [
        (
            "/process/args",
            json!(["nope"]),
            FailureKind::NotFound,
            "exec: \"nope\": executable file not found in $PATH",
        ),
        (
            "/process/args",
            json!(["/bin"]),
            FailureKind::NotExecutable,
            "exec: \"/bin\": is a directory",
        ),
        (
            "/process/cwd",
            json!("/x"),
            FailureKind::NotFound,
            "chdir to cwd (\"/x\") set in config.json failed: no such file or directory",
        ),
        (
            "/root/path",
            json!("gone"),
            FailureKind::Other,
            "root.path gone: No such file or directory (os error 2)",
        ),
        (
            "/process/terminal",
            json!(true),
            FailureKind::Other,
            "cannot allocate tty if youki will detach without setting console socket",
        ),
        (
            "/mounts/4/source",
            json!("/nonexistent"),
            FailureKind::Other,
            "",
        ),
    ];
    for (pointer, value, kind, message) in cases {
        bench.config = good.clone();
        *bench.config.pointer_mut(pointer).unwrap() = value;
        let failure = bench.run().unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        if message.is_empty() {
            assert!(failure.message.contains("/nonexistent"), "{failure}");
        } else {
            assert_eq!(failure.message, message);
        }
        assert!(!bench.runtime.state_dir(&bench.id).exists(), "{pointer}");
        assert!(!bench.path("pid").exists(), "{pointer}");
    }
    bench.config = good;
    assert_eq!(
        bench.run().unwrap(),
        Ended {
            code: 0,
            output: String::new()
        }
    );
    bench.runtime.delete(&bench.id).unwrap();
    assert_eq!(
        fs::read_dir(bench.path("state/.bundles")).unwrap().count(),
        0
    );
}

fn exec_format() {
    let mut bench = Bench::new("");
    fs::write(bench.rootfs().join("bin/bad"), "neither ELF nor script").unwrap();
    fs::set_permissions(
        bench.rootfs().join("bin/bad"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    bench.process()["args"] = json!(["bad"]);
    assert_eq!(
        bench.run().unwrap(),
        Ended {
            code: 255,
            output: "exec /bin/bad: exec format error\n".into()
        }
    );
}

fn listen_fds() {
    let mut bench = Bench::new("echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4; ls /proc/1/fd");
    bench.process()["env"] = json!(["PATH=/bin", "LISTEN_FDS=2"]);
    let file = |text: &str| {
        let path = bench.path(text);
        File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        OwnedFd::from(File::open(path).unwrap())
    };
    let (pid, output) = bench
        .create(None, vec![file("three"), file("four")])
        .unwrap();
    bench.runtime.start(&bench.id).unwrap();
    // 5 is that of ls itself.
    assert_eq!(
        ended(pid, output).output,
        "2 1\nthreefour0\n1\n2\n3\n4\n5\n"
    );
}

fn terminal() {
    let mut bench = Bench::new("tty; exit 5");
    bench.process()["terminal"] = json!(true);
    let socket = bench.path("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let (pid, _) = bench.create(Some(&socket), vec![]).unwrap();
    let mut master = receive_master(&listener);
    bench.runtime.start(&bench.id).unwrap();
    let mut text = [0; 32];
    let length = master.read(&mut text).unwrap();
    assert_eq!(String::from_utf8_lossy(&text[..length]), "/dev/pts/0\r\n");
    assert_eq!(wait(pid), 5);
}

fn receive_master(listener: &UnixListener) -> File {
    let (stream, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 64];
    let buffer = &mut [std::io::IoSliceMut::new(&mut bytes)];
    recvmsg(&stream, buffer, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let master = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    File::from(master.unwrap())
}

fn exec_terminal() {
    let (mut bench, _output) = running("echo up");
    let socket = bench.path("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut process = bench.process().clone();
    process["terminal"] = json!(true);
    process["consoleSize"] = json!({"height": 33, "width": 101});
    process["user"] = json!({"uid": 1000, "gid": 1000});
    process["capabilities"] = json!(capabilities::process_sets(
        &capabilities::default_set(),
        1000
    ));
    process["args"] = json!([
        "sh",
        "-c",
        "busybox stty size; tty; echo opened > /dev/tty; busybox stat -c %u $(tty)"
    ]);
    let (_, mut master) = bench
        .exec_with_console(&process, &socket, || receive_master(&listener))
        .unwrap();
    let mut text = Vec::new();
    // A terminal whose other end is closed gives EIO instead of an end.
    let _ = master.read_to_end(&mut text);
    assert_eq!(
        String::from_utf8_lossy(&text),
        "33 101\r\n/dev/pts/0\r\nopened\r\n1000\r\n"
    );
}

fn own_streams() {
    let mut bench = Bench::new("echo opened > /proc/self/fd/1");
    bench.process()["user"] = json!({"uid": 1000, "gid": 1000});
    assert_eq!(bench.run().unwrap().output, "opened\n");
}

fn no_new_privileges() {
    let mut bench = Bench::new(&format!(
        "grep -E '^(NoNewPrivs|Seccomp:)' /proc/self/status; {}",
        system_calls::attempt(&[KEYCTL])
    ));
    bench.process()["noNewPrivileges"] = json!(true);
    assert_eq!(
        bench.run().unwrap().output,
        "NoNewPrivs:\t1\nSeccomp:\t2\n250 1\n"
    );
}

fn user_namespace() {
    let mut bench = Bench::new("id -u; cat /proc/self/uid_map; grep ^CapEff /proc/self/status");
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bench.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user"}));
    bench.config["linux"]["uidMappings"] = map.clone();
    bench.config["linux"]["gidMappings"] = map;
    // The root must be able to pass the temporary directory.
    fs::set_permissions(bench.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        bench.run().unwrap().output,
        "0\n         0     100000      65536\nCapEff:\t00000000a80425fb\n"
    );
}

fn many() {
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                for code in 0..6 {
                    let bench = Bench::new(&format!("echo {code}; exit {code}"));
                    assert_eq!(
                        bench.run().unwrap(),
                        Ended {
                            code,
                            output: format!("{code}\n")
                        }
                    );
                    bench.runtime.delete(&bench.id).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn command_line() {
    let bench = Bench::new("exec sleep 1000");
    fs::write(bench.path("bundle/config.json"), bench.config.to_string()).unwrap();
    let helper = |command: &str, more: &[&str]| {
        let output = std::process::Command::new("/proc/self/exe")
            .args(["runtime", "--root"])
            .arg(bench.path("state"))
            .args([command, &bench.id])
            .args(more)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let good = (true, String::new());
    let bundle = bench.path("bundle").display().to_string();
    let pid_file = bench.path("pid");
    // Its output would be that of the container, which stays open: to nowhere instead.
    let status = std::process::Command::new("/proc/self/exe")
        .args(["runtime", "create", "--root"])
        .arg(bench.path("state"))
        .args(["--bundle", &bundle, "--pid-file"])
        .arg(&pid_file)
        .arg(&bench.id)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert_eq!(helper("start", &[]), good);
    let again = helper("create", &["--bundle", &bundle]);
    assert_eq!(
        again,
        (
            false,
            "coracle runtime: container already exists\n".to_owned()
        )
    );
    assert!(!helper("delete", &[]).0);
    assert_eq!(helper("delete", &["--force"]), good);
    assert_eq!(helper("delete", &["--force"]), good);
    assert_eq!(
        helper("nope", &[]),
        (
            false,
            "coracle runtime: unknown command nope: expected create, exec, start or delete\n"
                .to_owned()
        )
    );
    let pid = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(wait(rustix::process::Pid::from_raw(pid).unwrap()), 128 + 9);
}
