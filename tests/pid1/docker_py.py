"""Uses System Docker as docker-py does: DOCKER_HOST says where. Prints the name of each step that worked."""

import io
import tarfile

import docker
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound

LOOP = ["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done"]


def refused(call, status, text):
    """The call must fail with this status and a message that has this text."""
    try:
        call()
    except APIError as error:
        assert (error.status_code, text in error.explanation) == (status, True), error
    else:
        raise AssertionError("not refused")


def versions(client):
    assert client.ping() and client.version()["ApiVersion"] == "1.53"
    assert client.info()["Swarm"]["LocalNodeState"] == "inactive"


def run(client):
    assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"
    both = client.containers.run("busybox", ["sh", "-c", "echo o; echo e >&2"], remove=True, stdout=True, stderr=True)
    assert sorted(both.splitlines()) == [b"e", b"o"], both
    try:
        client.containers.run("busybox", "sh -c 'exit 3'", remove=True)
    except ContainerError as error:
        assert error.exit_status == 3
    else:
        raise AssertionError("exit code lost")
    refused(lambda: client.containers.run("busybox", "nosuch", remove=True), 400, "executable file not found")


def lifecycle(client):
    container = client.containers.run("busybox", LOOP, detach=True, name="web", labels={"a": "b"}, environment={"A": "1"})
    assert [found.name for found in client.containers.list(filters={"label": "a=b"})] == ["web"]
    container.reload()
    assert (container.status, container.ports, container.attrs["HostConfig"]["LogConfig"]["Type"]) == ("running", {}, "json-file")
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.rename("web2")
    container.update(mem_limit="128m", memswap_limit="256m")
    container.restart(timeout=0)
    container.stop(timeout=0)
    assert container.wait() == {"StatusCode": 137}
    container.remove()
    refused(lambda: client.containers.get("web2"), 404, "No such container: web2")


def streams(client):
    container = client.containers.run("busybox", LOOP, detach=True)
    followed = container.logs(stream=True, follow=True)
    assert (next(followed), next(followed)) == (b"0\n", b"1\n")
    followed.close()
    attached = container.attach(stream=True)
    assert next(attached).strip().isdigit()
    assert container.exec_run(["sh", "-c", "echo $A; exit 4"], environment={"A": "x"}) == (4, b"x\n")
    assert container.exec_run("sh -c 'echo o; echo e >&2'", demux=True).output == (b"o\n", b"e\n")
    exec_id = client.api.exec_create(container.id, ["echo", "hi"], tty=True)["Id"]
    assert client.api.exec_start(exec_id) == b"hi\r\n"
    socket = container.exec_run("cat", stdin=True, socket=True).output._sock
    socket.sendall(b"hello")
    socket.shutdown(1)
    assert socket.recv(100) == b"\x01\0\0\0\0\0\0\x05hello"
    socket.close()
    assert container.top()["Titles"][:3] == ["UID", "PID", "PPID"]
    assert container.stats(stream=False)["precpu_stats"]["system_cpu_usage"] > 0
    container.remove(force=True)


def terminals(client):
    container = client.containers.create("busybox", "cat", stdin_open=True, tty=True)
    socket = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    container.resize(30, 100)
    socket._sock.sendall(b"typed\n")
    seen = b""
    while seen.count(b"typed") < 2:
        seen += socket._sock.recv(100)
    socket.close()
    container.remove(force=True)


def files(client):
    container = client.containers.create("busybox", "true")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    assert container.put_archive("/etc", archive.getvalue())
    chunks, stat = container.get_archive("/etc/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        assert tar.extractfile("file").read() == b"abc"
    assert (stat["name"], stat["size"], stat["mode"]) == ("file", 3, 0o644)
    assert container.diff() == [{"Path": "/etc", "Kind": 0}, {"Path": "/etc/file", "Kind": 1}]
    refused(lambda: container.get_archive("/nope"), 404, "Could not find the file /nope")
    container.remove()


def events(client):
    stream = client.events(decode=True, filters={"type": "container"})
    container = client.containers.create("busybox", "true")
    event = next(stream)
    assert (event["status"], event["Action"], event["id"]) == ("create", "create", container.id)
    stream.close()
    container.remove()


def images(client):
    image = client.images.get("busybox")
    assert image.tag("other", "1")
    saved = b"".join(image.save(named=True))
    client.images.remove("other:1")
    assert [loaded.id for loaded in client.images.load(saved)] == [image.id]
    assert [found.id for found in client.images.list(filters={"reference": "busybox"})] == [image.id]
    assert image.history()[0]["Id"] == image.id
    try:
        client.images.get("nope")
    except ImageNotFound:
        pass
    else:
        raise AssertionError("an image that is not there")
    refused(lambda: client.images.pull("127.0.0.1:1/nope"), 500, "connection refused")


def volumes(client):
    volume = client.volumes.create("data", labels={"a": "b"})
    client.containers.run("busybox", "touch /data/x", remove=True, volumes={"data": {"bind": "/data", "mode": "rw"}})
    assert [found.name for found in client.volumes.list(filters={"label": "a=b"})] == ["data"]
    assert client.volumes.prune() == {"VolumesDeleted": [], "SpaceReclaimed": 0}
    volume.remove()
    try:
        client.volumes.get("data")
    except NotFound:
        pass
    else:
        raise AssertionError("a volume that is not there")


def networks(client):
    assert sorted(network.name for network in client.networks.list()) == ["bridge", "host", "none"]
    pool = docker.types.IPAMPool(subnet="10.77.0.0/24", gateway="10.77.0.9")
    own = client.networks.create("own", labels={"a": "b"}, ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    assert own.attrs["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.9"}]
    refused(lambda: client.networks.create("own"), 409, "network with name own already exists")
    container = client.containers.run("busybox", "sleep 1000", detach=True, name="own1", network="own")
    other = client.networks.create("other")
    other.connect(container, aliases=["web"])
    idle = client.containers.create("busybox", "true")
    client.api.connect_container_to_network(idle.id, "other", mac_address="02:42:ac:11:00:02")
    idle.reload()
    assert idle.attrs["NetworkSettings"]["Networks"]["other"]["MacAddress"] == "02:42:ac:11:00:02"
    idle.remove()
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"]
    assert networks["own"]["IPAddress"] == "10.77.0.1"
    assert "web" in networks["other"]["DNSNames"]
    other.reload()
    assert [member.name for member in other.containers] == ["own1"]
    refused(other.remove, 403, "network other has active endpoints")
    other.disconnect(container)
    assert client.networks.prune() == {"NetworksDeleted": ["other"]}
    container.remove(force=True)
    own.remove()
    container = client.containers.run("busybox", "sleep 1000", detach=True, ports={"80/tcp": ("127.0.0.1", 8088)})
    container.reload()
    assert container.ports == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8088"}]}
    container.remove(force=True)
    refused(lambda: client.swarm.init(), 501, "does not support swarm mode")


def usage(client):
    client.containers.prune()
    idle = client.containers.create("busybox", "true")
    assert client.containers.prune()["ContainersDeleted"] == [idle.id]
    assert {"Images", "Containers", "Volumes", "BuildCache", "LayersSize"} <= client.df().keys()


def main():
    client = docker.from_env()
    for step in (versions, run, lifecycle, streams, terminals, files, events, images, volumes, networks, usage):
        step(client)
        print(step.__name__)


main()
