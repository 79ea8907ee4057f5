//! Which devices containers have, and which they may use.

use std::fs;

use coracle_runtime::devices;
use serde_json::json;

use crate::bench::Bench;

/// No driver has this number, so an access that the filter lets through fails with another error.
const MAKE_AND_USE: &str = "mknod /tmp/d c 250 77 && echo made; cat /tmp/d; echo x > /tmp/d";

pub fn rules() {
    let bench = Bench::new(&format!(
        "{MAKE_AND_USE}; head -c 1 /dev/zero | busybox od -A n -t x1; echo > /dev/null && echo null"
    ));
    assert_eq!(
        bench.run().unwrap().output,
        "made\ncat: can't open '/tmp/d': Operation not permitted\nsh: can't create /tmp/d: Operation not permitted\n 00\nnull\n"
    );
    let mut bench = Bench::new(MAKE_AND_USE);
    bench.rules.push(devices::parse_rule("c 250:* r").unwrap());
    assert_eq!(
        bench.run().unwrap().output,
        "made\ncat: can't open '/tmp/d': No such device or address\nsh: can't create /tmp/d: Operation not permitted\n"
    );
}

pub fn privileged() {
    let mut bench = Bench::new(MAKE_AND_USE);
    bench.rules = devices::privileged_rules();
    assert_eq!(
        bench.run().unwrap().output,
        "made\ncat: can't open '/tmp/d': No such device or address\nsh: can't create /tmp/d: No such device or address\n"
    );
}

pub fn nodes() {
    let mut bench = Bench::new(
        "cd /dev; busybox stat -c '%n %F %t:%T %a %u:%g' bus bus/usb/one disk full mounted/two",
    );
    fs::create_dir(bench.path("volume")).unwrap();
    let volume = json!({
        "destination": "/dev/mounted",
        "type": "bind",
        "source": bench.path("volume"),
        "options": ["rbind"],
    });
    bench.config["mounts"].as_array_mut().unwrap().push(volume);
    let device = |path, kind, minor, mode, uid, gid| {
        json!({
            "path": path, "type": kind, "major": 250, "minor": minor, "fileMode": mode, "uid": uid, "gid": gid,
        })
    };
    let disk = device("/dev/disk", "b", 300, 0o660, 0, 6);
    bench.config["linux"]["devices"] = json!([
        device("/dev/bus/usb/one", "c", 1, 0o664, 7, 20),
        disk,
        disk,
        device("/dev/mounted/two", "c", 2, 0o600, 0, 0),
    ]);
    let expected = "bus directory 0:0 755 0:0\n\
        bus/usb/one character special file fa:1 664 7:20\n\
        disk block special file fa:12c 660 0:6\n\
        full character special file 1:7 666 0:0\n\
        mounted/two character special file fa:2 600 0:0\n";
    for user in [0, 1000] {
        bench.process()["user"] = json!({"uid": user, "gid": user});
        assert_eq!(bench.run().unwrap().output, expected, "user {user}");
        bench.runtime.delete(&bench.id).unwrap();
        fs::remove_file(bench.path("volume").join("two")).unwrap();
    }
}
