//! Images from registries, and to them.

use crate::registry::{Registry, host, write_layers};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

#[test]
fn images_are_pushed_and_pulled() {
    let Some(host) = host("") else { return };
    let Some(_registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    host.session(
        r#"
$ docker images -q --no-trunc busybox > id
$ docker tag busybox 127.0.0.1:5000/a/busybox:1; docker push 127.0.0.1:5000/a/busybox:1
The push refers to repository [127.0.0.1:5000/a/busybox]
<id>: Preparing
<id>: Pushed
1: digest: sha256:<id> size: 527
$ docker push 127.0.0.1:5000/a/busybox:1
The push refers to repository [127.0.0.1:5000/a/busybox]
<id>: Preparing
<id>: Layer already exists
1: digest: sha256:<id> size: 527
$ docker tag busybox 127.0.0.1:5000/b; docker push -q 127.0.0.1:5000/b
127.0.0.1:5000/b:latest
$ docker tag busybox 127.0.0.1:5000/b:2; docker push -a 127.0.0.1:5000/b
The push refers to repository [127.0.0.1:5000/b]
<id>: Preparing
<id>: Layer already exists
2: digest: sha256:<id> size: 527
<id>: Preparing
<id>: Layer already exists
latest: digest: sha256:<id> size: 527
$ docker tag busybox 127.0.0.1:5000/c; docker push 127.0.0.1:5000/c | grep Mounted
<id>: Mounted from b
$ docker images --digests --format '{{.Repository}}:{{.Tag}} {{.Digest}}' | sort
127.0.0.1:5000/a/busybox:1 sha256:<id>
127.0.0.1:5000/b:2 sha256:<id>
127.0.0.1:5000/b:latest sha256:<id>
127.0.0.1:5000/c:latest sha256:<id>
busybox:latest <none>
$ docker inspect -f '{{index .RepoDigests 0}}' 127.0.0.1:5000/b | tee digest
127.0.0.1:5000/a/busybox@sha256:<id>
$ docker rmi 127.0.0.1:5000/a/busybox:1 127.0.0.1:5000/b:2 127.0.0.1:5000/b 127.0.0.1:5000/c busybox
Untagged: 127.0.0.1:5000/a/busybox:1
Untagged: 127.0.0.1:5000/a/busybox@sha256:<id>
Untagged: 127.0.0.1:5000/b:2
Untagged: 127.0.0.1:5000/b:latest
Untagged: 127.0.0.1:5000/b@sha256:<id>
Untagged: 127.0.0.1:5000/c:latest
Untagged: 127.0.0.1:5000/c@sha256:<id>
Untagged: busybox:latest
Deleted: sha256:<id>
Deleted: sha256:<id>
$ docker pull 127.0.0.1:5000/a/busybox:1
1: Pulling from a/busybox
<id>: Pulling fs layer
<id>: Verifying Checksum
<id>: Download complete
<id>: Pull complete
Digest: sha256:<id>
Status: Downloaded newer image for 127.0.0.1:5000/a/busybox:1
127.0.0.1:5000/a/busybox:1
$ docker images -q --no-trunc | cmp - id && docker run --rm 127.0.0.1:5000/a/busybox:1 echo runs
runs
$ docker pull 127.0.0.1:5000/a/busybox:1
1: Pulling from a/busybox
Digest: sha256:<id>
Status: Image is up to date for 127.0.0.1:5000/a/busybox:1
127.0.0.1:5000/a/busybox:1
$ docker rmi 127.0.0.1:5000/a/busybox:1 | wc -l; docker pull -q $(cat digest)
4
127.0.0.1:5000/a/busybox@sha256:<id>
$ docker pull $(cat digest)
127.0.0.1:5000/a/busybox@sha256:<id>: Pulling from a/busybox
Digest: sha256:<id>
Status: Image is up to date for 127.0.0.1:5000/a/busybox@sha256:<id>
127.0.0.1:5000/a/busybox@sha256:<id>
$ docker images --digests --format '{{.Repository}} {{.Tag}} {{.Digest}}'
127.0.0.1:5000/a/busybox <none> sha256:<id>
$ docker pull -a 127.0.0.1:5000/b | sort
127.0.0.1:5000/b
2: Pulling from b
Digest: sha256:<id>
Digest: sha256:<id>
Status: Downloaded newer image for 127.0.0.1:5000/b
latest: Pulling from b
$ docker run --rm --pull always 127.0.0.1:5000/b true
latest: Pulling from b
Digest: sha256:<id>
Status: Image is up to date for 127.0.0.1:5000/b:latest
$ docker events --since 0 --until $(date +%s.%N) --filter type=image --format '{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}' | grep -E '^(pull|push)' | sort -u
pull 127.0.0.1:5000/a/busybox:1 127.0.0.1:5000/a/busybox
pull 127.0.0.1:5000/a/busybox@sha256:<id> 127.0.0.1:5000/a/busybox
pull 127.0.0.1:5000/b 127.0.0.1:5000/b
pull 127.0.0.1:5000/b:latest 127.0.0.1:5000/b
push 127.0.0.1:5000/a/busybox:1 127.0.0.1:5000/a/busybox
push 127.0.0.1:5000/b 127.0.0.1:5000/b
push 127.0.0.1:5000/b:latest 127.0.0.1:5000/b
push 127.0.0.1:5000/c:latest 127.0.0.1:5000/c
"#,
    );
}

#[test]
fn what_a_registry_does_not_have_is_told_in_dockers_words() {
    let Some(host) = host("") else { return };
    let Some(_registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    host.session(
        r#"
$ docker tag busybox 127.0.0.1:5000/b:1; docker push -q 127.0.0.1:5000/b:1
127.0.0.1:5000/b:1
$ docker pull 127.0.0.1:5000/b:nope
Error response from daemon: manifest for 127.0.0.1:5000/b:nope not found: manifest unknown: manifest unknown
[1]
$ docker pull 127.0.0.1:5000/c
Using default tag: latest
Error response from daemon: manifest for 127.0.0.1:5000/c:latest not found: manifest unknown: manifest unknown
[1]
$ docker pull -a 127.0.0.1:5000/c
Error response from daemon: repository 127.0.0.1:5000/c not found: name unknown: repository name not known to registry
[1]
$ docker pull 127.0.0.1:5001/c
Using default tag: latest
Error response from daemon: Get "http://127.0.0.1:5001/v2/": dial tcp 127.0.0.1:5001: connect: connection refused
[1]
$ docker pull 192.0.2.1:5001/c:1
Error response from daemon: Get "https://192.0.2.1:5001/v2/": dial tcp 192.0.2.1:5001: connect: network is unreachable
[1]
$ docker pull scratch
Using default tag: latest
Error response from daemon: 'scratch' is a reserved name
[1]
$ docker run 127.0.0.1:5000/c
Unable to find image '127.0.0.1:5000/c:latest' locally
docker: Error response from daemon: manifest for 127.0.0.1:5000/c:latest not found: manifest unknown: manifest unknown

Run 'docker run --help' for more information
[125]
$ docker push 127.0.0.1:5000/b:nope
The push refers to repository [127.0.0.1:5000/b]
tag does not exist: 127.0.0.1:5000/b:nope
[1]
$ docker push 127.0.0.1:5000/c:1
The push refers to repository [127.0.0.1:5000/c]
An image does not exist locally with the tag: 127.0.0.1:5000/c
[1]
$ docker search busybox
Error response from daemon: System Docker does not support searching registries; use User Docker (the docker command)
[1]
"#,
    );
}

#[test]
fn registries_with_users_want_a_login() {
    let Some(host) = host("") else { return };
    let Some(_registry) = Registry::start(&host, 5000, true) else {
        return;
    };
    host.session(
        r#"
$ docker tag busybox 127.0.0.1:5000/b; docker push 127.0.0.1:5000/b
Using default tag: latest
The push refers to repository [127.0.0.1:5000/b]
<id>: Preparing
no basic auth credentials
[1]
$ docker pull 127.0.0.1:5000/b:1
Error response from daemon: Head "http://127.0.0.1:5000/v2/b/manifests/1": no basic auth credentials
[1]
$ docker login 127.0.0.1:5000 -u ann -p wrong
WARNING! Using --password via the CLI is insecure. Use --password-stdin.
Error response from daemon: login attempt to http://127.0.0.1:5000/v2/ failed with status: 401 Unauthorized
[1]
$ docker login 127.0.0.1:5000 -u ann -p secret 2> /dev/null
Login Succeeded
$ docker push -q 127.0.0.1:5000/b
127.0.0.1:5000/b:latest
$ docker pull -q 127.0.0.1:5000/b
127.0.0.1:5000/b:latest
$ sed -i 's/"auth": ".*"/"auth": "YW5uOndyb25n"/' .docker/config.json; docker push 127.0.0.1:5000/b
Using default tag: latest
The push refers to repository [127.0.0.1:5000/b]
<id>: Preparing
unauthorized: authentication required
[1]
"#,
    );
}

#[test]
fn layers_come_in_any_order_and_those_that_are_here_are_kept() {
    let Some(host) = host("--registry-mirror http://127.0.0.1:5000") else {
        return;
    };
    let Some(registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    write_layers(&host.path("five.tar"), "127.0.0.1:5000/library/five:1", 5).unwrap();
    write_layers(&host.path("eight.tar"), "127.0.0.1:5000/library/eight:1", 8).unwrap();
    host.session(
        r#"
$ docker load -qi five.tar; docker push -q 127.0.0.1:5000/library/five:1
Loaded image: 127.0.0.1:5000/library/five:1
127.0.0.1:5000/library/five:1
$ docker load -qi eight.tar; docker push 127.0.0.1:5000/library/eight:1 | sed 's/^[0-9a-f]*: //' | sort | uniq -c
Loaded image: 127.0.0.1:5000/library/eight:1
      5 Mounted from library/five
      8 Preparing
      3 Pushed
      1 The push refers to repository [127.0.0.1:5000/library/eight]
      6 Waiting
      1 digest: sha256:<id> size: 1964
$ docker rmi -f $(docker images -q | sort -u) > /dev/null; ls root/layers
$ docker pull five:1 | tail -n 3
Digest: sha256:<id>
Status: Downloaded newer image for five:1
docker.io/library/five:1
$ docker pull eight:1 | sed 's/^[0-9a-f]*: //' | sort | uniq -c
      5 Already exists
      1 Digest: sha256:<id>
      3 Download complete
      3 Pull complete
      1 Pulling from library/eight
      3 Pulling fs layer
      1 Status: Downloaded newer image for eight:1
      3 Verifying Checksum
      1 docker.io/library/eight:1
$ docker create --name box eight:1 x > /dev/null; docker export box | tar -xO layer-0 layer-3 layer-7
037
$ docker rm box; docker rmi -f $(docker images -q | sort -u) > /dev/null; ls -A root/layers
box
"#,
    );
    let manifest = registry.get("library/five", "1");
    // Layers in another order than the configuration says, and fewer of them.
    let mut mixed: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    mixed["layers"].as_array_mut().unwrap().swap(1, 2);
    registry.put("library/five", "mixed", MANIFEST, &mixed.to_string());
    mixed["layers"].as_array_mut().unwrap().pop();
    registry.put("library/five", "fewer", MANIFEST, &mixed.to_string());
    host.session(
        r#"
$ docker pull 127.0.0.1:5000/library/five:mixed 2>&1 | tail -n 1
failed to register layer: layer is damaged: its digest is sha256:<id>, expected sha256:<id>
$ docker pull 127.0.0.1:5000/library/five:fewer
fewer: Pulling from library/five
layers from manifest don't match image configuration
[1]
$ docker images -q; ls -A root/layers
"#,
    );
}

#[test]
fn indexes_give_the_image_of_the_platform() {
    let Some(host) = host("") else { return };
    let Some(registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    write_layers(&host.path("one.tar"), "127.0.0.1:5000/x:one", 1).unwrap();
    write_layers(&host.path("two.tar"), "127.0.0.1:5000/x:two", 2).unwrap();
    host.session(
        r#"
$ docker load -qi one.tar; docker load -qi two.tar; docker push -aq 127.0.0.1:5000/x
Loaded image: 127.0.0.1:5000/x:one
Loaded image: 127.0.0.1:5000/x:two
127.0.0.1:5000/x
$ docker inspect -f '{{index .RepoDigests 0}}' 127.0.0.1:5000/x:one | tr -d '\n' | tail -c 71 > one
$ docker inspect -f '{{index .RepoDigests 0}}' 127.0.0.1:5000/x:two | tr -d '\n' | tail -c 71 > two
$ docker rmi -f $(docker images -q | sort -u) > /dev/null
"#,
    );
    let entry = |tag: &str, os: &str, architecture: &str| {
        let digest = std::fs::read_to_string(host.path(tag)).unwrap();
        let size = registry.get("x", tag).len();
        serde_json::json!({
            "mediaType": MANIFEST, "digest": digest, "size": size,
            "platform": {"os": os, "architecture": architecture},
        })
    };
    let manifests = [
        entry("one", "linux", "arm64"),
        entry("two", "linux", "amd64"),
        entry("two", "unknown", "unknown"),
    ];
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let index = index.to_string();
    registry.put("x", "both", INDEX, &index);
    let (name, path) = ("127.0.0.1:5000/x", "/distribution/127.0.0.1:5000/x");
    let platform = |name: &str| {
        let (os, architecture) = name.split_once('/').unwrap();
        serde_json::json!({"architecture": architecture, "os": os})
    };
    assert_eq!(
        host.get(&format!("{path}:both/json")),
        serde_json::json!({
            "Descriptor": {"mediaType": INDEX, "size": index.len(), "digest": registry.digest("x", "both")},
            "Platforms": [platform("linux/arm64"), platform("linux/amd64"), platform("unknown/unknown")],
        })
    );
    assert_eq!(
        host.get(&format!("{path}:one/json"))["Platforms"],
        serde_json::json!([platform("linux/amd64")])
    );
    assert_eq!(
        host.get(&format!("{path}:nope/json"))["message"],
        format!("manifest for {name}:nope not found: manifest unknown: manifest unknown")
    );
    host.session(
        r#"
$ docker pull -q 127.0.0.1:5000/x:both; docker inspect -f '{{len .RootFS.Layers}}' 127.0.0.1:5000/x:both
127.0.0.1:5000/x:both
2
$ docker pull -q --platform linux/arm64 127.0.0.1:5000/x:both; docker inspect -f '{{len .RootFS.Layers}}' 127.0.0.1:5000/x:both
127.0.0.1:5000/x:both
1
$ docker pull --platform linux/riscv64 127.0.0.1:5000/x:both
both: Pulling from x
no matching manifest for linux/riscv64 in the manifest list entries
[1]
"#,
    );
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let Some(host) = host("") else { return };
    let Some(registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    // The layer is larger than any single connection carries.
    let cut = registry.break_after(5002, 300_000, false);
    host.session(
        r#"
$ docker tag busybox 127.0.0.1:5000/b; docker push -q 127.0.0.1:5000/b
127.0.0.1:5000/b:latest
$ docker rmi -f $(docker images -q | sort -u) > /dev/null; docker pull 127.0.0.1:5002/b | tail -n 3
Digest: sha256:<id>
Status: Downloaded newer image for 127.0.0.1:5002/b:latest
127.0.0.1:5002/b:latest
$ docker run --rm 127.0.0.1:5002/b echo runs
runs
"#,
    );
    assert!(cut.try_iter().count() > 1, "the connection was never cut");
}

#[test]
fn a_pull_that_its_client_gives_up_leaves_nothing() {
    let Some(host) = host("") else { return };
    let Some(registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    host.session(
        r#"
$ docker tag busybox 127.0.0.1:5000/b; docker push -q 127.0.0.1:5000/b
127.0.0.1:5000/b:latest
$ docker rmi -f $(docker images -q | sort -u) > /dev/null
"#,
    );
    let stuck = registry.break_after(5002, 300_000, true);
    host.shell("docker pull 127.0.0.1:5002/b > pull.log 2>&1 & echo $! > pid");
    stuck.recv().unwrap();
    host.session(
        r#"
$ ls -A root/layers | wc -l
1
$ kill $(cat pid); until [ -z "$(ls -A root/layers)" ]; do :; done; docker images -q
"#,
    );
}

#[test]
fn damaged_content_is_refused_and_nothing_stays() {
    let Some(host) = host("") else { return };
    let Some(registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    host.session(
        r#"
$ docker tag busybox 127.0.0.1:5000/b; docker push -q 127.0.0.1:5000/b
127.0.0.1:5000/b:latest
$ docker rmi -f $(docker images -q | sort -u) > /dev/null
"#,
    );
    registry.damage_layers("b", "latest");
    host.session(
        r#"
$ docker pull 127.0.0.1:5000/b
Using default tag: latest
latest: Pulling from b
<id>: Pulling fs layer
<id>: Verifying Checksum
filesystem layer verification failed for digest sha256:<id>
[1]
$ docker images -q; ls -A root/layers root/images
root/images:
repositories.json

root/layers:
"#,
    );
}

#[test]
fn a_pull_that_dies_with_the_engine_leaves_nothing_visible() {
    let Some(mut host) = host("") else { return };
    let Some(registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    host.session(
        r#"
$ docker tag busybox 127.0.0.1:5000/b; docker push -q 127.0.0.1:5000/b
127.0.0.1:5000/b:latest
$ docker rmi -f $(docker images -q | sort -u) > /dev/null
"#,
    );
    let stuck = registry.break_after(5002, 300_000, true);
    host.shell("docker pull 127.0.0.1:5002/b > pull.log 2>&1 &");
    stuck.recv().unwrap();
    // Its network goes with the engine.
    drop(registry);
    host.restart(false);
    let Some(_registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    host.session(
        r#"
$ docker images -q; ls -A root/layers
$ docker pull -q 127.0.0.1:5000/b
127.0.0.1:5000/b:latest
$ docker run --rm 127.0.0.1:5000/b echo runs
runs
"#,
    );
}
