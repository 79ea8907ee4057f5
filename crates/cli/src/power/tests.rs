use std::ffi::OsString;

use super::*;

fn parse(line: &str) -> Result<Request, String> {
    let mut words = line.split(' ').map(OsString::from);
    let name = words.next().unwrap().into_string().unwrap();
    Request::parse(&name, words.collect()).map_err(|e| e.to_string())
}

#[test]
fn command_lines_are_understood() {
    use Action::{Halt, PowerOff, Reboot};
    let table = [
        ("reboot", Reboot, false),
        ("reboot -f", Reboot, true),
        ("reboot -r", Reboot, false),
        ("poweroff", PowerOff, false),
        ("poweroff -P --force", PowerOff, true),
        ("halt", Halt, false),
        ("halt -H -f", Halt, true),
        ("shutdown", PowerOff, false),
        ("shutdown now", PowerOff, false),
        ("shutdown -h now", PowerOff, false),
        ("shutdown -h +0", PowerOff, false),
        ("shutdown -P now", PowerOff, false),
        ("shutdown -r now", Reboot, false),
        ("shutdown -rf", Reboot, true),
        ("shutdown -H", Halt, false),
        ("shutdown -h -H now", Halt, false),
    ];
    for (line, action, force) in table {
        let want = Request {
            action,
            force,
            notes: vec![],
            line: line.into(),
        };
        assert_eq!(parse(line), Ok(want), "{line}");
    }
}

#[test]
fn other_times_are_refused() {
    let text = parse("shutdown -h 12:30").unwrap_err();
    assert!(
        text.starts_with(
            "error: '12:30' is not a time that shutdown knows; only 'now' and '+0' are\n"
        ),
        "{text}"
    );
    assert!(parse("shutdown -h +5").is_err());
    assert!(parse("reboot now").is_err());
    assert!(parse("reboot --kexec").is_err());
}

#[test]
fn timeout_is_accepted_with_a_note() {
    assert_eq!(
        parse("reboot -t 5").unwrap().notes,
        ["the time that services have is rancher.shutdown_timeout; -t is ignored"]
    );
}

#[test]
fn mistakes_of_the_user_are_found_and_those_of_others_are_not() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(paths::OS_CONFIG, "rancher: {debug: 17}\n");
    write(paths::CLOUD_CONFIG, "hostname: x\nrancher:\n  debug: 18\n");
    let context = Context {
        root: root.path().into(),
        engines: coracle_services::Engines::at("/nowhere", "/nowhere"),
        input: &mut std::io::empty(),
        out: &mut std::io::sink(),
        err: &mut std::io::sink(),
    };
    assert_eq!(
        mistakes(&context),
        [
            "/var/lib/rancher/conf/cloud-config.yml:3: rancher.debug: 18 is not a boolean, write true or false"
        ]
    );
}
