"""The web console: a person at a real browser, and each way in which somebody else could act in their
place or make the page run what they wrote."""

import datetime
import html
import json
import os
import re
import socket
import tempfile
import threading
import time

import pytest
from accounts import Account, allow, denied, refused
from browser import Browser
from console import NASTY, Person
from deadline import wait_until
from test_browser import site  # noqa: F401, a fixture

pytestmark = pytest.mark.unkilled

REBIND = "rebind.example"


@pytest.fixture(scope="module")
def browser():
    browser = Browser([REBIND, "evil.example"])
    yield browser
    browser.close()


@pytest.fixture
def person(account):
    person = Person(account.cloud)
    assert person.sign_in(account.id, "test").status == 303
    return person


def at(browser, account, path):
    browser.open(f"{account.endpoint}/_console{path}")


def fill(browser, fields, button, within="main"):
    """Fills a form in and presses its button, as a person does."""
    script = "".join(
        f"f.querySelector('[name={name}]').value = {json.dumps(value)};" for name, value in fields.items()
    )
    browser.run(
        f"(() => {{ const b = [...document.querySelectorAll('{within} button')]"
        f".find(b => b.textContent === {json.dumps(button)}); const f = b.closest('form');"
        f" window.before = true; {script} b.click(); }})()"
    )
    wait_until(
        lambda: browser.run("!window.before && document.readyState === 'complete'"), f"{button} is done", 30
    )


def sign_in(browser, account, key=None):
    browser.call("Network.clearBrowserCookies")
    at(browser, account, "/sign-in")
    fill(browser, {"id": key[0] if key else account.id, "secret": key[1] if key else "test"}, "Sign in")
    assert browser.run("location.pathname") == "/_console/", browser.run("document.body.innerText")


def says(browser, text):
    """Waits until the page says so: it may still be on its way."""
    look = "document.readyState === 'complete' && document.body ? document.body.innerText : ''"
    wait_until(lambda: text in (browser.look(look) or ""), f"the page says {text}", 20)


def shown(browser):
    return browser.run("document.querySelector('main').innerText")


def test_a_person_at_work(account, browser):
    """Signs in, makes a bucket, uploads a file, looks inside, changes an item, and sees a refusal come."""
    d = account.client("dynamodb")
    d.create_table(
        TableName="orders", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    d.put_item(TableName="orders", Item={"id": {"S": "one"}, "total": {"N": "5"}})
    sign_in(browser, account)
    assert "Buckets" in shown(browser)

    name = account.bucket_name("console")
    at(browser, account, "/buckets")
    fill(browser, {"name": name}, "Make a bucket")
    assert f"The bucket {name} is there." in shown(browser)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "grüße & more.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write("first line\n" + "x" * 200_000)
        node = browser.call("DOM.getDocument")["root"]["nodeId"]
        input_ = browser.call("DOM.querySelector", nodeId=node, selector="[type=file]")["nodeId"]
        browser.call("DOM.setFileInputFiles", nodeId=input_, files=[path])
        fill(browser, {"prefix": "letters/"}, "Upload")
    assert "grüße & more.txt is there." in shown(browser)
    stored = account.s3.get_object(Bucket=name, Key="letters/grüße & more.txt")
    assert stored["ContentType"] == "text/plain" and stored["ContentLength"] == 200_011
    browser.run("[...document.querySelectorAll('a')].find(a => a.textContent === 'grüße & more.txt').click()")
    says(browser, "A look inside")
    assert "first line" in browser.run("document.querySelector('pre.look').innerText")
    fill(browser, {"tags": "kind=letter\nyear=2026"}, "Save tags")
    tags = account.s3.get_object_tagging(Bucket=name, Key="letters/grüße & more.txt")["TagSet"]
    assert {t["Key"]: t["Value"] for t in tags} == {"kind": "letter", "year": "2026"}

    at(browser, account, "/table?name=orders")
    browser.run("document.querySelector('tbody a.row').click()")
    wait_until(lambda: browser.run("!!document.querySelector('[name=item]')"), "the item's page", 20)
    fill(browser, {"item": '{"id": {"S": "one"}, "total": {"N": "7.5"}}'}, "Save it")
    assert "The item is saved." in shown(browser)
    assert d.get_item(TableName="orders", Key={"id": {"S": "one"}})["Item"]["total"] == {"N": "7.5"}

    at(browser, account, "/requests")
    wait_until(lambda: browser.run("document.body.classList.contains('live-on')"), "it follows", 20)
    mia = account.client("s3", account.new_user("mia", allow("s3:ListBucket")))
    with denied("s3:GetObject"):
        mia.get_object(Bucket=name, Key="letters/x")
    wait_until(
        lambda: "denied" in browser.run("(document.querySelector('.request.fresh') || {}).innerText || ''"),
        "the refusal comes by itself", 20)
    why = browser.run("document.querySelector('.request.fresh .why').textContent")
    assert "user/mia" in why and "s3:GetObject" in why and "identity-based policy" in why, why


def test_requests_stand_in_order(account, browser, bucket):
    """What is sent again, so that nothing is missing, stands where it belongs and once."""
    sign_in(browser, account)
    for _ in range(130):
        account.s3.head_bucket(Bucket=bucket)
    at(browser, account, "/requests")
    wait_until(lambda: browser.run("document.body.classList.contains('live-on')"), "it follows", 20)
    with refused("NoSuchKey"):
        account.s3.get_object(Bucket=bucket, Key="none")
    wait_until(lambda: browser.run("(document.querySelector('.request') || {}).innerText || ''").count("GetObject"),
               "the newest is at the top", 20)
    shown = browser.run("[...document.querySelectorAll('.request')]"
                        ".map(one => [one.querySelector('time').dateTime, one.dataset.id])")
    times, ids = [one[0] for one in shown], [one[1] for one in shown]
    assert times == sorted(times, reverse=True) and len(set(ids)) == len(ids) > 100, times


def test_it_works_without_a_script(account, browser):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        sign_in(browser, account)
        at(browser, account, "/buckets")
        name = account.bucket_name("plain")
        fill(browser, {"name": name}, "Make a bucket")
        assert f"The bucket {name} is there." in shown(browser)
        at(browser, account, "/requests")
        assert "CreateBucket" in shown(browser)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_keys_of_the_keyboard(account, browser, bucket):
    sign_in(browser, account)

    def press(key):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    press("g")
    press("b")
    wait_until(lambda: browser.run("location.pathname") == "/_console/buckets", "to the buckets", 20)
    wait_until(lambda: browser.run("document.readyState") == "complete", "they are there", 20)
    press("j")
    assert browser.run("document.activeElement.textContent") == bucket
    at(browser, account, f"/bucket?name={bucket}")
    press("/")
    assert browser.run("document.activeElement.name") == "prefix"
    # The first stop of the tabulator key leads past the navigation.
    at(browser, account, "/buckets")
    browser.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.run("document.activeElement.id") == "skip"


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_screen(account, browser, bucket, width):
    long = "a-name-that-goes-on-" * 10
    account.s3.put_object(Bucket=bucket, Key=long, Body=b"x", Metadata={"long": "y" * 900})
    sign_in(browser, account)
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    try:
        for path in ["/", "/buckets", f"/bucket?name={bucket}", f"/object?bucket={bucket}&key={long}",
                     "/requests", "/tables", "/identities", "/map", "/metrics", "/labs",
                     "/lab?name=introduction", "/nothing"]:
            at(browser, account, path)
            assert browser.run("document.documentElement.scrollWidth") <= width, path
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


# What others wrote.


def test_what_others_wrote_runs_nowhere(account, browser, bucket):
    """In names of objects, their content, types, metadata and tags, values and names in tables, paths and
    agents of requests, documents of policies."""
    account.s3.put_object(
        Bucket=bucket, Key=f"{NASTY}.html", Body=NASTY.encode(), ContentType="text/html",
        Metadata={"nasty": NASTY}, CacheControl=NASTY)
    account.s3.put_object_tagging(
        Bucket=bucket, Key=f"{NASTY}.html", Tagging={"TagSet": [{"Key": "k", "Value": "a=b+c"}]})
    d = account.client("dynamodb")
    d.create_table(
        TableName="nasty", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": NASTY, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": NASTY, "AttributeType": "S"}])
    d.put_item(TableName="nasty", Item={NASTY: {"S": NASTY}, "more" + NASTY: {"L": [{"S": NASTY}]}})
    agent = account.client("s3", user_agent_extra=NASTY)
    with refused("NoSuchKey"):
        agent.get_object(Bucket=bucket, Key=NASTY)
    account.iam.create_role(RoleName="nasty", Description="a <b> role", AssumeRolePolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Sid": "x", "Effect": "Allow", "Action": "sts:AssumeRole",
         "Principal": {"AWS": account.id}, "Condition": {"StringEquals": {"aws:userid": NASTY}}}]}))
    sign_in(browser, account)
    key = json.dumps({NASTY: {"S": NASTY}})
    places = [
        "/", f"/bucket?name={bucket}", f"/bucket?name={bucket}&versions=1", "/tables", "/table?name=nasty",
        "/requests", "/map", "/role?name=nasty",
    ]
    for path in places:
        at(browser, account, path)
        assert browser.run("typeof window.owned") == "undefined", path
        assert browser.run("document.querySelectorAll('main script, main img[src=x]').length") == 0, path
    for path in [
        f"/object?bucket={bucket}&key=' + encodeURIComponent({json.dumps(NASTY + '.html')}) + '",
        f"/item?table=nasty&key=' + encodeURIComponent({json.dumps(key)}) + '",
        f"/bucket?name={bucket}&prefix=' + encodeURIComponent({json.dumps(NASTY)}) + '",
    ]:
        at(browser, account, "/labs")
        browser.run(f"window.before = true; location.href = '/_console{path}'; 0")
        wait_until(lambda: browser.run("!window.before && document.readyState === 'complete'"), path, 20)
        assert browser.run("typeof window.owned") == "undefined", path
        assert browser.run("document.querySelectorAll('main script, main img[src=x]').length") == 0, path
        assert "<script>" in browser.run("document.querySelector('main').textContent"), path


def test_what_comes_live_runs_nowhere(account, browser, bucket):
    sign_in(browser, account)
    for page in ["/requests", "/map"]:
        at(browser, account, page)
        wait_until(lambda: browser.run("document.body.classList.contains('live-on')"), "it follows", 20)
        agent = account.client("s3", user_agent_extra=NASTY)
        with refused("NoSuchKey"):
            agent.get_object(Bucket=bucket, Key=NASTY)
        wait_until(lambda: browser.run("document.querySelectorAll('.fresh').length > 0"), "it came", 20)
        assert browser.run("typeof window.owned") == "undefined"
        assert browser.run("document.querySelectorAll('main script, main img[src=x]').length") == 0


def test_uploads_are_never_pages_of_ours(account, person, bucket):
    """Given as what they are only if they are images, whatever they say they are."""
    s3 = account.s3
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
    for key, body, kind in [("page", NASTY.encode(), "text/html"), ("svg", b"<svg onload=alert(1)>", "image/svg+xml"),
                            ("lie", NASTY.encode(), "image/png"), ("image", png, "text/html")]:
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind)
    page = re.search(r"page=([0-9a-f]{64})", person.loads("/requests")).group(1)
    for key, status in [("page", 415), ("svg", 415), ("lie", 415), ("image", 200)]:
        answer = person.see("/object/raw", bucket=bucket, key=key, page=page)
        assert answer.status == status, key
        assert "<script>window" not in answer.text, key
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    download = person.see("/object/download", bucket=bucket, key="page")
    assert download.headers["content-type"] == "application/octet-stream"
    assert download.headers["content-disposition"].startswith("attachment; ")
    assert download.text == NASTY


# Who acts.


def test_signing_in(account):
    person = Person(account.cloud)
    assert person.see("/buckets").headers["location"] == "/_console/sign-in"
    wrong = person.sign_in(account.id, "wrong")
    assert wrong.status == 403 and not person.cookie and "signature" in wrong.text.lower()
    unknown = person.sign_in("AKIANOTTHERE", "x")
    assert unknown.status == 403 and "InvalidClientTokenId" in unknown.text
    good = person.sign_in(account.id, "test")
    cookie = next(one for one in good.cookies if one.startswith(person.cookie))
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/_console" in cookie
    assert account.id in person.see("/labs").text
    assert "test" not in cookie and account.id not in cookie


def test_a_chosen_session_is_not_taken(account):
    """Session fixation: what the cookie said before signing in means nothing afterwards."""
    person = Person(account.cloud)
    name = f"cumulet-console-{person.port}"
    person.cookie = f"{name}={'0' * 64}"
    assert person.see("/labs").status == 303
    chosen = person.cookie
    person.sign_in(account.id, "test")
    assert person.cookie != chosen
    other = Person(account.cloud)
    other.cookie = chosen
    assert other.see("/labs").status == 303
    # Who is signed in is not put into another session, whoever sends the form.
    before = person.cookie
    assert person.sign_in(account.id, "test").status == 303 and person.cookie == before
    assert "signed in already" in person.see("/labs").text
    # Two sessions are none: a page on another port may have planted the first.
    other.sign_in(account.id, "test")
    both = Person(account.cloud)
    both.cookie = f"{other.cookie}; {person.cookie}"
    answer = both.see("/labs")
    assert answer.status == 303 and answer.headers["location"] == "/_console/sign-in"
    assert any("Path=/_console/labs;" in one and "Max-Age=0" in one for one in answer.cookies)
    assert both.ask("POST", "/bucket/create", b"name=x", {"Origin": both.origin}).status == 401
    assert person.see("/labs").status == 200


def test_each_acts_as_who_they_are(account, other):
    one, two = Person(account.cloud), Person(account.cloud)
    one.sign_in(account.id, "test")
    two.sign_in(other.id, "test")
    name = account.bucket_name("own")
    assert one.change("/bucket/create", name=name) == ("good", f"The bucket {name} is there.")
    assert name in one.see("/buckets").text and name not in two.see("/buckets").text
    kind, said = two.change("/bucket/delete", name=name)
    assert kind == "bad" and said.startswith("AccessDenied"), said
    # The number of one is none in the forms of the other, nor are the addresses that its pages load.
    answer = two.send("/bucket/create", {"csrf": one.number(), "name": account.bucket_name("no")})
    assert answer.status == 403
    assert two.ask("GET", one.loads("/requests")).status == 403
    # Gone is gone.
    number, cookie = one.number(), one.cookie
    assert one.send("/sign-out", {"csrf": number}).status == 303
    assert one.see("/buckets").status == 303
    one.cookie = cookie
    assert one.send("/bucket/delete", {"csrf": number, "name": name}).status == 401
    account.s3.head_bucket(Bucket=name)


def test_a_read_says_what_it_was_about(account, person):
    """Its path does not, where all requests go to the same one."""
    d = account.client("dynamodb")
    d.create_table(
        TableName="looked-at", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    d.query(TableName="looked-at", KeyConditionExpression="id = :i", ExpressionAttributeValues={":i": {"S": "1"}})
    mia = account.client("dynamodb", account.new_user("mia", allow("s3:ListBucket")))
    with refused("AccessDeniedException", 400, part="dynamodb:GetItem"):
        mia.get_item(TableName="looked-at", Key={"id": {"S": "1"}})
    for operation in ("Query", "GetItem"):
        assert ">looked-at</" in person.see("/requests", operation=operation).text, operation


def test_what_is_denied_says_why(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"secret text")
    key = account.new_user("mia", allow("s3:ListAllMyBuckets"))
    mia = Person(account.cloud)
    assert mia.sign_in(*key).status == 303
    assert bucket in mia.see("/buckets").text
    for path, parameters, action in [
        ("/bucket", {"name": bucket}, "s3:ListBucket"),
        ("/tables", {}, "dynamodb:ListTables"),
        ("/requests", {}, "cumulet:ListEvents"),
        ("/containers", {}, "cumulet:ReadContainers"),
        ("/identities", {}, "iam:ListUsers"),
    ]:
        answer = mia.see(path, **parameters)
        assert action in answer.text and "user/mia" in answer.text, (path, answer.text)
        assert "secret text" not in answer.text
    assert "secret text" not in mia.see("/object", bucket=bucket, key="k").text
    assert mia.see("/object/download", bucket=bucket, key="k").status == 403
    kind, said = mia.change("/bucket/create", name=account.bucket_name("no"))
    assert kind == "bad" and "s3:CreateBucket" in said, said
    assert mia.see("/").text.count("you may not see these") >= 3
    # A key that is gone ends what its session may do.
    account.iam.delete_access_key(UserName="mia", AccessKeyId=key[0])
    assert bucket not in mia.see("/buckets").text


def test_following_ends_with_the_permission(own_cloud):
    account = Account("000000000000", own_cloud())
    key = account.new_user("mia", allow("cumulet:ListEvents"))
    mia = Person(account.cloud)
    mia.sign_in(*key)
    target = mia.loads("/requests")
    ended, followed = [], threading.Event()

    def follow():
        try:
            for _ in mia.follow(target, "never to be seen", 20):
                followed.set()
        except AssertionError as error:
            ended.append(str(error))

    thread = threading.Thread(target=follow)
    thread.start()
    wait_until(lambda: account.s3.list_buckets() and followed.is_set(), "requests are shown", 20)
    account.iam.delete_user_policy(UserName="mia", PolicyName="p")
    thread.join(30)
    assert ended and "it ended without" in ended[0], ended


# Where a request comes from.


def test_forged_origins(account, person):
    number = person.number()
    for origin in ["http://evil.example", "null", "http://localhost:1", f"https://{person.host}:{person.port}",
                   f"{person.origin}.evil.example", None]:
        name = account.bucket_name("forged")
        answer = person.send("/bucket/create", {"csrf": number, "name": name}, {"Origin": origin})
        assert answer.status == 403 and "another origin" in answer.text, origin
        login = Person(account.cloud).send(
            "/sign-in", {"id": account.id, "secret": "test", "region": "us-east-1"}, {"Origin": origin})
        assert login.status == 403 and not login.cookies, origin
    # Nor with the right origin: a page in a bucket has it, but not a form's number and its cookie.
    fresh = Person(account.cloud)
    form, _ = fresh.form()
    for fields, cookie in [({}, ""), ({}, form), ({"form": fresh.form()[1]}, form)]:
        login = fresh.send("/sign-in", {"id": account.id, "secret": "test", "region": "us-east-1", **fields},
                           {"Cookie": cookie})
        assert login.status == 403 and not any(f"-{fresh.port}=" in one for one in login.cookies), fields
    answer = person.send("/bucket/create", {"name": account.bucket_name("forged")})
    assert answer.status == 403 and "not of this session" in answer.text
    assert account.s3.list_buckets()["Buckets"] == []


def test_names_that_are_not_ours(account, person):
    """A page of a name that came to mean this machine finds no console."""
    for host in [f"{REBIND}:{person.port}", "evil.example", f"bucket.localhost:{person.port}"]:
        answer = person.ask("GET", "/sign-in", headers={"Host": host})
        assert answer.status >= 400 and "Secret" not in answer.text, (host, answer.text)
        answer = person.ask("GET", "/labs", headers={"Host": host})
        assert "csrf" not in answer.text, host


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_a_page_of_another_origin_does_nothing(account, browser, bucket, site, host):
    """With the session's cookie in the browser: forms, frames and fetches of a page on another port of the
    same host, to which the browser gives the cookie, and of another site."""
    sign_in(browser, account)
    browser.open(site.origin.replace("127.0.0.1", host) + "/empty")
    target = f"{account.endpoint}/_console"
    frame = (
        "new Promise(r => { const f = document.createElement('iframe'); f.onload = f.onerror = () => {"
        " let t = 'closed'; try { t = f.contentDocument.body.innerText } catch {} r(t) };"
        f" f.src = '{target}/buckets'; document.body.append(f) }})"
    )
    assert bucket not in browser.run(frame)
    got = browser.run(
        f"fetch('{target}/buckets', {{credentials: 'include'}}).then(r => r.text(), e => 'no')")
    assert got == "no"
    browser.run(
        "(() => { const f = document.createElement('form'); f.method = 'post';"
        f" f.action = '{target}/bucket/delete';"
        f" f.innerHTML = '<input name=name value={bucket}>'; document.body.append(f); f.submit() }})()")
    says(browser, "another origin")
    assert browser.run("location.pathname") == "/_console/bucket/delete"
    account.s3.head_bucket(Bucket=bucket)


def test_a_page_in_a_bucket_is_a_stranger(account, browser, bucket):
    """It has the console's origin, so the browser sends the cookie, yet it can neither read nor act."""
    account.s3.put_object(
        Bucket=bucket, Key="evil.html", Body=b"<!doctype html><title>evil</title>", ContentType="text/html")
    mia = account.client("s3", account.new_user("mia", allow("s3:GetObject")))
    url = mia.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "evil.html"})
    sign_in(browser, account)
    browser.open(url)
    assert browser.run("document.title") == "evil"
    for options in ["{}", "{mode: 'same-origin'}", "{referrer: '/_console/buckets'}"]:
        got = browser.run(f"fetch('/_console/buckets', {options}).then(async r => [r.status, await r.text()])")
        assert got[0] == 403 and "csrf" not in got[1] and bucket not in got[1], got
    opened = browser.call(
        "Runtime.evaluate", expression="window.w = open('/_console/buckets'); !!window.w", userGesture=True)
    assert opened["result"]["value"], opened
    # Once it is there it is out of reach.
    wait_until(lambda: browser.run("window.w.closed"), "the window is taken away", 20)
    read = "(() => { try { return String(window.w.document.body.innerText) } catch (e) { return '' } })()"
    assert bucket not in browser.run(read)
    status = browser.run(
        "fetch('/_console/bucket/delete', {method: 'POST', body: new URLSearchParams({name: '%s'})})"
        ".then(r => r.status)" % bucket)
    assert status == 403
    status = browser.run("fetch('/_console/requests/live').then(r => r.status)")
    assert status == 403


def test_not_over_plain_http_from_elsewhere(own_cloud):
    cloud = own_cloud("--host-name", "cloud.test")
    person = Person(cloud)
    host = {"Host": f"cloud.test:{person.port}"}
    answer = person.ask("GET", "/sign-in", headers=host)
    assert answer.status == 403 and f"https://cloud.test:{person.port}/_console/" in answer.text
    assert "password" not in answer.text


# Changing things.


def several(person, bucket, files, prefix=""):
    """Files chosen together, as a browser sends them."""
    parts = [("csrf", None, person.number().encode()), ("bucket", None, bucket.encode()), ("prefix", None, prefix.encode())]
    parts += [("file", name, content) for name, content in files]
    body = b"".join(
        f"--X\r\nContent-Disposition: form-data; name=\"{name}\"".encode()
        + (f"; filename=\"{file}\"\r\nContent-Type: text/plain".encode() if file is not None else b"")
        + b"\r\n\r\n" + content + b"\r\n" for name, file, content in parts) + b"--X--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=X", "Origin": person.origin}
    answer = person.ask("POST", "/object/upload", body, headers)
    assert answer.status == 303, answer.text
    return html.unescape(re.search(r'<p class="notice (?:good|bad)"[^>]*>(.*?)</p>',
                                   person.ask("GET", answer.headers["location"].removeprefix("/_console")).text).group(1))


def test_several_files_at_once(account, person, bucket):
    large = os.urandom(3_000_000)
    files = [("a.txt", b"first"), ("large.bin", large), ("empty", b""), ("lines", b"\r\n--\r\n--x\r\n")]
    assert several(person, bucket, files, "in/") == "4 files are there."
    for name, content in files:
        stored = account.s3.get_object(Bucket=bucket, Key="in/" + name)
        assert stored["Body"].read() == content and stored["ContentType"] == "text/plain", name
    assert several(person, bucket, [("one", b"1")]) == "one is there."
    # What is refused ends it, and what was stored before is said.
    told = several(person, bucket, [("kept", b"1"), ("k" * 1100, b"2"), ("never", b"3")])
    assert "KeyTooLongError" in told and "The file before it was stored." in told, told
    keys = [entry["Key"] for entry in account.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert "kept" in keys and "never" not in keys


def test_headers_and_metadata(account, person, bucket):
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", ContentType="text/plain", Metadata={"old": "1", "gone": "2"},
                  Tagging="a=b")
    shown = person.see("/object", bucket=bucket, key="k").text
    etag = html.unescape(re.search(r'name="etag" value="([^"]*)"', shown).group(1))
    assert "old=1" in shown
    fields = {"bucket": bucket, "key": "k", "version": "", "etag": etag, "content-type": "text/markdown",
              "cache-control": "max-age=60", "metadata": f"old=3\r\n nasty = {NASTY}\r\n"}
    assert person.change("/object/metadata", **fields) == ("good", "The headers are saved.")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentType"], head["CacheControl"]) == ("text/markdown", "max-age=60")
    assert head["Metadata"] == {"old": "3", "nasty": NASTY}
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    shown = person.see("/object", bucket=bucket, key="k").text
    assert NASTY not in shown and "&lt;script&gt;" in shown
    # Not over what somebody else has written meanwhile, nor with what no header can carry.
    s3.put_object(Bucket=bucket, Key="k", Body=b"another")
    kind, said = person.change("/object/metadata", **fields)
    assert kind == "bad" and "PreconditionFailed" in said
    for line in ("a b=c", "=c", "a=\x00", "a\x7f=c"):
        kind, said = person.change("/object/metadata", **{**fields, "etag": "", "metadata": line})
        assert kind == "bad" and "InvalidMetadata" in said, line
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {}


def test_headers_that_are_not_shown_stay(account, person):
    """A copy with other headers takes nothing else away: its list of access, class, redirect and expiry."""
    s3, name = account.s3, account.bucket_name("kept")
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket=name)
    when = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    s3.put_object(Bucket=name, Key="k", Body=b"x", Expires=when, StorageClass="STANDARD_IA", ACL="public-read",
                  WebsiteRedirectLocation="/elsewhere", CacheControl="no-cache", ServerSideEncryption="AES256")

    def kept():
        head = s3.head_object(Bucket=name, Key="k")
        names = ["Expires", "StorageClass", "WebsiteRedirectLocation", "ServerSideEncryption", "ContentType"]
        return {one: head[one] for one in names}, sorted(
            (grant["Permission"], grant["Grantee"].get("ID") or grant["Grantee"]["URI"])
            for grant in s3.get_object_acl(Bucket=name, Key="k")["Grants"])

    before = kept()
    assert len(before[1]) == 2 and before[0]["StorageClass"] == "STANDARD_IA", before
    shown = person.see("/object", bucket=name, key="k").text
    etag = html.unescape(re.search(r'name="etag" value="([^"]*)"', shown).group(1))
    fields = {"bucket": name, "key": "k", "version": "", "etag": etag, "cache-control": "max-age=60",
              "content-type": before[0]["ContentType"], "metadata": ""}
    assert person.change("/object/metadata", **fields) == ("good", "The headers are saved.")
    assert s3.head_object(Bucket=name, Key="k")["CacheControl"] == "max-age=60"
    assert kept() == before


def test_a_table_is_made(account, person):
    fields = {"name": "made", "key": "id", "key-type": "S", "sort": "at", "sort-type": "N"}
    assert person.change("/table/create", **fields) == ("good", "The table made is there.")
    table = account.dynamodb.describe_table(TableName="made")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert person.change("/table/create", **{**fields, "name": "simple", "sort": ""})[0] == "good"
    for wrong in ({"name": "made"}, {"name": NASTY}, {"name": ""}, {"key-type": "X"}, {"key": ""}, {"sort": "id"}):
        kind, said = person.change("/table/create", **{**fields, "name": "other", **wrong})
        assert kind == "bad", (wrong, said)
    assert account.dynamodb.list_tables()["TableNames"] == ["made", "simple"]


# The rest.


def test_heads_and_numbers(account, person, capsys):
    """What every page says to the browser, and how long each takes."""
    worst = {}
    for path in ["/", "/buckets", "/tables", "/identities", "/requests", "/map", "/metrics", "/labs",
                 "/lab?name=introduction"]:
        took = []
        for _ in range(5):
            began = time.perf_counter()
            answer = person.ask("GET", path)
            took.append((time.perf_counter() - began) * 1000)
        assert answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert f"script-src {person.origin}/_console/assets/;" in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?! src=\"/_console/assets/)|\son\w+=|style=\"|javascript:", answer.text), path
        worst[path] = min(took)
    with capsys.disabled():
        print("\nconsole, ms a page: " + ", ".join(f"{path} {ms:.1f}" for path, ms in worst.items()))


def test_forms_that_are_none(account, person, bucket):
    number = person.number()
    boundary = {"Content-Type": "multipart/form-data; boundary=X", "Origin": person.origin}
    good = (f"--X\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{number}\r\n"
            f"--X\r\nContent-Disposition: form-data; name=\"bucket\"\r\n\r\n{bucket}\r\n").encode()
    file = b"--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nDATA"
    for body in [b"", b"--X--", good, good + file[:40], b"\xff" * 100, good * 100, b"x" * 50_000]:
        assert person.ask("POST", "/object/upload", body, boundary).status == 400, body[:80]
    # A file that breaks off is not stored.
    answer = person.ask("POST", "/object/upload", good + file, boundary)
    assert answer.status in (303, 400)
    assert "Contents" not in account.s3.list_objects_v2(Bucket=bucket)
    assert person.ask("POST", "/object/upload", good + file + b"\r\n--X--\r\n", boundary).status == 303
    assert account.s3.get_object(Bucket=bucket, Key="f")["Body"].read() == b"DATA"
    assert person.send("/item/put", {"csrf": number, "table": "none", "item": "{"}).status == 400
    assert person.send("/bucket/create", {"csrf": number, "name": "x" * 3_000_000}).status == 413
    assert person.send("/nothing", {"csrf": number}).status == 404
    assert person.ask("PUT", "/buckets").status == 405
    for name in ["", "..", "a/b", NASTY, "x" * 500]:
        kind, _ = person.change("/bucket/create", name=name)
        assert kind == "bad", name
    assert person.see("/nothing").status == 404
    assert person.see("/bucket", name="..").status >= 400


def test_items(account, person):
    d = account.client("dynamodb")
    d.create_table(
        TableName="ttt", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}, {"AttributeName": "b", "AttributeType": "N"}])
    for n in range(120):
        d.put_item(TableName="ttt", Item={"a": {"S": "x" if n % 2 else "y"}, "b": {"N": str(n)}})
    first = person.see("/table", name="ttt").text
    assert first.count('<a class="row"') == 50
    following = re.search(r'<p class="pages"><a href="/_console([^"]*)"', first).group(1)
    assert person.ask("GET", following.replace("&amp;", "&")).text.count('<a class="row"') == 50
    found = person.see("/table", name="ttt", hash="x", compare="<", range="10").text
    assert found.count('<a class="row"') == 5
    new = {"table": "ttt", "key": "", "item": '{"a": {"S": "x"}, "b": {"N": "1"}}', "csrf": person.number()}
    answer = person.send("/item/put", new)
    assert answer.status == 409 and "There is an item with this key already" in answer.text
    kind, said = person.change("/item/put", table="ttt", key="", item='{"a": {"S": "z"}, "b": {"N": "1"}}')
    assert (kind, said) == ("good", "The item is saved.")
    kind, _ = person.change("/item/delete", table="ttt", key='{"a": {"S": "z"}, "b": {"N": "1"}}')
    assert kind == "good" and "Item" not in d.get_item(TableName="ttt", Key={"a": {"S": "z"}, "b": {"N": "1"}})
    answer = person.send("/item/put", {**new, "item": '{"a": {"S": "only"}}'})
    assert answer.status == 400 and "only" in answer.text and "ValidationException" in answer.text


def test_an_item_that_others_changed(account, person):
    """Saving what was opened neither undoes what others wrote since nor revives what they deleted."""
    d, key = account.client("dynamodb"), {"id": {"S": "one"}}
    d.create_table(
        TableName="shared", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    d.put_item(TableName="shared", Item={**key, "n": {"N": "1"}, "tags": {"SS": ["b", "a"]}})
    text = '{"id": {"S": "one"}}'

    def opened(page):
        return re.search(r'name="opened" value="([0-9a-f]*)"', page).group(1)

    def save(mark, item):
        fields = {"csrf": person.number(), "table": "shared", "key": text, "opened": mark, "item": json.dumps(item)}
        return person.send("/item/put", fields)

    mark = opened(person.see("/item", table="shared", key=text).text)
    d.update_item(TableName="shared", Key=key, UpdateExpression="SET theirs = :t",
                  ExpressionAttributeValues={":t": {"S": "what they wrote"}})
    answer = save(mark, {**key, "n": {"N": "2"}})
    assert answer.status == 409 and "ItemChanged" in answer.text
    assert "what they wrote" in answer.text and '"n": {"N": "2"}' in html.unescape(answer.text)
    assert d.get_item(TableName="shared", Key=key)["Item"]["n"] == {"N": "1"}
    # Whoever has seen it may replace it.
    assert save(opened(answer.text), {**key, "n": {"N": "2"}}).status == 303
    assert d.get_item(TableName="shared", Key=key)["Item"] == {**key, "n": {"N": "2"}}
    assert save(mark, {**key, "n": {"N": "3"}}).status == 409
    assert save("", {**key, "n": {"N": "3"}}).status == 409
    mark = opened(person.see("/item", table="shared", key=text).text)
    d.delete_item(TableName="shared", Key=key)
    answer = save(mark, {**key, "n": {"N": "3"}})
    assert answer.status == 409 and "ItemGone" in answer.text and "Item" not in d.get_item(TableName="shared", Key=key)
    assert 'name="key" value=""' in answer.text
    # Many attributes, and all kinds of them.
    many = {**key, **{f"a{n}": {"S": "x"} for n in range(400)}, "l": {"L": [{"NULL": True}]}, "b": {"B": b"\0\1"}}
    d.put_item(TableName="shared", Item=many)
    mark = opened(person.see("/item", table="shared", key=text).text)
    assert save(mark, {**key, "n": {"N": "4"}}).status == 303


def test_regions(account, person):
    """What is in another region is found."""
    account.client("dynamodb", region="eu-central-1").create_table(
        TableName="far", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    page = person.see("/tables").text
    assert "No tables in us-east-1." in page and 'name="region" value="eu-central-1"' in page
    assert 'name="region" value="eu-west-1"' not in page
    kind, said = person.change("/region", back="/tables", region="eu-central-1")
    assert (kind, said) == ("good", "You are looking at eu-central-1 now.")
    assert ">far</a>" in person.see("/tables").text and person.see("/table", name="far").status == 200
    for wrong in ("", "nowhere!", NASTY):
        assert person.change("/region", back="/tables", region=wrong)[0] == "bad"
    assert person.change("/region", back="https://evil.example/", region="us-east-1")[0] == "good"
    assert "No tables in us-east-1." in person.see("/tables").text


def test_a_region_is_chosen_by_hand(account, browser):
    sign_in(browser, account)
    at(browser, account, "/tables")
    says(browser, "No tables in us-east-1.")
    browser.run("(() => { const s = document.querySelector('.region select'); s.value = 'eu-west-1';"
                " s.dispatchEvent(new Event('change')) })()")
    says(browser, "No tables in eu-west-1.")


def test_by_the_address_of_six(own_cloud, browser):
    """No policy can name `[::1]`, so the name is taken in its place, and scripts and styles are there."""
    cloud = own_cloud(listen="[::1]:0")
    browser.call("Network.clearBrowserCookies")
    browser.open(f"{cloud.endpoint}/_console/sign-in")
    assert "[::1]" in cloud.endpoint
    wait_until(lambda: browser.look("location.hostname") == "localhost", "by its name", 20)
    fill(browser, {"id": "test", "secret": "test"}, "Sign in")
    assert browser.run("location.pathname") == "/_console/", shown(browser)
    assert browser.run("getComputedStyle(document.querySelector('.top')).display") == "flex"


def test_versions_and_deleting(account, person, bucket):
    assert person.change("/bucket/versioning", name=bucket, status="Enabled")[0] == "good"
    for n in range(2):
        account.s3.put_object(Bucket=bucket, Key="a/k", Body=f"text {n}".encode())
    assert "text 1" in person.see("/object", bucket=bucket, key="a/k").text
    assert person.change("/object/delete", bucket=bucket, key="a/k", version="") == ("good", "a/k is deleted.")
    page = person.see("/bucket", name=bucket, prefix="a/", versions="1").text
    assert page.count(">deleted</span>") == 1 and page.count(">older</span>") == 2
    old = account.s3.list_object_versions(Bucket=bucket)["Versions"][1]["VersionId"]
    assert "text 0" in person.see("/object", bucket=bucket, key="a/k", version=old).text
    kind, said = person.change("/bucket/delete", name=bucket)
    assert kind == "bad" and said.startswith("BucketNotEmpty")


def test_the_map_and_the_numbers_come_live(account, person, bucket):
    pieces = person.follow(person.loads("/map"), f">{bucket}<")
    next(pieces)
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for _ in pieces:
        pass
    plots = person.ask("GET", person.loads("/metrics"))
    assert plots.status == 200 and plots.text.count("<svg") == 6


def test_the_map_shows_what_comes_and_goes(account, person):
    """A bucket that is made while somebody looks has its place, and none when it is gone."""
    name = account.bucket_name("passing")
    target = person.loads("/map")
    shown = person.follow(target, "never", 30)
    last = next(shown)
    assert name not in last
    drawing = lambda seen: seen.rsplit("event: all", 1)[-1]  # noqa: E731
    account.s3.create_bucket(Bucket=name)
    # The whole of a drawing: the resources stand at its end.
    while f"name={name}\"" not in drawing(last):
        last = next(shown)
    account.s3.delete_bucket(Bucket=name)
    while "</svg>" not in drawing(last) or f"name={name}\"" in drawing(last):
        last = next(shown)
    shown.close()


def ids_of(seen):
    """Whole rows alone: the last may be on its way."""
    whole = seen[:seen.rfind("\n\n") + 2]
    return re.findall(r'<details class="request fresh"[^>]* data-id="([^"]+)"', whole)


def test_requests_come_without_a_hole(account, person, bucket):
    """What comes between the page and its first event, and while the browser is cut off, is there."""
    shown = person.see("/requests").text
    target = html.unescape(re.search(r'data-live="/_console([^"]*)"', shown).group(1))
    known = re.findall(r' data-id="([^"]+)"', shown)

    def put():
        return account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ResponseMetadata"]["RequestId"]

    wanted = [put() for _ in range(3)]
    seen = ""
    for seen in person.follow(target, wanted[-1]):
        pass
    assert sorted(id for id in ids_of(seen + "\n\n") if id in wanted) == sorted(wanted)
    assert known[0] in ids_of(seen), "it begins before, since records may come late"
    last = re.findall(r"^id: (.*)$", seen, re.M)[-1]
    cut = [put() for _ in range(3)]
    for seen in person.follow(target, cut[-1], last=last):
        pass
    assert sorted(id for id in ids_of(seen + "\n\n") if id in cut) == sorted(cut)


def test_what_is_allowed_says_by_which_statement(account, person, bucket):
    mia = account.client("s3", account.new_user(
        "mia", allow("s3:ListBucket", Sid="Lists"), allow(["s3:PutObject", "s3:GetObject"], Sid="Writes")))
    mia.put_object(Bucket=bucket, Key="k", Body=b"x")
    mia.get_object(Bucket=bucket, Key="k")
    mia.list_objects_v2(Bucket=bucket)
    with refused("NoSuchKey"):
        mia.get_object(Bucket=bucket, Key="none")
    account.s3.get_object(Bucket=bucket, Key="k")

    def by(**filters):
        shown = person.see("/requests", **filters).text
        return re.findall(r"Allowed by</span> ([^<]*)</p>", shown)

    second = "statement 2 (Sid Writes) of the identity-based policy "
    for operation, count in (("PutObject", 1), ("GetObject", 2)):
        said = by(operation=operation, who="user/mia")
        assert len(said) == count and all(one.startswith(second) for one in said), (operation, said)
    assert by(operation="ListObjectsV2", who="user/mia")[0].startswith("statement 1 (Sid Lists) of the ")
    assert by(operation="GetObject", who=":root") == ["root of the account, which needs no policy"]
    account.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account.id}:user/mia"}, "Action": "s3:GetObject",
         "Resource": f"arn:aws:s3:::{bucket}/*"}]}))
    mia.get_object(Bucket=bucket, Key="k")
    assert "statement 1 of the resource-based policy" in by(operation="GetObject", who="user/mia")[0]


def test_labs(account, person):
    page = person.see("/labs").text
    assert "First steps" in page and "not run yet" in page
    lab = person.see("/lab", name="first-steps").text
    assert "Step 1" in lab and "You should see" in lab
    assert person.see("/lab", name="../../etc/passwd").status == 404


def test_containers(engine):
    """Needs root, as all tests of containers do. Lines of logs and labels hold what they like."""
    engine.docker("run", "-d", "--name", "noisy", "--label", f"nasty={NASTY}", "busybox", "sh", "-c",
                  f"echo '{NASTY}'; echo wrong >&2; trap exit TERM; i=0;"
                  " while [ $i -lt 600 ]; do echo line-$i; i=$((i+1)); sleep 0.1; done")
    engine.wait_for("noisy", "running")
    person = Person(engine.cloud)
    assert person.sign_in("test", "test").status == 303
    assert "noisy" in person.see("/containers").text and "busybox" in person.see("/images").text
    for _ in person.follow(person.loads("/container", id="noisy"), "line-"):
        pass
    page = person.see("/container", id="noisy").text
    assert "line-0" in page and '<div class="line error"' in page and "nasty=&lt;script&gt;" in page
    assert "<script>window" not in page and "&lt;script&gt;window" in page
    check_log_without_a_hole(person)
    assert person.change("/container/act", id="noisy", act="stop") == ("good", "It has stopped.")
    engine.wait_for("noisy", "exited")
    assert person.change("/container/act", id="noisy", act="start") == ("good", "It runs.")
    assert person.change("/container/act", id="noisy", act="exec")[0] == "bad"
    assert person.change("/container/act", id="../images/x", act="start")[0] == "bad"
    other = Person(engine.cloud)
    other.sign_in("123456789012", "test")
    assert "Only principals of the default account" in other.see("/containers").text
    assert other.change("/container/act", id="noisy", act="stop")[0] == "bad"
    person.change("/container/act", id="noisy", act="stop")
    assert person.change("/container/act", id="noisy", act="remove") == ("good", "It is removed.")


def check_log_without_a_hole(person):
    """What is said between the page and its first event, and while the browser is cut off, comes once."""
    page = person.see("/container", id="noisy").text
    target = html.unescape(re.search(r'data-live="/_console([^"]*)"', page).group(1))
    numbers = lambda text: [int(n) for n in re.findall(r">line-(\d+)<", text)]  # noqa: E731

    def later(number):
        wait_until(lambda: f">line-{number}<" in person.see("/container", id="noisy").text, "it says more", 20)

    told, last = numbers(page), None
    for _ in range(2):
        later(told[-1] + 3)
        for seen in person.follow(target, f">line-{told[-1] + 5}<", last=last):
            pass
        whole = seen[:seen.rfind("\n\n") + 2]
        last = re.findall(r"^id: (.*)$", whole, re.M)[-1]
        told += numbers(whole)
    assert told == list(range(told[0], told[-1] + 1)), told


def test_it_ends_with_the_cloud(own_cloud):
    """Pages that follow hold up no end."""
    cloud = own_cloud()
    person = Person(cloud)
    person.sign_in("test", "test")
    with socket.create_connection(cloud.address) as connection:
        target = person.loads("/requests")
        connection.sendall(
            f"GET /_console{target} HTTP/1.1\r\nHost: {person.host}:{person.port}\r\n"
            f"Cookie: {person.cookie}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert cloud.terminate() == 0
        assert time.monotonic() - began < 8
