"""A real browser: no web page acts as root, by whatever way a page can make requests.

The pages know the well-known pair, as everybody does, so they sign correctly. Each way is also tried
from an allowed origin, where it must work: otherwise the refusals would prove nothing.
"""

import http.server
import json
import threading

import pytest
import wire
from accounts import Account, allow
from browser import Browser
from deadline import wait_until

pytestmark = pytest.mark.unkilled

REBIND = "rebind.example"
# Names of ours to which a browser does not say which page asks, as it does to localhost.
UNTRUSTED = ["iam.localhost.localstack.cloud", "s3.localhost.localstack.cloud", "[::ffff:127.0.0.1]"]


@pytest.fixture(scope="module")
def site():
    """A web server for pages; a test sets what it answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        pages = {}

        def do_GET(self):
            body = self.pages.get(self.path, "<!doctype html><title>page</title>").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.pages = Handler.pages
    server.origin = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    browser = Browser([REBIND, "page.example", *UNTRUSTED[:2]])
    yield browser
    browser.close()


@pytest.fixture
def page(browser, site):
    """The browser on an empty page of the site."""
    browser.open(f"{site.origin}/empty")
    return browser


def url(account, method, target, host=None, **signer):
    """A presigned URL of root's, to be used from a page."""
    request = wire.Request(account, method, target, **signer)
    if host:
        request.set("Host", f"{host}:{account.cloud.address[1]}")
    return f"http://{request.header('host')}{request.presign().target}"


def fetch(browser, url, **options):
    """The status and text of a fetch, or what the browser said instead."""
    script = (
        f"fetch({json.dumps(url)}, {json.dumps(options)})"
        ".then(async r => [r.status, await r.text()], e => [0, String(e)])"
    )
    return browser.run(script)


CREATE = "/?Action=CreateUser&UserName=evil&Version=2010-05-08"


def users(account):
    return [u["UserName"] for u in account.iam.list_users()["Users"]]


def ways(account, bucket):
    """All the ways in which a page makes a request, as scripts that end when it is over."""
    create = json.dumps(url(account, "GET", CREATE, service="iam"))
    read = url(account, "GET", f"/{bucket}/secret")
    post = account.s3.generate_presigned_post(bucket, "evil")
    fields = json.dumps(post["fields"])
    return {
        "fetch": f"fetch({create}).then(r => r.text(), e => 0)",
        "fetch without cors": f"fetch({create}, {{mode: 'no-cors'}}).then(r => 0, e => 0)",
        "an image": f"new Promise(r => {{let i = new Image(); i.onload = i.onerror = () => r(0);"
        f" i.src = {create};}})",
        "a script": "new Promise(r => {let s = document.createElement('script');"
        f" s.onload = s.onerror = () => r(0); s.src = {create}; document.head.append(s);}})",
        "a frame": "new Promise(r => {let f = document.createElement('iframe');"
        f" f.onload = f.onerror = () => r(0); f.src = {create}; document.body.append(f);}})",
        "a beacon": f"navigator.sendBeacon({create}), fetch({create}, {{mode: 'no-cors'}})"
        ".then(r => 0, e => 0)",
        "a form with a file": f"(() => {{let d = new FormData();"
        f" for (let [k, v] of Object.entries({fields})) d.append(k, v);"
        " d.append('file', new Blob(['evil']));"
        f" return fetch({json.dumps(post['url'])}, {{method: 'POST', mode: 'no-cors', body: d}})"
        ".then(r => 0, e => 0)})()",
        "reading": f"fetch({json.dumps(read)}).then(r => r.text(), e => String(e))",
        "websocket": f"new Promise(r => {{let s = new WebSocket({create}.replace('http', 'ws'));"
        " s.onopen = s.onerror = s.onclose = () => r(0);})",
    }


WAYS = ["fetch", "fetch without cors", "an image", "a script", "a frame", "a beacon",
        "a form with a file", "reading", "websocket"]


@pytest.mark.parametrize("way", WAYS)
def test_a_page_of_another_origin(account, bucket, page, way):
    account.s3.put_object(Bucket=bucket, Key="secret", Body=b"the secret")
    result = page.run(ways(account, bucket)[way])
    assert "the secret" not in str(result)
    assert users(account) == []
    assert [o["Key"] for o in account.s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["secret"]


def test_a_link_to_click(account, page):
    """A navigation sends no Origin. It must not create anything either."""
    target = url(account, "GET", CREATE, service="iam")
    page.run(f"location.href = {json.dumps(target)}; 0")
    wait_until(lambda: page.run("location.search.includes('CreateUser')"), "the browser is there")
    assert users(account) == []


@pytest.mark.parametrize("host", UNTRUSTED)
@pytest.mark.parametrize("tag", ["img", "script", "iframe"])
def test_a_name_that_browsers_do_not_trust(account, page, host, tag):
    """Neither Origin nor Sec-Fetch-Site comes with what a page loads from there."""
    target = json.dumps(url(account, "GET", CREATE, host, service="iam"))
    page.run(
        f"new Promise(r => {{let e = document.createElement('{tag}');"
        f" e.onload = e.onerror = () => r(0); e.src = {target}; document.body.append(e);}})")
    assert users(account) == []


def test_a_page_of_ours_under_such_a_name(account, bucket, browser):
    """To it all that is under its name is one origin, and nothing tells its scripts from a person."""
    port = account.cloud.address[1]
    host = UNTRUSTED[1]
    account.s3.put_object(Bucket=bucket, Key="secret", Body=b"the secret")
    browser.open(f"http://{host}:{port}/health")
    status, text = fetch(browser, url(account, "GET", f"/{bucket}/secret", host))
    assert status == 403 and "the secret" not in text, (status, text)
    assert "localhost" in text, text
    # A person who has the link opens it at a name that the browser trusts.
    account.s3.put_object(Bucket=bucket, Key="secret", Body=b"the secret", ContentType="text/plain")
    browser.open(url(account, "GET", f"/{bucket}/secret"))
    assert "the secret" in browser.run("document.body.innerText")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_form_to_submit(account, page, method):
    body = "Action=CreateUser&UserName=evil&Version=2010-05-08"
    if method == "GET":
        target = url(account, "GET", CREATE, service="iam")
        fields = dict(pair.split("=", 1) for pair in target.partition("?")[2].split("&"))
    else:
        request = wire.Request(account, "POST", "/", body.encode(), service="iam")
        target = f"http://{request.header('host')}{request.presign().target}"
        fields = dict(pair.split("=") for pair in body.split("&"))
    page.look(
        f"(() => {{let f = document.createElement('form'); f.method = '{method}';"
        f" f.action = {json.dumps(target)};"
        f" for (let [k, v] of Object.entries({json.dumps(fields)})) {{"
        "  let i = document.createElement('input'); i.name = k; i.value = decodeURIComponent(v);"
        "  f.append(i);}"
        " document.body.append(f); f.submit();})()"
    )
    port = str(account.cloud.address[1])
    wait_until(lambda: page.look("location.port") == port, "the browser is there")
    assert users(account) == []


@pytest.mark.parametrize("way", ["GET", "POST"])
def test_dns_rebinding(account, bucket, browser, way):
    """A page of a name that came to mean 127.0.0.1: to the browser all is one origin."""
    account.s3.put_object(Bucket=bucket, Key="secret", Body=b"the secret")
    port = account.cloud.address[1]
    browser.open(f"http://{REBIND}:{port}/health")
    status, text = fetch(browser, url(account, "GET", f"/{bucket}/secret", REBIND))
    assert status == 403 and "the secret" not in text, (status, text)
    body = "Action=CreateUser&UserName=evil&Version=2010-05-08"
    if way == "GET":
        status, text = fetch(browser, url(account, "GET", CREATE, REBIND, service="iam"))
    else:
        request = wire.Request(account, "POST", "/", body.encode(), service="iam")
        request.set("Host", f"{REBIND}:{port}")
        request.set("Content-Type", "application/x-www-form-urlencoded").sign()
        headers = {n: v for n, v in request.headers if n != "Host"}
        status, text = fetch(
            browser, f"http://{REBIND}:{port}/", method="POST", headers=headers, body=body)
    assert status == 403 and "CreateUserResult" not in text, (status, text)
    assert users(account) == []


def test_an_allowed_page_may(own_cloud, browser, site):
    cloud = own_cloud("--allow-origin", site.origin)
    account = Account("700000000007", cloud)
    bucket = account.new_bucket()
    browser.open(f"{site.origin}/empty")
    put = fetch(browser, url(account, "PUT", f"/{bucket}/k"), method="PUT", body="data")
    assert put[0] == 200, put
    assert fetch(browser, url(account, "GET", f"/{bucket}/k")) == [200, "data"]
    created = fetch(browser, url(account, "GET", CREATE, service="iam"))
    assert created[0] == 200, created
    assert users(account) == ["evil"]


def test_a_page_with_an_issued_key_may(account, page):
    """As pages of the labs do, with keys that they were given; the signed header needs a preflight."""
    key = account.new_user("u", allow("iam:ListUsers"))
    request = wire.Request(
        account, "POST", "/", b"Action=ListUsers&Version=2010-05-08", service="iam",
        key=key[0], secret=key[1])
    request.set("Content-Type", "application/x-www-form-urlencoded").sign()
    headers = {n: v for n, v in request.headers if n != "Host"}
    status, text = fetch(
        page, f"{account.endpoint}/", method="POST", headers=headers, body=request.body.decode())
    assert status == 200 and "<UserName>u</UserName>" in text, (status, text)


def test_a_file_is_put_by_a_presigned_url(account, bucket, page, site):
    """As upload pages do it: keys stay on the page's own server, the bucket's CORS rules let it."""
    rule = {"AllowedOrigins": [site.origin], "AllowedMethods": ["GET", "PUT"],
            "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}
    account.s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    user = account.client("s3", account.new_user("u", allow("s3:*")))
    place = {"Bucket": bucket, "Key": "from a page/ü.txt"}
    put = user.generate_presigned_url("put_object", {**place, "ContentType": "text/odd"})
    get = user.generate_presigned_url("get_object", place)
    script = f"""
      (async () => {{
        let file = new File(['x'.repeat(300000)], 'f', {{type: 'text/odd'}});
        let put = await fetch({json.dumps(put)}, {{method: 'PUT', body: file}});
        let got = await fetch({json.dumps(get)});
        let wrong = await fetch({json.dumps(put)}, {{
          method: 'PUT', body: 'y', headers: {{'Content-Type': 'text/plain'}}}});
        return [put.status, put.headers.get('ETag'), (await got.text()).length, wrong.status];
      }})()"""
    status, etag, length, wrong = page.run(script)
    stored = account.s3.head_object(**place)
    assert (status, length, wrong) == (200, 300000, 403)
    assert (stored["ETag"], stored["ContentType"]) == (etag, "text/odd")

    # Taken back, the rules let no page read an answer.
    account.s3.delete_bucket_cors(Bucket=bucket)
    assert fetch(page, get, cache="no-store")[0] == 0
