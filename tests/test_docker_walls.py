"""Ways out of a container that were found in others, each tried here: every test is one that fails to escape."""

import hashlib
import io
import os
import tarfile

import docker
import pytest

from cloud import binary


@pytest.fixture
def outside(tmp_path):
    """A folder of this machine that must stay as it is, and a file that must not be made."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    yield folder
    assert sorted(os.listdir(folder)) == ["kept"]
    assert (folder / "kept").read_text() == "kept"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def entry(name, kind=tarfile.REGTYPE, link="", data=b"", device=(0, 0)):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, len(data), 0o755
    info.devmajor, info.devminor = device
    return info, data


def archive(*entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def with_busybox(*entries):
    """A root file system of one layer, the given entries first."""
    with open("/bin/busybox", "rb") as file:
        program = file.read()
    tools = [entry(f"bin/{name}", tarfile.SYMTYPE, "busybox") for name in ("sh", "cat", "echo", "ls")]
    return archive(*entries, entry("bin/busybox", data=program), *tools)


def load(engine, tmp_path, name, content):
    path = tmp_path / "root.tar"
    path.write_bytes(content)
    engine.docker("import", str(path), name, code=None)
    return engine.stderr


def test_the_engines_own_program_cannot_be_written(engine):
    """CVE-2019-5736: who is asked into a container must not hand it the program of its helper."""
    before = digest(binary())
    overwrite = (
        "for n in $(seq 200); do for p in /proc/[0-9]*; do"
        "  (echo '#!/bin/sh' >$p/exe) 2>/dev/null && echo wrote $p;"
        "  (exec 3>>$p/exe) 2>/dev/null && echo opened $p; done; done; echo over"
    )
    engine.docker("run", "-d", "--name", "lurks", "busybox", "sh", "-c", overwrite + "; sleep 1000")
    for _ in range(10):
        engine.docker("exec", "lurks", "true")
        engine.docker("exec", "lurks", "/proc/self/exe", code=None)
    engine.docker("run", "--rm", "--entrypoint", "/proc/self/exe", "busybox", code=None)
    said = engine.docker("logs", "lurks")
    # Busybox, its own program, is not of this machine.
    assert digest(binary()) == before and "cumulet" not in said
    engine.docker("rm", "-f", "lurks")


@pytest.mark.parametrize("path", ["proc", "sys", "dev", "dev/null", "etc/hosts", "etc/resolv.conf", "dev/pts", "dev/shm"])
def test_an_image_cannot_lead_what_is_mounted_elsewhere(engine, tmp_path, outside, path):
    """CVE-2019-19921, -16884, 2025-31133, -52565, -52881: links where the engine mounts or writes."""
    content = with_busybox(entry(path, tarfile.SYMTYPE, "/../../../../../.." + str(outside)))
    name = "led-" + path.replace("/", "-").replace(".", "")
    load(engine, tmp_path, name, content)
    host = open("/proc/sys/kernel/hostname", encoding="ascii").read()
    for more in ([], ["-t"], ["--read-only"]):
        out = engine.docker(
            "run", "--rm", *more, "--hostname", "inside", "--sysctl", "net.ipv4.ip_unprivileged_port_start=99", name,
            "/bin/busybox", "sh", "-c", "cat /etc/../kept /outside/kept 2>/dev/null; echo x 2>/dev/null >/proc/sys/kernel/core_pattern || echo walled",
            code=None,
        )
        assert "kept" not in out
        # It runs within its walls, or it does not run.
        assert "walled" in out or engine.stderr, (out, engine.stderr)
    assert open("/proc/sys/kernel/hostname", encoding="ascii").read() == host
    assert "x" != open("/proc/sys/kernel/core_pattern", encoding="ascii").read().strip()


def test_a_volume_on_a_link_stays_inside(engine, tmp_path, outside):
    """CVE-2021-30465: a place to mount on that is a link, which another container may change."""
    link = entry("link", tarfile.SYMTYPE, "/../../../../.." + str(outside))
    load(engine, tmp_path, "linked", with_busybox(link, entry("mnt", tarfile.DIRTYPE)))
    for target in ("/link", "/link/below", "/mnt/../link"):
        engine.docker("run", "--rm", "-v", f"shared:{target}", "linked", "/bin/busybox", "touch", f"{target}/made", code=None)
    swap = "while true; do ln -s / /v/x; rm /v/x; mkdir /v/x; rmdir /v/x; done 2>/dev/null"
    engine.docker("run", "-d", "--name", "swaps", "-v", "race:/v", "busybox", "sh", "-c", swap)
    for _ in range(10):
        out = engine.docker(
            "run", "--rm", "-v", "race:/v", "-v", "shared:/v/x", "busybox", "ls", "/v/x", code=None
        )
        assert "root" not in out.split() or "kept" not in out
        assert "engine" not in out
    engine.docker("rm", "-f", "swaps")
    engine.docker("volume", "rm", "shared", "race")


OUT = "../../../../../../../../../.."


@pytest.mark.parametrize(
    "name, entries",
    [
        ("a name with dots", lambda out: [entry(OUT + out + "/made", data=b"x")]),
        ("an absolute name", lambda out: [entry(out + "/made", data=b"x")]),
        ("a link and a file through it", lambda out: [
            entry("l", tarfile.SYMTYPE, out), entry("l/made", data=b"x")]),
        ("a link of dots", lambda out: [
            entry("l", tarfile.SYMTYPE, OUT + out), entry("l/made", data=b"x")]),
        ("a hard link to outside", lambda out: [
            entry("h", tarfile.LNKTYPE, OUT + out + "/kept"), entry("h", data=b"overwritten")]),
        ("a hard link through a link", lambda out: [
            entry("l", tarfile.SYMTYPE, out), entry("h", tarfile.LNKTYPE, "l/kept"), entry("h", data=b"overwritten")]),
        ("a whiteout through a link", lambda out: [
            entry("l", tarfile.SYMTYPE, out), entry("l/.wh.kept")]),
        ("a whiteout of dots", lambda out: [entry(OUT + out + "/.wh.kept")]),
        ("a whiteout of all above", lambda out: [entry(".wh..."), entry(".wh..")]),
        ("an opaque folder through a link", lambda out: [
            entry("l", tarfile.SYMTYPE, out), entry("l/.wh..wh..opq")]),
    ],
)
def test_a_layer_cannot_lead_out(engine, tmp_path, outside, name, entries):
    load(engine, tmp_path, "malicious", with_busybox(*entries(str(outside))))
    engine.docker("run", "--rm", "malicious", "/bin/busybox", "true", code=None)
    # The same as an archive that is copied into a container.
    engine.docker("create", "--name", "receives", "busybox")
    client = docker.DockerClient(base_url="unix://" + engine.socket)
    try:
        client.containers.get("receives").put_archive("/tmp", archive(*entries(str(outside))))
    except docker.errors.APIError as error:
        assert error.status_code in (400, 403, 500)
    client.close()
    engine.docker("rm", "-f", "receives")
    engine.docker("rmi", "-f", "malicious", code=None)


def test_a_device_of_an_image_is_of_no_use(engine, tmp_path):
    content = with_busybox(entry("disk", tarfile.BLKTYPE, device=(254, 0)), entry("memory", tarfile.CHRTYPE, device=(1, 1)))
    load(engine, tmp_path, "devices", content)
    for name in ("disk", "memory"):
        out = engine.docker("run", "--rm", "devices", "/bin/busybox", "sh", "-c", f"/bin/busybox head -c 1 /{name} || echo walled", code=None)
        assert "walled" in out or engine.stderr


def test_an_archive_that_says_it_is_huge(engine, tmp_path):
    """A header of a file of 8 EiB, behind which nothing comes."""
    info = tarfile.TarInfo("bomb")
    info.size = (1 << 62) + 1
    path = tmp_path / "root.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    engine.docker("import", str(path), "bomb", code=1)
    assert engine.stderr
    assert "bomb" not in engine.docker("images", "--format", "{{.Repository}}")


def test_what_a_container_sees_of_others(engine):
    engine.docker("run", "-d", "--name", "secret", "-e", "KEY=hidden", "busybox", "sleep", "1000")
    look = "cat /proc/[0-9]*/environ /proc/[0-9]*/root/proc/1/environ 2>/dev/null; ls /proc | grep -c '^[0-9]'"
    out = engine.docker("run", "--rm", "busybox", "sh", "-c", look)
    assert "hidden" not in out and int(out.split("\n")[-1].split()[-1][-1]) < 9
    # With this machine's processes in sight their memory and folders still are not.
    out = engine.docker(
        "run", "--rm", "--pid", "host", "busybox", "sh", "-c",
        "cat /proc/1/environ /proc/1/root/etc/shadow 2>/dev/null; echo end",
    )
    assert out == "end"
    engine.docker("rm", "-f", "secret")
