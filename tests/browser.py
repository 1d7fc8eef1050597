"""Headless chromium, driven over its own debugging protocol."""

import json
import os
import shutil
import signal
import subprocess
import tempfile

import websocket
from deadline import wait_until

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-port=0", "--remote-allow-origins=*",
]


class Browser:
    """`hosts` are names that the browser resolves to 127.0.0.1."""

    def __init__(self, hosts=()):
        self.folder = tempfile.mkdtemp(prefix="cumulet-browser-")
        rules = ",".join(f"MAP {host} 127.0.0.1" for host in hosts)
        # Debian's wrapper script knows the right libraries.
        self.process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={self.folder}",
             f"--host-resolver-rules={rules}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        port_file = os.path.join(self.folder, "DevToolsActivePort")

        def port():
            if self.process.poll() is not None:
                raise AssertionError(f"chromium ended with {self.process.returncode}")
            try:
                with open(port_file, encoding="ascii") as file:
                    lines = file.read().split()
                    return lines if len(lines) == 2 else None
            except FileNotFoundError:
                return None

        number, path = wait_until(port, "chromium listens", 60)
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{number}{path}", timeout=60)
        self.count = 0
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    def look(self, script):
        """What a script that only looks finds; nothing in a page that gives way to the next one just then."""
        try:
            return self.run(script)
        except AssertionError as error:
            if "Inspected target navigated or closed" in str(error):
                return None
            raise

    def open(self, url):
        """Goes there and waits until the page and all it loads are there."""
        result = self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        wait_until(
            lambda: self.look("document.readyState === 'complete' && location.href !== 'about:blank'"),
            f"{url} is loaded", 30,
        )

    def run(self, script):
        """Runs a script in the page; a promise is waited for."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def close(self):
        try:
            self.socket.close()
        finally:
            # It has many processes; they are a group of their own.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)
