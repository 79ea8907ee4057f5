//! One right request for each route.

use serde_json::{Value, json};

/// Method, target, body of a request that is right.
pub type Valid = (&'static str, &'static str, Value);

/// For containers `runs` and `idle`, volume `vol`, network `net` and image `busybox`.
pub fn valid() -> Vec<Valid> {
    let no = Value::Null;
    let host = json!({
        "Binds": ["vol:/data:ro"], "NetworkMode": "net", "Memory": 67_108_864, "MemorySwap": 0,
        "CpuShares": 5, "PidsLimit": 50, "CapAdd": ["SYS_TIME"], "CapDrop": ["CHOWN"], "AutoRemove": false,
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]}, "RestartPolicy": {"Name": "no"},
        "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}], "Sysctls": {"net.ipv4.ip_forward": "1"},
        "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 448}},
                   {"Type": "volume", "Source": "vol", "Target": "/m"}],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        "Tmpfs": {"/tt": "size=1m"}, "ExtraHosts": ["x:127.0.0.1"], "Dns": ["127.0.0.1"], "OomScoreAdj": 5,
        "ReadonlyRootfs": false, "Privileged": false, "ShmSize": 65536, "IpcMode": "private", "SecurityOpt": [],
        "DeviceCgroupRules": ["c 1:3 rwm"], "ConsoleSize": [24, 80], "Init": false,
    });
    let container = json!({
        "Image": "busybox", "Cmd": ["true"], "Entrypoint": null, "Env": ["A=b"], "User": "0:0", "WorkingDir": "/w", "Tty": false,
        "OpenStdin": false, "StopSignal": "KILL", "StopTimeout": 0, "Hostname": "h", "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 1},
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": ["x"], "IPAMConfig": {"IPv4Address": "10.78.0.77"}}}},
    });
    let network = json!({
        "Name": "made", "Driver": "bridge", "Internal": false, "Attachable": false, "EnableIPv6": false, "Labels": {},
        "Options": {"com.docker.network.driver.mtu": "1400"},
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1", "IPRange": "10.77.0.0/25"}]},
    });
    let update = json!({"Memory": 134_217_728, "CpuShares": 7, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}});
    let exec = json!({"Cmd": ["true"], "AttachStdout": true, "Tty": false, "Env": ["A=b"], "User": "0", "WorkingDir": "/"});
    let volume = json!({"Name": "made", "Driver": "local", "DriverOpts": {}, "Labels": {"a": "b"}});
    vec![
        ("GET", "/_ping", no.clone()),
        ("GET", "/version", no.clone()),
        ("GET", "/info", no.clone()),
        ("GET", "/system/df?type=container", no.clone()),
        (
            "GET",
            "/events?since=0&until=1&filters={\"type\":[\"container\"]}",
            no.clone(),
        ),
        (
            "POST",
            "/auth",
            json!({"username": "u", "password": "p", "serveraddress": "127.0.0.1:1"}),
        ),
        (
            "GET",
            "/containers/json?all=1&limit=5&size=1&filters={\"status\":[\"running\"],\"label\":{\"a\":true}}",
            no.clone(),
        ),
        (
            "POST",
            "/containers/create?name=made&platform=linux/amd64",
            container.clone(),
        ),
        ("POST", "/v1.44/containers/create", container),
        (
            "POST",
            "/containers/prune?filters={\"until\":[\"10m\"]}",
            no.clone(),
        ),
        ("GET", "/containers/runs/json?size=1", no.clone()),
        ("GET", "/containers/runs/top?ps_args=-ef", no.clone()),
        (
            "GET",
            "/containers/runs/stats?stream=0&one-shot=1",
            no.clone(),
        ),
        (
            "GET",
            "/containers/runs/logs?stdout=1&stderr=1&tail=5&since=1.5&until=99&timestamps=1",
            no.clone(),
        ),
        ("GET", "/containers/runs/changes", no.clone()),
        (
            "HEAD",
            "/containers/runs/archive?path=/etc/passwd",
            no.clone(),
        ),
        (
            "GET",
            "/containers/runs/archive?path=/etc/passwd",
            no.clone(),
        ),
        (
            "PUT",
            "/containers/idle/archive?path=/tmp&noOverwriteDirNonDir=1&copyUIDGID=1",
            no.clone(),
        ),
        (
            "POST",
            "/containers/idle/attach?stream=1&stdout=1&logs=1&detachKeys=ctrl-a",
            no.clone(),
        ),
        ("POST", "/containers/idle/start", no.clone()),
        ("POST", "/containers/runs/stop?t=0&signal=KILL", no.clone()),
        ("POST", "/containers/runs/restart?t=0", no.clone()),
        ("POST", "/containers/runs/kill?signal=USR1", no.clone()),
        ("POST", "/containers/runs/pause", no.clone()),
        ("POST", "/containers/runs/unpause", no.clone()),
        ("POST", "/containers/idle/rename?name=idle2", no.clone()),
        ("POST", "/containers/runs/update", update),
        ("POST", "/containers/runs/resize?h=10&w=20", no.clone()),
        (
            "POST",
            "/containers/idle/wait?condition=not-running",
            no.clone(),
        ),
        ("DELETE", "/containers/idle?v=1&force=1", no.clone()),
        ("POST", "/containers/runs/exec", exec),
        (
            "POST",
            "/exec/abc/start",
            json!({"Detach": true, "Tty": false}),
        ),
        ("GET", "/exec/abc/json", no.clone()),
        (
            "GET",
            "/images/json?all=1&digests=1&filters={\"reference\":[\"busy*\"],\"before\":[\"busybox\"]}",
            no.clone(),
        ),
        (
            "POST",
            "/images/create?fromImage=127.0.0.1:1/x&tag=latest&platform=linux/amd64",
            no.clone(),
        ),
        (
            "POST",
            "/images/create?fromSrc=-&repo=imported&tag=1&changes=CMD%20true",
            no.clone(),
        ),
        ("POST", "/images/load?quiet=1", no.clone()),
        (
            "POST",
            "/images/prune?filters={\"dangling\":[\"true\"]}",
            no.clone(),
        ),
        ("GET", "/images/busybox:latest/json", no.clone()),
        ("GET", "/images/busybox/history", no.clone()),
        ("POST", "/images/busybox/tag?repo=other&tag=1", no.clone()),
        ("POST", "/images/127.0.0.1:1/x/push?tag=1", no.clone()),
        ("DELETE", "/images/other:1?force=1&noprune=1", no.clone()),
        ("GET", "/distribution/127.0.0.1:1/x/json", no.clone()),
        (
            "POST",
            "/commit?container=idle&repo=made&tag=1&changes=CMD%20true&pause=0",
            json!({"Cmd": ["x"], "Labels": {"a": "b"}}),
        ),
        (
            "GET",
            "/volumes?filters={\"dangling\":[\"1\"],\"name\":[\"v\"]}",
            no.clone(),
        ),
        ("POST", "/volumes/create", volume),
        (
            "POST",
            "/volumes/prune?filters={\"all\":[\"1\"]}",
            no.clone(),
        ),
        ("GET", "/volumes/vol", no.clone()),
        ("DELETE", "/volumes/made?force=1", no.clone()),
        (
            "GET",
            "/networks?filters={\"driver\":[\"bridge\"],\"scope\":[\"local\"]}",
            no.clone(),
        ),
        ("POST", "/networks/create", network),
        ("POST", "/networks/prune", no.clone()),
        (
            "POST",
            "/networks/net/connect",
            json!({"Container": "idle", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.78.0.9"}}}),
        ),
        (
            "POST",
            "/networks/net/disconnect",
            json!({"Container": "idle", "Force": true}),
        ),
        ("GET", "/networks/net?verbose=1&scope=local", no.clone()),
        ("DELETE", "/networks/net", no),
    ]
}
