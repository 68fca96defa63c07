"""The page: what it answers, to whom, and with which fields."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import httpx
import pytest

from wimse.inspector.app import MAX_INPUT_BYTES, application

FILES = ["/", "/page.css", "/page.js"]


async def ask(method: str, path: str, **options: Any) -> httpx.Response:
    host = options.pop("host", "127.0.0.1:8421")
    transport = httpx.ASGITransport(app=application())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8421") as client:
        headers = {"Host": host, **options.pop("headers", {})}
        return await client.request(method, path, headers=headers, **options)


@pytest.mark.parametrize("path", FILES)
async def test_every_answer_has_a_strict_policy(path: str) -> None:
    for answer in (await ask("GET", path), await ask("GET", "/missing"), await ask("GET", "/", host="evil.example")):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", FILES)
async def test_the_files_take_nothing_from_elsewhere(path: str) -> None:
    answer = await ask("GET", path)
    assert answer.status_code == 200
    assert "http:" not in answer.text.replace("http://127.0.0.1", "")
    assert "https:" not in answer.text
    assert not re.search(r"<script(?! src=)|\sstyle=|\son[a-z]+=", answer.text)
    assert "innerHTML" not in answer.text


async def test_a_message_is_explained() -> None:
    answer = await ask("POST", "/explain", json={"text": "\nGET / HTTP/1.1\nHost: a\n\n", "request": ""})
    assert (answer.status_code, answer.json()["kind"]) == (200, "request")
    response = {"text": "HTTP/1.1 200 OK\n\n", "request": "GET / HTTP/1.1\n\n"}
    assert (await ask("POST", "/explain", json=response)).json()["kind"] == "response"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"text": 1}', 400),
        (b'{"text": "a", "text": "b"}', 400),
        (b'{"text": "a", "request": "b"}', 400),
        (b'{"text": "\\ud800"}', 400),
        (json.dumps({"text": "a" * MAX_INPUT_BYTES}).encode(), 413),
    ],
)
async def test_other_input_is_refused(body: bytes, status: int) -> None:
    answer = await ask("POST", "/explain", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]


async def test_a_form_of_another_page_is_refused() -> None:
    answer = await ask("POST", "/explain", content=b'{"text": "a"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8421", "127.0.0.1.evil.example", "", "127.0.0.2:8421"])
async def test_another_name_for_this_machine_is_refused(host: str) -> None:
    assert (await ask("GET", "/", host=host)).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8421", "localhost:8421", "LOCALHOST", "127.0.0.1"])
async def test_its_own_names_are_answered(host: str) -> None:
    assert (await ask("GET", "/", host=host)).status_code == 200


def test_the_page_is_accessible_in_its_basics() -> None:
    html = files("wimse.inspector").joinpath("page", "index.html").read_text()
    assert '<html lang="en">' in html
    for control in re.findall(r"<textarea id=\"(\w+)\"", html):
        assert f'<label for="{control}">' in html
    assert 'role="status"' in html
    css = files("wimse.inspector").joinpath("page", "page.css").read_text()
    assert "prefers-color-scheme: dark" in css
    assert ":focus-visible" in css


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_its_colours_can_be_read_in_light_and_dark() -> None:
    css = files("wimse.inspector").joinpath("page", "page.css").read_text()
    schemes = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", scheme))
        for name in ("text", "soft", "ok", "failed", "unchecked", "link"):
            for back in ("back", "panel"):
                one, two = sorted((luminance(colours[name]), luminance(colours[back])))
                assert (two + 0.05) / (one + 0.05) >= 4.5, (name, back)
