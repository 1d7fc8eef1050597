"""The Docker API over TCP: only for clients that show a certificate of the right authority."""

import re
import socket
import ssl
import subprocess

import docker as docker_py
import pytest

from cloud import clean_env, cumulet
from containers import Engine

CERTIFICATES = """
set -e
new() { openssl ecparam -name prime256v1 -genkey -noout -out $1; }
authority() { new $1-key.pem; openssl req -x509 -new -key $1-key.pem -subj /CN=$1 -days 9 -out $1.pem; }
signed() {
  new $2-key.pem
  openssl req -new -key $2-key.pem -subj /CN=$2 -out $2.csr
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nextendedKeyUsage=%s\\n' $3 >ext
  openssl x509 -req -in $2.csr -CA $1.pem -CAkey $1-key.pem -CAcreateserial -days 9 -extfile ext -out $2.pem
}
authority ca
authority other
signed ca server serverAuth
signed ca client clientAuth
signed other stranger clientAuth
mkdir good bad none
for who in good bad none; do cp ca.pem $who/ca.pem; done
cp client.pem good/cert.pem; cp client-key.pem good/key.pem
cp stranger.pem bad/cert.pem; cp stranger-key.pem bad/key.pem
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tcp")
    subprocess.run(["sh", "-c", CERTIFICATES], cwd=folder, check=True, capture_output=True)
    engine = Engine(folder)
    engine.cloud.args += [
        "--docker-listen", "127.0.0.1:0", "--docker-tls-ca", f"{folder}/ca.pem",
        "--docker-tls-cert", f"{folder}/server.pem", "--docker-tls-key", f"{folder}/server-key.pem",
    ]
    engine.start()
    engine.bootstrap()
    engine.tcp = re.search(r"docker at tcp://([0-9.:]+)", engine.cloud.log()).group(1)
    yield engine
    engine.close()


def over_tcp(engine, who, *args):
    env = clean_env(
        DOCKER_HOST="tcp://" + engine.tcp, DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=f"{engine.folder}/{who}",
        DOCKER_CONFIG=engine.config,
    )
    return subprocess.run(["docker", *args], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_known_client(engine, monkeypatch):
    # They would say what docker-py trusts.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    done = over_tcp(engine, "good", "run", "-i", "--rm", "busybox", "sh", "-c", "echo one; echo two >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "one\n", "two\n")
    tls = docker_py.tls.TLSConfig(
        client_cert=(f"{engine.folder}/good/cert.pem", f"{engine.folder}/good/key.pem"),
        ca_cert=f"{engine.folder}/ca.pem", verify=True,
    )
    client = docker_py.DockerClient(base_url="https://" + engine.tcp, tls=tls)
    container = client.containers.run("busybox", ["cat"], detach=True, stdin_open=True)
    stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    stream.send(b"over tls\n")
    head = stream.recv(8)
    assert stream.recv(int.from_bytes(head[4:8], "big")) == b"over tls\n"
    container.remove(force=True)
    client.close()


@pytest.mark.parametrize("who", ["bad", "none"])
def test_strangers(engine, who):
    done = over_tcp(engine, who, "version", "--format", "{{.Server.Version}}")
    assert done.returncode == 1 and done.stdout.strip() == "", done.stdout


def test_nothing_is_said_without_tls(engine):
    host, port = engine.tcp.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert b"ApiVersion" not in plain.recv(4096)
        except ConnectionResetError:
            pass
    context = ssl.create_default_context(cafile=f"{engine.folder}/ca.pem")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        with pytest.raises(OSError):
            with context.wrap_socket(raw, server_hostname="localhost") as nameless:
                nameless.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
                assert nameless.recv(4096)
                raise AssertionError("it answered a client without a certificate")


def test_it_is_never_open(tmp_path):
    for args in (["--docker-listen", "0.0.0.0:2375"], ["--docker-listen", "127.0.0.1:2375", "--docker-tls-ca", "x"]):
        done = cumulet("up", "--data", str(tmp_path / "data"), *args)
        assert done.returncode == 2 and "docker_listen needs docker_tls_ca" in done.stderr, done.stderr
