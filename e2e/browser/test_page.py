"""The page that `wse-operator up` serves, used as a person would use it."""

import http.client
import json
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from conftest import PATIENCE_SECONDS, Up, reloads


class Page:
    """What a person sees and does."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.get(url)
        self.until(lambda: self.value("url").startswith("ws://"))

    def element(self, name):
        return self.browser.find_element(By.ID, name)

    def value(self, name):
        return self.element(name).get_property("value")

    def until(self, condition):
        waiter = WebDriverWait(self.browser, PATIENCE_SECONDS, poll_frequency=0.05)
        return waiter.until(lambda _: condition(), message=self.state())

    def type(self, name, text, *keys):
        field = self.element(name)
        field.clear()
        field.send_keys(text, *keys)

    def state(self):
        return self.element("state").text

    def connect(self):
        self.element("connect").click()
        self.until(lambda: self.state().startswith("Connected"))

    def subscribe(self, topic):
        self.type("pattern", topic, Keys.ENTER)
        confirmed = f'#topics li[data-topic="{topic}"][data-state=confirmed]'
        self.until(lambda: self.browser.find_elements(By.CSS_SELECTOR, confirmed))

    def publish(self, topic, message):
        self.type("topic", topic)
        self.type("message", message)
        self.element("publish").click()
        self.until(lambda: self.element("publish-note").text.startswith("Published as number"))

    def texts(self, selector):
        """Read in one go, because rows come and go meanwhile."""
        script = "return Array.from(document.querySelectorAll(arguments[0]), (row) => row.innerText)"
        return self.browser.execute_script(script, selector)

    def messages(self):
        """Newest first."""
        return self.texts("#messages .body")

    def wait_for_message(self, text):
        self.until(lambda: any(text in message for message in self.messages()))

    def pods(self):
        return self.texts("#pods li")


@pytest.fixture
def page(browser, fleet):
    return Page(browser, fleet.page)


def test_a_published_message_arrives(page):
    page.connect()
    assert "as demo" in page.state()
    page.subscribe("chat.lobby")
    page.publish("chat.lobby", "good morning")
    page.wait_for_message("good morning")
    page.publish("chat.elsewhere", "not for me")
    page.publish("chat.lobby", "the last")
    page.wait_for_message("the last")
    assert not any("not for me" in message for message in page.messages())


def test_a_wildcard_takes_in_many_topics(page):
    page.connect()
    page.subscribe("chat.*")
    for topic in ("chat.one", "chat.two.three"):
        page.publish(topic, f"to {topic}")
        page.wait_for_message(f"to {topic}")


def test_json_goes_out_as_it_is(page):
    page.connect()
    page.subscribe("chat.lobby")
    page.publish("chat.lobby", '{"t": "typing", "p": {"who": "ada"}}')
    page.wait_for_message('{"who":"ada"}')
    assert page.browser.find_element(By.CSS_SELECTOR, "#messages .type").text == "typing"


def test_after_unsubscribing_nothing_arrives(page):
    page.connect()
    page.subscribe("chat.lobby")
    page.subscribe("chat.other")
    page.browser.find_element(By.CSS_SELECTOR, '#topics li[data-topic="chat.lobby"] button').click()
    page.publish("chat.lobby", "too late")
    page.publish("chat.other", "in time")
    page.wait_for_message("in time")
    assert not any("too late" in message for message in page.messages())


def test_a_refused_subscription_says_why(page):
    page.connect()
    page.type("pattern", "$all", Keys.ENTER)
    page.until(lambda: "$all: not subscribed" in page.element("subscribe-note").text)
    assert page.texts("#topics li[data-state=failed]") == ["$all\n\u00d7"]


def test_a_wrong_token_shows_the_reason_and_a_good_one_mends_it(page):
    good = page.value("token")
    head, body, _ = good.split(".")
    for wrong, reason in ((f"{head}.{body}.c2lnbmF0dXJl", "Authentication failed"), ("", "Authentication required")):
        page.type("token", wrong)
        page.element("connect").click()
        page.until(lambda: page.state().startswith("Refused"))
        assert reason in page.state() and "close 4401" in page.state()
    page.type("token", good)
    page.connect()


def test_a_keyboard_is_enough(page):
    def press(*keys):
        page.browser.switch_to.active_element.send_keys(*keys)

    assert page.browser.switch_to.active_element == page.element("connect")
    press(Keys.ENTER)
    page.until(lambda: page.state().startswith("Connected"))
    press(Keys.TAB)
    assert page.browser.switch_to.active_element == page.element("pattern")
    press("chat.keys", Keys.ENTER)
    press(Keys.TAB)
    page.type("topic", "chat.keys")
    page.type("message", "typed", Keys.CONTROL, Keys.ENTER)
    page.until(lambda: "Published" in page.element("publish-note").text)


def test_an_edit_of_the_file_reconnects_nobody(page, fleet):
    page.connect()
    page.subscribe("chat.lobby")
    connection = page.element("state").get_attribute("title")
    assert connection
    before = reloads(fleet)["applied"]
    fleet.edit("messagesPerSecond: 50", "messagesPerSecond: 60")
    page.until(lambda: reloads(fleet)["applied"] > before)
    page.publish("chat.lobby", "after the edit")
    page.wait_for_message("after the edit")
    assert page.element("state").get_attribute("title") == connection


def test_a_bad_edit_is_told_and_changes_nothing(page, fleet):
    page.connect()
    fleet.edit("windowSeconds: 5", "windowSeconds: 50")
    fleet.wait_for(r"spec\.drain: `windowSeconds` must be less than or equal")
    assert page.state().startswith("Connected")
    fleet.edit("windowSeconds: 50", "windowSeconds: 5")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_looks_right_by_day_and_night(page, scheme, tmp_path):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page.connect()
    page.subscribe("chat.*")
    page.publish("chat.lobby", "good morning")
    page.publish("chat.lobby", '{"t": "typing", "p": {"who": "ada", "seconds": 3}}')
    page.wait_for_message("ada")
    page.until(lambda: "1 client" in " ".join(page.pods()))
    picture = tmp_path / f"{scheme}.png"
    assert page.browser.save_screenshot(str(picture))
    print(f"screenshot: {picture}")
    ground = page.browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    red = int(ground.removeprefix("rgb(").split(",")[0])
    assert (red > 127) == (scheme == "light")
    wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.browser.execute_script(wide), "nothing sticks out"
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_page_logs_no_errors(page):
    page.browser.get_log("browser")
    page.connect()
    page.subscribe("chat.lobby")
    severe = [entry for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_two_gateways_share_topics_and_the_fleet_grows_and_shrinks(browser, two_gateways):
    page = Page(browser, two_gateways.page)
    page.connect()
    page.subscribe("chat.lobby")
    # The page's server picks a gateway at random for each.
    for number in range(20):
        page.publish("chat.lobby", f"message {number}")
        page.wait_for_message(f"message {number}")
    two_gateways.edit("replicas: 2", "replicas: 3")
    page.until(lambda: sum("ready" in pod for pod in page.pods()) == 3)
    two_gateways.edit("replicas: 3", "replicas: 1")
    page.until(lambda: len(page.pods()) == 1)
    page.until(lambda: page.state().startswith("Connected"))
    page.subscribe("chat.lobby")
    page.publish("chat.lobby", "still here")
    page.wait_for_message("still here")


def test_a_fleet_that_ends_asks_the_page_to_leave(browser, tmp_path):
    up = Up(tmp_path)
    try:
        page = Page(browser, up.page)
        page.connect()
        up.process.terminate()
        page.until(lambda: "close 4300" in page.state())
        page.until(lambda: "does not answer" in "".join(page.texts("#conditions li")))
    finally:
        assert up.end() == 0, up.said()


@pytest.mark.parametrize(
    ("host", "origin", "content_type", "status"),
    [
        (None, None, "application/json", 403),
        (None, "http://evil.example", "application/json", 403),
        ("evil.example", "http://evil.example", "application/json", 403),
        (None, "own", "text/plain", 415),
        (None, "own", "application/json", 422),
    ],
)
def test_no_other_page_can_publish(fleet, host, origin, content_type, status):
    own = urlsplit(fleet.page).netloc
    connection = http.client.HTTPConnection(own)
    headers = {"host": host or own, "content-type": content_type}
    if origin:
        headers["origin"] = f"http://{own}" if origin == "own" else origin
    # Without a topic: what gets through to a gateway is refused there.
    connection.request("POST", urlsplit(fleet.page).path + "publish", json.dumps({"message": {"t": "a"}}), headers)
    assert connection.getresponse().status == status
    connection.close()


def test_no_other_name_reads_the_token(fleet):
    own = urlsplit(fleet.page).netloc
    connection = http.client.HTTPConnection(own)
    connection.request("GET", urlsplit(fleet.page).path + "session", headers={"host": "evil.example"})
    answer = connection.getresponse()
    assert answer.status == 403
    assert b"eyJ" not in answer.read()
    connection.close()


@pytest.mark.parametrize("path", ["/", "/session", "/fleet", "/publish", "/0123/session"])
def test_who_does_not_know_the_address_gets_nothing(fleet, path):
    own = urlsplit(fleet.page).netloc
    connection = http.client.HTTPConnection(own)
    headers = {"origin": f"http://{own}", "content-type": "application/json"}
    connection.request("POST" if path == "/publish" else "GET", path, headers=headers)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (404, b"")
    connection.close()
