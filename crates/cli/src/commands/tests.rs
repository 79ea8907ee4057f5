//! Commands from argument to output, on a machine that is a temporary directory.

use std::fs;

use clap::Parser as _;
use coracle_services::Engines;

use super::*;

struct Machine {
    root: tempfile::TempDir,
}

/// What a command printed: standard output, standard error, and its error.
type Printed = (String, String, String);

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { root }
    }

    fn ros(&self, args: &[&str]) -> Printed {
        self.ros_with_input(args, "")
    }

    fn ros_with_input(&self, args: &[&str], input: &str) -> Printed {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut context = Context {
            root: self.root.path().into(),
            engines: Engines::at(
                self.root.path().join("none.sock"),
                self.root.path().join("none.sock"),
            ),
            input: &mut input.as_bytes(),
            out: &mut out,
            err: &mut err,
        };
        let result = match Ros::try_parse_from(std::iter::once(&"ros").chain(args)) {
            Ok(ros) => ros.run(&mut context).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        let root = self.root.path().display().to_string();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&root, "");
        (
            text(out),
            text(err),
            result.err().unwrap_or_default().replace(&root, ""),
        )
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap()
    }
}

fn out(text: &str) -> Printed {
    (text.into(), String::new(), String::new())
}

const USER: &str = "var/lib/rancher/conf/cloud-config.yml";

/// These commands need root, as on the machine.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

#[test]
fn versions() {
    let machine = Machine::new(&[(
        "usr/share/ros/os-release",
        "NAME=\"Coracle\"\nVERSION=\"v0.1.0\"\n",
    )]);
    assert_eq!(
        machine.ros(&["-v"]),
        out("version v0.1.0 from os image coracle/os:v0.1.0\n")
    );
    assert_eq!(machine.ros(&["--version"]), machine.ros(&["-v"]));
    if is_root() {
        assert_eq!(machine.ros(&["os", "version"]), out("v0.1.0\n"));
    }
}

#[test]
fn boot_is_a_table_by_time() {
    if !is_root() {
        return;
    }
    let log = r#"[
        {"kind":"service","name":"ntp","start_us":3000000,"end_us":3010000,"error":"image coracle/os-ntp:v0.1.0 is not on this machine"},
        {"kind":"phase","name":"mounts","start_us":412345,"end_us":443000},
        {"kind":"service","name":"udev-cold","start_us":1203000,"end_us":2103000}
    ]"#;
    let machine = Machine::new(&[("run/coracle/boot.json", log)]);
    assert_eq!(
        machine.ros(&["boot"]),
        out("\
KIND     NAME       START   TIME
phase    mounts     0.412  0.031
service  udev-cold  1.203  0.900
service  ntp        3.000  0.010  failed: image coracle/os-ntp:v0.1.0 is not on this machine
total 3.010 s since the kernel started, 0.412 s of it before PID 1's first phase
")
    );
    let file = machine.root.path().join("boot.svg");
    assert_eq!(
        machine.ros(&["boot", "--svg", file.to_str().unwrap()]),
        out("wrote /boot.svg\n")
    );
    assert!(machine.read("boot.svg").starts_with("<svg "));
    assert_eq!(
        Machine::new(&[]).ros(&["boot"]).2,
        "no boot was recorded in /run/coracle/boot.json"
    );
}

#[test]
fn config_is_read_and_changed() {
    if !is_root() {
        return;
    }
    let machine = Machine::new(&[(
        "usr/share/ros/os-config.yml",
        "hostname: coracle\nrancher: {ssh: {port: 22}, modules: [a]}\n",
    )]);
    assert_eq!(
        machine.ros(&["config", "get", "hostname"]),
        out("coracle\n")
    );
    assert_eq!(machine.ros(&["c", "get", "rancher.ssh"]), out("port: 22\n"));
    assert_eq!(
        machine.ros(&["config", "get", "rancher.nothing"]),
        out("\n")
    );
    assert_eq!(
        machine.ros(&["config", "set", "rancher.ssh.port", "2222"]),
        out("")
    );
    assert_eq!(
        machine.ros(&["config", "set", "rancher.modules", "[b, c]"]),
        out("")
    );
    assert_eq!(
        machine.ros(&["config", "get", "rancher.ssh.port"]),
        out("2222\n")
    );
    assert_eq!(
        machine.ros(&["config", "get", "rancher.modules"]),
        out("- b\n- c\n")
    );
    assert_eq!(
        machine.read(USER),
        "rancher:\n  ssh:\n    port: 2222\n  modules:\n  - b\n  - c\n"
    );
    let before = machine.read(USER);
    let refused = machine.ros(&["config", "set", "rancher.debug", "17"]);
    assert_eq!(
        refused.2,
        "new configuration:7: rancher.debug: 17 is not a boolean, write true or false"
    );
    assert_eq!(machine.read(USER), before);
    assert_eq!(
        machine
            .ros_with_input(&["config", "merge"], "rancher: {log: true}\nhostname: [\n")
            .2,
        "standard input was not merged"
    );
    assert_eq!(machine.read(USER), before);
    assert_eq!(
        machine.ros_with_input(&["config", "merge"], "hostname: new\n"),
        out("")
    );
    assert_eq!(
        machine.ros(&["config", "export"]),
        out("rancher:\n  modules:\n  - b\n  - c\nhostname: new\n")
    );
    assert_eq!(
        machine.ros_with_input(
            &["config", "validate"],
            "hostname: x\nrancher:\n  debug: 17\n"
        ),
        (
            "standard input:3: rancher.debug: 17 is not a boolean, write true or false\n".into(),
            String::new(),
            "standard input has a problem".into()
        )
    );
    assert_eq!(
        machine.ros_with_input(&["config", "validate"], "hostname: x\n"),
        out("")
    );
}

#[test]
fn services_are_listed_enabled_and_disabled() {
    if !is_root() {
        return;
    }
    let local = "var/lib/rancher/conf/mine.yml";
    let machine = Machine::new(&[
        (
            "usr/share/ros/os-config.yml",
            "rancher: {services: {console: {image: c}}}\n",
        ),
        ("usr/share/ros/services/index.yml", "services: [a, b]\n"),
        ("usr/share/ros/services/a/a.yml", "a: {image: i}\n"),
        (local, "mine: {image: m}\n"),
    ]);
    assert_eq!(
        machine.ros(&["service", "list"]),
        out("disabled a\ndisabled b\n")
    );
    assert_eq!(
        machine.ros(&["service", "enable", "a", "/var/lib/rancher/conf/mine.yml"]),
        out("")
    );
    assert_eq!(
        machine.ros(&["s", "list", "-a"]),
        out("enabled  console\nenabled  a\ndisabled b\nenabled  /var/lib/rancher/conf/mine.yml\n")
    );
    assert_eq!(machine.ros(&["service", "disable", "a"]), out(""));
    assert_eq!(
        machine.ros(&["service", "list"]),
        out("disabled a\ndisabled b\nenabled  /var/lib/rancher/conf/mine.yml\n")
    );
    assert_eq!(
        machine.ros(&["service", "delete", "/var/lib/rancher/conf/mine.yml"]),
        out("")
    );
    assert_eq!(
        machine.ros(&["service", "list"]),
        out("disabled a\ndisabled b\n")
    );
    let table: [(&[&str], &str); 5] = [
        (
            &["service", "enable", "zzz"],
            "service zzz: not a valid service: there is no /usr/share/ros/services/z/zzz.yml",
        ),
        (
            &["service", "enable", "/etc/x.yml"],
            "service /etc/x.yml: not a valid service: files must be below /var/lib/rancher/conf",
        ),
        (&["service", "disable", "b"], "b is not enabled"),
        (
            &["service", "up", "zzz"],
            "no service is called zzz; `ros service list -a` names them",
        ),
        (
            &["service", "ps"],
            "System Docker does not answer on /none.sock: Socket not found: /none.sock",
        ),
    ];
    for (args, want) in table {
        assert_eq!(machine.ros(args).2, want, "{args:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    let (script, _, error) = Machine::new(&[]).ros(&["completion", "bash"]);
    assert_eq!(error, "");
    assert!(
        script.contains("ros__service__up") || script.contains("ros,service"),
        "{script}"
    );
}

#[test]
fn help_lists_every_command() {
    let (help, _, _) = Machine::new(&[]).ros(&[]);
    for command in ["boot", "config", "service", "os", "dev", "env"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    assert!(!help.contains("completion"), "{help}");
}
