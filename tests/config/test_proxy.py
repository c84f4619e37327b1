"""Which proxy leads to an endpoint, and what is shown of it."""

from urllib.parse import urlsplit

import pytest

from pipeline.config.proxy import Proxy, parse_proxy, proxy_in_environment

CANARY = "canary"


def proxy_for(url: str, **env: str) -> Proxy | None:
    return proxy_in_environment(urlsplit(url), env)


@pytest.mark.parametrize(
    ("url", "env", "expected"),
    [
        ("https://h/v1", {"HTTPS_PROXY": "http://p:1"}, "the proxy http://p:1 (HTTPS_PROXY)"),
        ("https://h/v1", {"https_proxy": "http://p:1"}, "the proxy http://p:1 (https_proxy)"),
        ("https://h/v1", {"ALL_PROXY": "http://p:1"}, "the proxy http://p:1 (ALL_PROXY)"),
        ("http://h/v1", {"HTTP_PROXY": "p:1"}, "the proxy http://p:1 (HTTP_PROXY)"),
        ("http://h/v1", {"HTTP_PROXY": "https://p/"}, "the proxy https://p (HTTP_PROXY)"),
        (
            "https://h/v1",
            {"HTTPS_PROXY": "http://u:p@big:1", "https_proxy": "http://small:1"},
            "the proxy http://small:1 (https_proxy)",
        ),
        (
            "https://h/v1",
            {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://all:1"},
            "the proxy http://p:1 (HTTPS_PROXY)",
        ),
        ("https://h/v1", {"HTTP_PROXY": "http://p:1"}, "None"),
        ("https://h/v1", {"HTTPS_PROXY": "", "https_proxy": " "}, "None"),
        ("https://h/v1", {}, "None"),
    ],
)
def test_the_variable_of_the_urls_scheme_names_the_proxy(
    url: str, env: dict[str, str], expected: str
) -> None:
    assert str(proxy_for(url, **env)) == expected


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_no_variable_leads_loopback_through_a_proxy(host: str) -> None:
    assert proxy_for(f"http://{host}:8000/v1", http_proxy="http://p:1", all_proxy="http://p:1") is None


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("*", True),
        ("api.corp.example", True),
        ("corp.example", True),
        (".corp.example", True),
        ("*.corp.example", True),
        ("API.Corp.Example", True),
        ("other.example, corp.example", True),
        ("other.example corp.example", True),
        ("api.corp.example:8443", True),
        ("api.corp.example:443", False),
        ("orp.example", False),
        ("pi.corp.example", False),
        ("corp", False),
        ("10.0.0.0/8", False),
        (" , ", False),
    ],
)
def test_no_proxy_names_hosts_domains_and_ports(no_proxy: str, *, direct: bool) -> None:
    for variable in ("NO_PROXY", "no_proxy"):
        env = {"HTTPS_PROXY": "http://p:1", variable: no_proxy}
        assert (proxy_for("https://api.corp.example:8443/v1", **env) is None) == direct


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [("10.0.0.0/8", True), ("10.1.2.3", True), ("10.1.2.4", False), ("11.0.0.0/8", False)],
)
def test_no_proxy_names_addresses_and_networks(no_proxy: str, *, direct: bool) -> None:
    found = proxy_for("https://10.1.2.3/v1", HTTPS_PROXY="http://p:1", NO_PROXY=no_proxy)
    assert (found is None) == direct


@pytest.mark.parametrize("password", ["canary", "can@ry/canary:1#?", "canary%20blank"])
def test_credentials_are_taken_out_of_the_url_and_shown_nowhere(password: str) -> None:
    found = parse_proxy(f"http://me:{password}@proxy.example:3128/", "HTTPS_PROXY")
    assert found.url == "http://proxy.example:3128"
    assert found.credentials == ("me", password.replace("%20", " "))
    assert CANARY not in f"{found} {found!r}"
    assert found.secrets == {found.credentials[1], found.authorization}


def test_the_credentials_are_a_header() -> None:
    found = parse_proxy("http://Aladdin:open%20sesame@p:1", "")
    assert found.authorization == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert parse_proxy("http://p:1", "").authorization is None
    assert parse_proxy("http://p:1", "").secrets == frozenset()


@pytest.mark.parametrize(
    "value",
    [
        "socks5://canary:canary@p:1",
        "ftp://canary@p",
        "http://",
        "http://me:canary@",
        "http://p:canary",
        "http://p/canary",
        "http://p?canary",
        "http://p:0",
        "http://a canary",
        "http://p\\canary",
    ],
)
def test_what_is_no_proxy_is_refused_with_its_variables_name_and_not_shown(value: str) -> None:
    with pytest.raises(
        ValueError, match=r"^the environment variable HTTPS_PROXY is .*model\.proxy"
    ) as caught:
        proxy_for("https://h/v1", HTTPS_PROXY=value)
    assert CANARY not in str(caught.value)
