use std::process::Command;

use super::*;
use crate::namespace::tests::{in_new_namespace, new_namespace};

fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_container_reaches_its_bridge() {
    let Some((inside, _child)) = new_namespace() else {
        return;
    };
    let cidrs = |list: &[&str]| {
        list.iter()
            .map(|text| text.parse().unwrap())
            .collect::<Vec<Cidr>>()
    };
    in_new_namespace(|| {
        let here = Routing::open().unwrap();
        here.raise_loopback().unwrap();
        let mac = Mac([2, 0x42, 10, 0, 0, 1]);
        let index = here
            .bridge(
                "br0",
                mac,
                Some(1400),
                &cidrs(&["10.0.0.1/24", "fd00::1/64"]),
            )
            .unwrap();
        // Again is fine.
        assert_eq!(
            here.bridge("br0", mac, Some(1400), &cidrs(&["10.0.0.1/24"]))
                .unwrap(),
            index
        );
        let pair = Pair {
            name: "csys-1",
            bridge: index,
            namespace: &inside,
            peer: "eth0",
            mac: Mac([2, 0x42, 10, 0, 0, 2]),
            mtu: Some(1400),
            isolated: true,
        };
        here.pair(&pair).unwrap();
        let error = here.pair(&pair).unwrap_err().to_string();
        assert_eq!(
            error,
            "make interface eth0 of a container: File exists (os error 17)"
        );
        let shown = inside
            .run(|| {
                let there = Routing::open()?;
                there.raise_loopback()?;
                let index = there.configure("eth0", &cidrs(&["10.0.0.2/24", "fd00::2/64"]))?;
                there.set_default_route("10.0.0.9".parse().unwrap(), index)?;
                there.set_default_route("10.0.0.1".parse().unwrap(), index)?;
                there.set_default_route("fd00::1".parse().unwrap(), index)?;
                let before = [ip("route show default"), ip("-6 route show default")];
                for direct in ["0.0.0.0", "::"] {
                    there.set_default_route(direct.parse().unwrap(), index)?;
                }
                assert_eq!(ip("route show default"), "default dev eth0 scope link");
                let direct = ip("-6 route show default");
                assert!(direct.contains("default dev eth0 "), "{direct}");
                assert!(!direct.contains("via"), "{direct}");
                there.set_default_route("10.0.0.1".parse().unwrap(), index)?;
                there.set_default_route("fd00::1".parse().unwrap(), index)?;
                let after = [ip("route show default"), ip("-6 route show default")];
                assert_eq!(after, before);
                Ok(ip("-o -4 addr show eth0")
                    + "\n"
                    + &ip("route")
                    + "\n"
                    + &ip("-6 route show default")
                    + "\n"
                    + &ip("-o link show eth0"))
            })
            .unwrap();
        for expected in [
            "inet 10.0.0.2/24 brd 10.0.0.255 scope global eth0",
            "default via 10.0.0.1 dev eth0 \n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2",
            "default via fd00::1 dev eth0",
            "mtu 1400",
            "link/ether 02:42:0a:00:00:02",
        ] {
            assert!(shown.contains(expected), "{expected}:\n{shown}");
        }
        assert!(!shown.contains("10.0.0.9"), "{shown}");
        let port = ip("-d link show csys-1");
        assert!(
            port.contains("isolated on") && port.contains("hairpin on"),
            "{port}"
        );
        assert!(ip("link show br0").contains("02:42:0a:00:00:01"));
        let networks = here.networks().unwrap();
        assert!(
            networks.contains(&"10.0.0.0/24".parse().unwrap()),
            "{networks:?}"
        );
        here.remove("csys-1").unwrap();
        here.remove("csys-1").unwrap();
        assert!(
            inside
                .run(|| Ok(Routing::open()?.find("eth0")?.is_none()))
                .unwrap()
        );
        let names: Vec<_> = here
            .links()
            .unwrap()
            .into_iter()
            .map(|link| link.name)
            .collect();
        assert_eq!(names, ["lo", "br0"]);
        assert_eq!(
            here.bridge("lo", mac, None, &[]).unwrap_err().to_string(),
            "make bridge lo: File exists (os error 17)"
        );
    });
}
