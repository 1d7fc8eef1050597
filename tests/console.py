"""The web console as a program without a browser sees it: forms, cookies, and the numbers in them."""

import html
import http.client
import re
import time
import urllib.parse

# What anybody may have written into anything.
NASTY = "<script>window.owned=1</script><img src=x onerror=\"window.owned=1\">"


class Answer:
    def __init__(self, answer):
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.cookies = [value for name, value in answer.getheaders() if name.lower() == "set-cookie"]
        self.text = answer.read().decode("utf-8", "replace")


class Person:
    """Somebody at the console, signed in or not."""

    def __init__(self, cloud):
        self.host, self.port = cloud.address
        self.cookie = None

    @property
    def origin(self):
        return f"http://{self.host}:{self.port}"

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        given = dict(headers)
        if self.cookie and "Cookie" not in given:
            given["Cookie"] = self.cookie
        try:
            connection.request(method, "/_console" + path, body, given)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def see(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        return self.ask("GET", f"{path}?{query}" if query else path)

    def send(self, path, fields, headers=()):
        """A form as a browser sends it from a page of the console."""
        given = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        given.update(headers)
        given = {name: value for name, value in given.items() if value is not None}
        return self.ask("POST", path, urllib.parse.urlencode(fields).encode(), given)

    def form(self):
        """The cookie and the number of a form to sign in."""
        shown = self.ask("GET", "/sign-in", headers={"Cookie": ""})
        number = re.search(r'name="form" value="([0-9a-f]{64})"', shown.text).group(1)
        return shown.headers["set-cookie"].split(";")[0], number

    def sign_in(self, key, secret, token="", region="us-east-1"):
        form, number = self.form()
        fields = {"form": number, "id": key, "secret": secret, "token": token, "region": region}
        cookies = [form, self.cookie] if self.cookie else [form]
        answer = self.send("/sign-in", fields, {"Cookie": "; ".join(cookies)})
        for cookie in answer.cookies:
            if cookie.startswith(f"cumulet-console-{self.port}=") and "Max-Age=0" not in cookie:
                self.cookie = cookie.split(";")[0]
        return answer

    def number(self):
        """What stands in every form of this session."""
        return re.search(r'name="csrf" value="([0-9a-f]{64})"', self.see("/labs").text).group(1)

    def change(self, path, **fields):
        """Sends a form; gives what the next page says of it."""
        answer = self.send(path, {"csrf": self.number(), **fields})
        assert answer.status == 303, answer.text
        to = answer.headers["location"].removeprefix("/_console")
        shown = self.ask("GET", to).text
        said = re.search(r'<p class="notice (good|bad)"[^>]*>(.*?)</p>', shown)
        return said.group(1), html.unescape(said.group(2))

    def loads(self, path, **parameters):
        """An address that a page loads by itself."""
        shown = self.see(path, **parameters).text
        return html.unescape(re.search(r'data-(?:live|refresh)="/_console([^"]*)"', shown).group(1))

    def follow(self, target, wanted, seconds=20, last=None):
        """Reads events until one holds the text; `last` is the last event that was seen before."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        headers = {"Cookie": self.cookie, **({"Last-Event-ID": last} if last else {})}
        try:
            connection.request("GET", "/_console" + target, headers=headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.getheader("content-type") == "text/event-stream"
            seen, end = "", time.monotonic() + seconds
            while wanted not in seen:
                assert time.monotonic() < end, f"no {wanted} in {seen}"
                piece = answer.read1(65536)
                assert piece, f"it ended without {wanted}: {seen}"
                seen += piece.decode()
                yield seen
        finally:
            connection.close()
