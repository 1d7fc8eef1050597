"""The commands of the binary, as a person and a script use them."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
import requests
from accounts import Account, allow, refused
from cloud import Cloud, binary, clean_env, cumulet, memory_kb
from deadline import wait_until

# The exit codes that `cumulet --help` lists.
USAGE, HELD, ADDRESS, DATA = 2, 3, 4, 5


def test_version():
    done = cumulet("version")
    assert done.returncode == 0
    assert re.match(r"cumulet \d+\.\d+\.\d+", done.stdout), done.stdout
    assert cumulet("--version").stdout.split()[:2] == done.stdout.split()[:2]


def test_help():
    done = cumulet("--help")
    assert done.returncode == 0
    for command in ("up", "status", "env", "doctor", "events", "snapshot", "clock", "version"):
        assert re.search(rf"^ +{command}\b", done.stdout, re.MULTILINE), command
        helped = cumulet(command, "--help")
        assert helped.returncode == 0 and "Usage: cumulet" in helped.stdout


def test_completions():
    for shell in ("bash", "zsh", "fish", "elvish", "powershell"):
        done = cumulet("completions", shell)
        assert done.returncode == 0 and "snapshot" in done.stdout


def commands(*words):
    """All commands below these words, as `--help` lists them."""
    text = cumulet(*words, "--help").stdout
    listed = text.partition("Commands:\n")[2].partition("\n\n")[0]
    for name in re.findall(r"^  (\w\S*)", listed, re.MULTILINE):
        if name != "help":
            yield (*words, name)
            yield from commands(*words, name)


def test_every_command_teaches():
    """What it does, an example of it, and a refusal with the code for that."""
    found = list(commands())
    assert len(found) > 30 and ("snapshot", "fork") in found, found
    for words in found:
        helped = cumulet(*words, "--help")
        assert (helped.returncode, helped.stderr) == (0, ""), words
        assert f"Usage: cumulet {' '.join(words)}" in helped.stdout, words
        assert "Commands:" in helped.stdout or "Example" in helped.stdout, words
        wrong = cumulet(*words, "--nonsense")
        assert wrong.returncode == USAGE and "--nonsense" in wrong.stderr, words


@pytest.mark.parametrize("words", ["completions bash", "events --help", "doctor", "lab list", "fault --help"])
def test_nobody_reads_to_the_end(words):
    """`cumulet ... | head -1` ends quietly."""
    with subprocess.Popen([binary(), *words.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as made:
        made.stdout.close()
        errors = made.stderr.read().decode()
        made.wait(30)
    assert "panicked" not in errors, errors
    assert made.returncode in (0, -signal.SIGPIPE), (made.returncode, errors)


@pytest.mark.parametrize(
    "words", [["nonsense"], ["up", "--nonsense"], ["up", "--listen", "nonsense"],
              ["up", "--data"], ["status", "x"], ["snapshot"]])
def test_words_that_are_none(words):
    done = cumulet(*words)
    assert done.returncode == USAGE, done
    assert done.stderr and not done.stdout


def test_a_cloud_whose_words_nobody_reads(tmp_path):
    ready = tmp_path / "ready"
    words = ["up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--docker-socket", "none",
             "--ready-file", ready]
    with subprocess.Popen([binary(), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=clean_env()) as made:
        made.stdout.close()
        wait_until(lambda: ready.exists() or made.poll() is not None, "it is ready", 30)
        assert made.poll() is None, made.stderr.read()
        answer = requests.get(json.loads(ready.read_text())["url"] + "/health")
        made.terminate()
        assert (answer.status_code, made.wait(30)) == (200, 0)


def test_no_colour_without_a_terminal():
    for words in (["--help"], ["nonsense"], ["doctor"]):
        done = cumulet(*words)
        assert "\x1b[" not in done.stdout + done.stderr


def test_env(own_cloud):
    cloud = own_cloud()
    port = cloud.endpoint.rsplit(":", 1)[1]
    done = cumulet("env", env={"CUMULET_LISTEN": f"127.0.0.1:{port}"})
    assert done.returncode == 0, done.stderr
    script = done.stdout + '\nprintf "%s|" "$AWS_ENDPOINT_URL" "$AWS_ACCESS_KEY_ID" '
    script += '"$AWS_SECRET_ACCESS_KEY" "$AWS_DEFAULT_REGION"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True,
                           env=clean_env())
    assert shell.stdout == f"http://127.0.0.1:{port}|test|test|us-east-1|"


def test_env_of_a_cloud_without_containers(own_cloud):
    """One's own docker keeps its server."""
    cloud = own_cloud("--docker-socket", "none")
    done = cumulet("env", "--data", cloud.data)
    assert done.returncode == 0 and "AWS_ENDPOINT_URL" in done.stdout and "DOCKER" not in done.stdout, done


def test_env_as_github_reads_it(own_cloud, tmp_path):
    """Without quotes, which its file would keep; and no socket that is not there."""
    folder = tmp_path / "with a blank"
    done = cumulet("env", "--shell", "github", "--data", str(folder))
    assert done.returncode == 0 and "DOCKER_HOST" not in done.stdout, done
    cloud = own_cloud(data=folder)
    given = dict(line.split("=", 1) for line in cumulet("env", "--shell", "github", "--data", cloud.data).stdout.splitlines())
    assert given["AWS_ENDPOINT_URL"] == cloud.endpoint and given["AWS_ACCESS_KEY_ID"] == "test"
    assert given["DOCKER_HOST"] == f"unix://{folder}/run/docker.sock", given
    torn = cumulet("env", "--shell", "github", env={"CUMULET_ROOT_KEY": "abc:two\nlines-of-it", "CUMULET_AUTH": "strict"})
    assert torn.returncode == USAGE and "more than one line" in torn.stderr, torn


def test_env_finds_the_cloud_that_holds_the_folder(own_cloud):
    cloud = own_cloud()
    done = cumulet("env", "--data", cloud.data)
    assert f"export AWS_ENDPOINT_URL={cloud.endpoint}\n" in done.stdout, done.stdout
    cloud.terminate()
    done = cumulet("env", "--data", cloud.data)
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:4566\n" in done.stdout, done.stdout
    strict = cumulet("env", "--account", "123456789012", env={"CUMULET_AUTH": "strict"})
    assert strict.returncode == USAGE and "--root-key" in strict.stderr, strict


def test_status(own_cloud):
    cloud = own_cloud()
    done = cumulet("status", "--data", cloud.data)
    assert done.returncode == 0, done.stderr
    assert cloud.endpoint in done.stdout and str(cloud.pid) in done.stdout
    cloud.terminate()
    done = cumulet("status", "--data", cloud.data)
    assert done.returncode != 0
    assert "not running" in done.stdout + done.stderr


def test_status_of_a_cloud_that_is_not_ready(own_cloud, tmp_path):
    ready = tmp_path / "init" / "ready.d"
    ready.mkdir(parents=True)
    os.mkfifo(tmp_path / "gate")
    (ready / "fill.sh").write_text(f"read x < {tmp_path}/gate\n")
    cloud = own_cloud("--init", str(tmp_path / "init"))
    status = lambda: cumulet("status", "--data", cloud.data)
    wait_until(lambda: "not ready yet: fill.sh of ready.d runs" in status().stderr, "the script runs", 30)
    assert status().returncode == 1
    (tmp_path / "gate").write_text("on\n")
    wait_until(lambda: "Ready." in cloud.log(), "it is ready", 30)
    assert status().returncode == 0


def test_listening_at_several_places(own_cloud):
    cloud = own_cloud("--listen", "127.0.0.2:0", "--listen", "127.0.0.3:0")
    places = [cloud.endpoint, *(f"http://{at}" for at in re.findall(r"also on (\S+)", cloud.log()))]
    assert len(places) == 3
    for place in places:
        assert requests.get(f"{place}/health", timeout=10).json()["status"] == "ok"


def test_doctor(tmp_path, own_cloud):
    done = cumulet("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kernel" in done.stdout.lower()
    cloud = own_cloud()
    account = Account("700000000010", cloud)
    bucket = account.new_bucket()
    for n in range(20):
        account.s3.put_object(Bucket=bucket, Key=f"{n}", Body=bytes([n]) * 100_000)
    held = cumulet("doctor", "--data", cloud.data)
    assert str(cloud.pid) in held.stdout + held.stderr, "it says who holds the folder"
    cloud.terminate()
    good = cumulet("doctor", "--data", cloud.data)
    assert good.returncode == 0, good.stdout + good.stderr
    # Rot in a stored byte is found.
    damage(cloud.data)
    bad = cumulet("doctor", "--data", cloud.data)
    assert bad.returncode != 0, bad.stdout + bad.stderr


def damage(folder):
    """Flips a byte in the middle of the largest file that holds data of ours."""
    paths = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
    marked = []
    for path in paths:
        with open(path, "rb") as file:
            at = file.read().find(bytes([7]) * 1000)
        if at >= 0:
            marked.append((path, at))
    assert marked, f"no file holds the bytes: {paths}"
    for path, at in marked:
        with open(path, "r+b") as file:
            file.seek(at + 500)
            file.write(b"\xff")


def events(cloud, *args):
    done = cumulet("events", "--data", cloud.data, "--json", *args)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_events(own_cloud):
    cloud = own_cloud()
    account = Account("700000000011", cloud)
    bucket = account.new_bucket()
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    user = account.new_user("u", allow("s3:ListBucket"))
    with refused("AccessDenied"):
        account.client("s3", key=user).get_object(Bucket=bucket, Key="k")

    def seen():
        found = {e["eventName"]: e for e in events(cloud)}
        wanted = {"CreateBucket", "PutObject", "CreateUser", "CreateAccessKey", "GetObject"}
        return found if wanted <= set(found) else None

    found = wait_until(seen, "all is in the trail")
    made = found["CreateBucket"]
    assert made["eventSource"] == "s3.amazonaws.com"
    assert made["awsRegion"] == "us-east-1"
    assert made["userIdentity"]["type"] == "Root"
    assert made["userIdentity"]["accountId"] == account.id
    assert made["requestParameters"]["bucketName"] == bucket
    assert made["sourceIPAddress"] == "127.0.0.1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", made["eventTime"])
    assert made["eventID"] and made["requestID"] and made["eventVersion"]
    denied = found["GetObject"]
    assert denied["errorCode"] == "AccessDenied" and "s3:GetObject" in denied["errorMessage"]
    assert denied["userIdentity"]["userName"] == "u"
    assert user[1] not in json.dumps(found), "a secret is in the trail"


def test_events_of_an_earlier_run(own_cloud):
    """Reads and failures are in no row, only in files: those are read back."""
    cloud = own_cloud()
    account = Account("700000000014", cloud)
    bucket = account.new_bucket()
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    account.s3.get_object(Bucket=bucket, Key="k")
    with refused("AccessDenied"):
        account.client("s3", key=account.new_user("u")).get_object(Bucket=bucket, Key="k")
    account.client("sts").get_caller_identity()
    assert cloud.terminate() == 0
    cloud.start()
    account.s3.list_buckets()

    def asked(*args):
        of_account = ("--account", account.id, *args)
        return [(e["eventName"], e.get("errorCode")) for e in events(cloud, *of_account)]

    everything = asked()
    for record in (("GetObject", None), ("GetObject", "AccessDenied"), ("ListBuckets", None),
                   ("GetCallerIdentity", None), ("PutObject", None)):
        assert everything.count(record) == 1, everything
    assert asked("--denied") == [("GetObject", "AccessDenied")]
    assert asked("--service", "sts") == [("GetCallerIdentity", None)]
    assert asked("--operation", "GetObject", "--who", "user/u") == [("GetObject", "AccessDenied")]
    assert ("GetObject", None) not in asked("--no-reads")
    assert [name for name, _ in asked("--limit", "1")] == ["ListBuckets"]


def test_events_are_filtered_and_followed(own_cloud):
    cloud = own_cloud()
    account = Account("700000000012", cloud)
    account.iam.create_user(UserName="u")
    account.new_bucket()
    names = {e["eventName"] for e in events(cloud, "--service", "iam")}
    assert names == {"CreateUser"}
    follow = subprocess.Popen(
        [binary(), "events", "--data", cloud.data, "--json", "--follow"],
        stdout=subprocess.PIPE, env=clean_env(), text=True)
    try:
        account.iam.create_group(GroupName="followed")
        end = time.monotonic() + 20
        for line in follow.stdout:
            if json.loads(line)["eventName"] == "CreateGroup":
                break
            assert time.monotonic() < end
        else:
            raise AssertionError("it ended by itself")
    finally:
        follow.kill()
        follow.wait()


def test_snapshots(own_cloud, tmp_path):
    cloud = own_cloud()
    account = Account("700000000013", cloud)
    bucket = account.new_bucket()
    account.s3.put_object(Bucket=bucket, Key="small", Body=b"before")
    account.s3.put_object(Bucket=bucket, Key="large", Body=bytes(3 << 20))
    done = cumulet("snapshot", "save", "first", "--data", cloud.data)
    assert done.returncode == 0, done.stderr
    account.s3.put_object(Bucket=bucket, Key="small", Body=b"after")
    account.s3.delete_object(Bucket=bucket, Key="large")
    listed = cumulet("snapshot", "list", "--data", cloud.data)
    assert "first" in listed.stdout
    copy = tmp_path / "restored"
    done = cumulet("snapshot", "restore", "first", "--data", cloud.data, "--to", str(copy))
    assert done.returncode == 0, done.stderr
    second = own_cloud(data=copy)
    other = Account(account.id, second)
    assert other.s3.get_object(Bucket=bucket, Key="small")["Body"].read() == b"before"
    assert other.s3.get_object(Bucket=bucket, Key="large")["Body"].read() == bytes(3 << 20)
    # The first goes on as it was.
    assert account.s3.get_object(Bucket=bucket, Key="small")["Body"].read() == b"after"


def test_a_second_start_says_who_holds_the_folder(own_cloud):
    cloud = own_cloud()
    second = cumulet("up", "--listen", "127.0.0.1:0", "--data", cloud.data)
    assert second.returncode == HELD, second
    said = second.stdout + second.stderr
    assert str(cloud.pid) in said and cloud.data in said, said
    Account("700000000014", cloud).s3.list_buckets()


def test_a_port_that_is_taken(own_cloud, tmp_path):
    cloud = own_cloud()
    second = cumulet("up", "--listen", cloud.listen, "--data", str(tmp_path / "other"))
    assert second.returncode == ADDRESS, second
    assert cloud.listen in second.stdout + second.stderr


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("x")
    done = cumulet("up", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "file"))
    assert done.returncode == DATA, done
    assert str(tmp_path / "file") in done.stdout + done.stderr


def test_sigterm_lets_requests_end(own_cloud):
    import wire

    cloud = own_cloud()
    account = Account("700000000015", cloud)
    bucket = account.new_bucket()
    request = wire.Request(account, "PUT", f"/{bucket}/k", b"x" * 100_000).sign()
    with wire.talk(cloud.address) as line:
        line.send(request.head() + request.body[:50_000])
        # It is under way once an interim or nothing is left to be read by the server.
        line.socket.settimeout(30)
        os.kill(cloud.pid, signal.SIGTERM)

        def no_longer_listening():
            try:
                wire.talk(cloud.address, seconds=1).socket.close()
                return False
            except OSError:
                return True

        wait_until(no_longer_listening, "no new connections")
        line.send(request.body[50_000:])
        answer = line.answer()
    assert answer is not None and answer.status == 200, answer
    assert cloud.process.wait(timeout=30) == 0
    cloud.start()
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x" * 100_000


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_cloud_ends_at_once(own_cloud, how):
    cloud = own_cloud()
    started = time.monotonic()
    os.kill(cloud.pid, how)
    assert cloud.process.wait(timeout=20) == 0
    assert time.monotonic() - started < 5


def test_configuration_in_order(tmp_path):
    """A file, then variables, then flags."""
    file = tmp_path / "cumulet.toml"
    file.write_text(f'listen = "127.0.0.1:0"\ndata = "{tmp_path}/from-file"\n')

    def up(*flags, **env):
        process = subprocess.Popen(
            [binary(), "up", "--config", str(file), *flags], env=clean_env(**env),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            for line in process.stdout:
                if "listening on" in line:
                    return
            raise AssertionError(f"it ended with {process.wait()}")
        finally:
            process.kill()
            process.wait()

    up()
    assert (tmp_path / "from-file").is_dir()
    up(CUMULET_DATA=f"{tmp_path}/from-variable")
    assert (tmp_path / "from-variable").is_dir()
    up("--data", f"{tmp_path}/from-flag", CUMULET_DATA=f"{tmp_path}/from-nowhere")
    assert (tmp_path / "from-flag").is_dir() and not (tmp_path / "from-nowhere").exists()


def test_a_wrong_configuration(tmp_path):
    file = tmp_path / "cumulet.toml"
    for text in ("nonsense = 1", "listen = 5", "= ="):
        file.write_text(text)
        done = cumulet("up", "--config", str(file), "--data", str(tmp_path / "d"))
        assert done.returncode == USAGE, text
        assert str(file) in done.stdout + done.stderr, done


def test_what_it_prints_at_the_start(own_cloud):
    cloud = own_cloud()
    wait_until(lambda: "aws s3" in cloud.log(), "what to try is printed")
    assert cloud.data in cloud.log() and "cumulet env" in cloud.log()
    # The first of the three commands works as it is printed, in any folder.
    line = next(line for line in cloud.log().splitlines() if "eval" in line)
    shell = subprocess.run(["sh", "-c", f'{line}\nprintf %s "$AWS_ENDPOINT_URL"'], cwd="/",
                           capture_output=True, text=True, check=True, env=clean_env())
    assert shell.stdout == cloud.endpoint, (line, shell)


def test_idle_memory(own_cloud):
    """Few MB of its own. The bound of 20 MB for all that is mapped, the program included, is measured
    on the release build by `cargo xtask bench memory`: this one's program alone is larger."""
    cloud = own_cloud()
    Account("700000000016", cloud).s3.list_buckets()
    used = sum(memory_kb(pid, "Pss_Anon") + memory_kb(pid, "Pss_Shmem")
               for pid in [cloud.pid, *children(cloud.pid)])
    assert used < 10_000, used


def children(pid):
    """All processes below this one."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            for child in file.read().split():
                found += [child, *children(child)]
    return found


def test_a_newer_store_is_refused_not_read(own_cloud):
    """A folder that a later build wrote: its format number is higher than ours."""
    cloud = own_cloud()
    Account("700000000017", cloud).new_bucket()
    cloud.terminate()
    with open(os.path.join(cloud.data, "FORMAT"), "r+", encoding="ascii") as file:
        text = file.read()
        file.seek(0)
        file.write(re.sub(r"\d+", lambda number: str(int(number.group()) + 1), text))
    done = cumulet("up", "--listen", "127.0.0.1:0", "--data", cloud.data)
    assert done.returncode == DATA, done
    assert "newer" in done.stdout + done.stderr, done
