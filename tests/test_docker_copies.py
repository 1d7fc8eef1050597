"""Where the kernel lays no overlay, all files of an image are copied for each container; what a container has
changed is found by comparing. The same is asked of both ways, and has to be answered alike."""

import io
import json
import os
import subprocess
import tarfile

import pytest

from containers import Engine
from deadline import wait_until

pytestmark = pytest.mark.unkilled

BASE = """
FROM busybox
RUN mkdir -p /d/sub /gone/deep && echo one >/d/file && ln /d/file /d/same && echo two >/d/other \\
    && echo deep >/gone/deep/file && ln -s /d/file /link && mkfifo /d/pipe && chmod 1777 /d/sub
"""

CHANGE = """
echo more >>/d/file
echo new >/d/new
rm /d/other
rm -r /gone
mkdir /gone && echo again >/gone/now
rm /link && mkdir /link && echo inside >/link/x
chown 5:6 /d/sub
touch /d/sub/t && rm /d/sub/t
cp -p /etc/passwd /tmp/p && cat /tmp/p >/etc/passwd && rm /tmp/p
mkdir /etc/mine
"""


@pytest.fixture(scope="module", params=["overlay2", "vfs"])
def engine(request, tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp(request.param), ["--storage-driver", request.param]).start()
    engine.driver = request.param
    engine.bootstrap()
    build(engine, "base", BASE)
    yield engine
    engine.close()


def build(engine, name, text, **files):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in {"Dockerfile": text, **files}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
    context = os.path.join(engine.folder, f"{name}.tar")
    with open(context, "wb") as file:
        file.write(archive.getvalue())
    with open(context, "rb") as file:
        done = subprocess.run(["docker", "build", "-q", "-t", name, "-"], stdin=file, capture_output=True,
                              text=True, env={**engine.env, "DOCKER_BUILDKIT": "0"}, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def listing(archive):
    """Name, kind, owner, mode and content of all in a tar."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            content = tar.extractfile(entry).read() if entry.isreg() and entry.size < 100_000 else None
            kind = b"0" if entry.islnk() else entry.type
            found[entry.name.rstrip("/")] = (kind, entry.uid, entry.gid, entry.mode & 0o7777, content or entry.linkname)
    return found


def output(engine, *words):
    return subprocess.run(["docker", *words], capture_output=True, env=engine.env, check=True, timeout=60).stdout


def flats(engine):
    return set(os.listdir(os.path.join(engine.cloud.data, "engine", "flat")))


def test_it_says_which(engine):
    info = json.loads(engine.request("GET", "/info")[2])
    assert info["Driver"] == engine.driver
    assert engine.inspect("base")["GraphDriver"]["Name"] == engine.driver
    engine.docker("create", "--name", "shown", "busybox")
    shown = engine.inspect("shown")
    assert (shown["Driver"], shown["GraphDriver"]["Name"]) == (engine.driver, engine.driver)
    engine.docker("rm", "shown")


def test_what_a_container_changed(engine):
    engine.docker("run", "--name", "changed", "base", "sh", "-c", CHANGE)
    # An overlay takes a folder up for a file that comes and goes, hides what was in one that is made anew, and
    # parts a file's two names.
    more = {"overlay2": {"C /tmp"}, "vfs": {"D /gone/deep", "C /d/same"}}[engine.driver]
    assert set(engine.docker("diff", "changed").splitlines()) == more | {
        "C /d", "C /d/file", "A /d/new", "D /d/other", "C /d/sub", "A /etc/mine", "C /etc", "C /etc/passwd",
        "C /gone", "A /gone/now", "C /link", "A /link/x",
    }
    engine.docker("commit", "changed", "again")
    seen = "cat /d/file /d/new /gone/now /link/x; ls /d /gone; stat -c %u:%g:%a /d/sub; test -p /d/pipe && echo /d/pipe"
    text = engine.docker("run", "--rm", "again", "sh", "-c", seen)
    assert text.split() == ["one", "more", "new", "again", "inside", "/d:", "file", "new", "pipe", "same", "sub",
                            "/gone:", "now", "5:6:1777", "/d/pipe"], text
    # Nothing of what is only mounted on went into the layer.
    saved = listing(output(engine, "export", "changed"))
    layer = engine.docker("history", "--format", "{{.Size}}", "--no-trunc", "again").splitlines()[0]
    assert layer not in ("0B", ""), layer
    for path in ("d/file", "d/new", "gone/now", "link/x", "d/pipe", "bin/busybox", "etc/mine"):
        assert path in saved, path
    for path in ("d/other", "gone/deep", "gone/deep/file"):
        assert path not in saved, path
    # Nothing is nothing, whatever was only looked at.
    engine.docker("run", "--name", "idle", "base", "sh", "-c", "cat /d/*file /etc/* >/dev/null 2>&1; ls -R / >/dev/null 2>&1; true")
    assert engine.docker("diff", "idle") == ""
    sizes = engine.inspect("idle"), json.loads(engine.request("GET", "/containers/idle/json?size=1")[2])
    assert sizes[1]["SizeRw"] == 0
    engine.docker("rm", "changed", "idle")
    engine.docker("rmi", "again")


def test_a_change_that_hides_its_time(engine):
    """As long as before, and with the time of before."""
    engine.docker("run", "--name", "hides", "base", "sh", "-c",
                  "touch -r /d/other /tmp/t; echo owt >/d/other; touch -r /tmp/t /d/other; rm /tmp/t")
    assert "C /d/other" in engine.docker("diff", "hides").splitlines()
    engine.docker("commit", "hides", "hidden")
    assert engine.docker("run", "--rm", "hidden", "cat", "/d/other") == "owt"
    engine.docker("rm", "hides")
    engine.docker("rmi", "hidden")


def test_hard_links_stay(engine):
    if engine.driver == "vfs":
        both = engine.docker("run", "--rm", "base", "sh", "-c", "echo x >>/d/same; cat /d/file; stat -c %h /d/file")
        assert both.split() == ["one", "x", "2"]
    engine.docker("run", "--name", "links", "base", "sh", "-c", "echo l >/d/l; ln /d/l /d/m")
    engine.docker("commit", "links", "linked")
    assert engine.docker("run", "--rm", "linked", "stat", "-c", "%h", "/d/m") == "2"
    engine.docker("rm", "links")
    engine.docker("rmi", "linked")


def test_copies_and_volumes(engine, tmp_path):
    (tmp_path / "in").write_text("copied")
    engine.docker("create", "--name", "still", "-v", "kept:/d", "base", "sh", "-c", "cat /tmp/in /d/file; echo 3 >/d/file")
    engine.docker("cp", str(tmp_path / "in"), "still:/tmp/in")
    assert engine.docker("start", "-a", "still").split() == ["copiedone"]
    engine.docker("cp", "still:/tmp/in", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "copied"
    assert engine.docker("run", "--rm", "-v", "kept:/k", "base", "cat", "/k/file", "/k/same").split() == ["3", "3"]
    engine.docker("run", "-d", "--name", "runs", "base", "sleep", "1000")
    engine.docker("cp", str(tmp_path / "in"), "runs:/d/in")
    assert engine.docker("exec", "runs", "cat", "/d/in") == "copied"
    engine.docker("rm", "-f", "still", "runs")
    engine.docker("volume", "rm", "kept")


def test_builds(engine):
    build(engine, "staged", """
FROM base AS first
WORKDIR /work/here
COPY a b/
RUN rm /d/other && echo made >made
FROM busybox
COPY --from=first /work /w
COPY --from=first --chown=7:8 /d/file /f
RUN ! test -e /d && cat /w/here/b/a /w/here/made /f >/all
""", a="content")
    assert engine.docker("run", "--rm", "staged", "sh", "-c", "cat /all; stat -c %u:%g /f") == "contentmade\none\n7:8"
    engine.docker("rmi", "staged")


def test_owners_between_stages(engine):
    """What comes from a stage is whose it was there, and that is part of what is looked up in the cache."""
    for chown, shown in (("true", "0:0 0:0 0:0"), ("chown 5:6 /work/here/made && chown 8:9 /work", "8:9 5:6 0:0")):
        build(engine, "owned", f"""
FROM busybox AS first
RUN mkdir -p /work/here && echo made >/work/here/made && {chown}
FROM busybox
COPY --from=first /work /new/w
COPY --from=first /work/here/made /new/file
COPY --from=first --chown=7 /work/here /new/given
COPY a /new/
""", a="content")
        seen = engine.docker("run", "--rm", "owned", "stat", "-c", "%u:%g", "/new/w", "/new/w/here/made", "/new/w/here",
                             "/new/file", "/new", "/new/a", "/new/given", "/new/given/made").split()
        assert seen == [*shown.split(), shown.split()[1], "0:0", "0:0", "7:7", "7:7"]
    engine.docker("rmi", "owned")


def layers_size(engine):
    return json.loads(engine.request("GET", "/system/df")[2])["LayersSize"]


def test_what_is_not_needed_goes(engine):
    build(engine, "short", "FROM busybox\nRUN echo short >/short\n")
    before, size = flats(engine), layers_size(engine)
    engine.docker("run", "--name", "short", "short", "cat", "/short")
    assert bool(flats(engine) - before) == (engine.driver == "vfs")
    # The program of it all is a megabyte and more.
    assert (layers_size(engine) - size > 1_000_000) == (engine.driver == "vfs")
    engine.docker("rm", "short")
    engine.docker("rmi", "short")
    wait_until(lambda: not flats(engine) - before, "nothing of the image is left")
    scratch = os.path.join(engine.cloud.data, "engine", "scratch")
    wait_until(lambda: set(os.listdir(scratch)) <= {"empty"}, "nothing half made is left")


def test_from_one_to_the_other(tmp_path):
    """Images are good for both; a container keeps what it wrote."""
    engine = Engine(tmp_path, ["--storage-driver", "overlay2"]).start()
    engine.bootstrap()
    engine.docker("run", "--name", "early", "--network", "none", "busybox", "sh", "-c", "echo early >>/etc/passwd; rm /bin/wc; echo $(tail -n 1 /etc/passwd)")
    changes = engine.docker("diff", "early")
    assert engine.cloud.terminate() == 0
    engine.cloud.args[engine.cloud.args.index("overlay2")] = "vfs"
    engine.cloud.start()
    assert engine.docker("diff", "early") == changes
    assert engine.docker("start", "-a", "early") == "early"
    assert engine.docker("diff", "early") == changes
    engine.docker("run", "--name", "late", "--network", "none", "busybox", "sh", "-c", "echo late >>/etc/passwd; tail -n 1 /etc/passwd")
    assert engine.cloud.terminate() == 0
    engine.cloud.args[engine.cloud.args.index("vfs")] = "overlay2"
    engine.cloud.start()
    for name in ("early", "late"):
        assert engine.docker("start", "-a", name) == name
        assert engine.inspect(name)["Driver"] == "vfs"
    engine.docker("run", "--rm", "--network", "none", "busybox", "wc", "/etc/passwd")
    engine.close()


def test_by_itself_where_an_overlay_cannot_be(tmp_path):
    """On an overlay there is no room for another one's upper folder."""
    for name in ("lower", "upper", "work", "here"):
        (tmp_path / name).mkdir()
    options = ",".join(f"{key}dir={tmp_path / key}" for key in ("lower", "upper", "work"))
    subprocess.run(["mount", "-t", "overlay", "-o", options, "none", str(tmp_path / "here")], check=True)
    try:
        engine = Engine(tmp_path / "here").start()
        engine.bootstrap()
        assert engine.docker("run", "--rm", "busybox", "echo", "hello") == "hello"
        assert json.loads(engine.request("GET", "/info")[2])["Driver"] == "vfs"
        engine.close()
    finally:
        subprocess.run(["umount", str(tmp_path / "here")], check=True)
