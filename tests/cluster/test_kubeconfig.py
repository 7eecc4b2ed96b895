import base64
import json
import re
import subprocess
import sys
from typing import Any

import pytest

from cluster import kubeconfig
from cluster.errors import CredentialsError
from cluster.transport import Client


def config(
    server: str = "https://10.0.0.1:6443", *, user: object = None, **cluster: object
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


@pytest.fixture
def write(tmp_path):
    def write(content: object, name: str = "config") -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def test_json_with_a_token_and_an_authority_in_a_file(tmp_path, write) -> None:
    (tmp_path / "ca.pem").write_text("PEM")
    found = kubeconfig.load(write(config(user={"token": "abc"}, **{"certificate-authority": "ca.pem"})))
    assert found.server == "https://10.0.0.1:6443"
    assert found.ca_file == str(tmp_path / "ca.pem")
    assert found.authorization is not None
    assert found.authorization() == "Bearer abc"
    assert found.verify is True
    assert (found.cert_file, found.key_file, found.server_name, found.proxy) == ("", "", "", "")


def test_another_context_than_the_current_one(write) -> None:
    made = config(user={"token": "abc"})
    made["contexts"] += [{"name": "y", "context": {"cluster": "d", "user": "u"}}]
    made["clusters"] += [{"name": "d", "cluster": {"server": "https://10.0.0.2"}}]
    path = write(made)
    assert kubeconfig.load(path).server == "https://10.0.0.1:6443"
    assert kubeconfig.load(path, context="y").server == "https://10.0.0.2"
    with pytest.raises(CredentialsError, match="there is no context 'z'"):
        kubeconfig.load(path, context="z")


def test_client_certificates_as_data(write) -> None:
    user = {
        key: base64.b64encode(key.encode()).decode() for key in ("client-certificate-data", "client-key-data")
    }
    found = kubeconfig.load(write(config(user=user)))
    assert found.authorization is None
    for path, content in ((found.cert_file, "client-certificate-data"), (found.key_file, "client-key-data")):
        with open(path) as file:
            assert file.read() == content


def test_what_the_cluster_says_of_tls_and_proxy(write) -> None:
    options = {"insecure-skip-tls-verify": True, "tls-server-name": "api", "proxy-url": "http://proxy:3128"}
    found = kubeconfig.load(write(config(**options)))
    assert (found.verify, found.server_name, found.proxy) == (False, "api", "http://proxy:3128")


@pytest.mark.parametrize(
    ("server", "proxy"),
    [
        ("https://10.0.0.1:6443", "http://proxy:3128"),
        ("https://127.0.0.1:6443", ""),
        ("https://[::1]:6443", ""),
        ("https://api.inside.example:6443", ""),
    ],
)
def test_a_proxy_of_the_environment_is_used_as_kubectl_does(
    monkeypatch, write, server: str, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", ".inside.example")
    assert kubeconfig.load(write(config(server))).proxy == proxy


def test_a_token_of_an_exec_plugin_is_renewed_when_it_expires(tmp_path, write) -> None:
    count = tmp_path / "count"
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib\n"
        f"count = pathlib.Path({str(count)!r})\n"
        "number = int(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text(str(number))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',\n"
        "  'status': {'token': f't{number}', 'expirationTimestamp': '2020-01-01T00:00:00Z'}}))\n"
    )
    plugin.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    found = kubeconfig.load(write(config(user=user)))
    assert found.authorization is not None
    first, second = found.authorization(), found.authorization()
    assert first.startswith("Bearer t")
    assert second.startswith("Bearer t")
    assert first != second


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\necho 'login first' >&2; exit 3\n", "exec: process returned 3. login first"),
        ("#!/bin/sh\necho junk\n", "exec: failed to decode process output"),
        (None, "No such file or directory"),
    ],
)
def test_an_exec_plugin_that_fails_is_told(tmp_path, write, capfd, script: str | None, said: str) -> None:
    plugin = tmp_path / "plugin"
    if script is not None:
        plugin.write_text(script)
        plugin.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    with pytest.raises(CredentialsError, match=f"config: no credentials: .*{re.escape(said)}"):
        kubeconfig.load(write(config(user=user)))
    assert capfd.readouterr().err == ""


def test_a_kubeconfig_without_a_user_is_anonymous(write) -> None:
    found = kubeconfig.load(write(config()))
    assert (found.authorization, found.cert_file) == (None, "")


def test_kubeconfig_of_the_environment(monkeypatch, write) -> None:
    monkeypatch.setenv("KUBECONFIG", f"/no/such/file:{write(config('https://a'))}")
    assert kubeconfig.load(None).server == "https://a"
    assert kubeconfig.load(write(config("https://b"), "other")).server == "https://b"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "junk",
        "[]",
        "{",
        "\x00",
        "current-context: x",
        {"current-context": "none", **{key: [] for key in ("clusters", "users", "contexts")}},
        {**config(), "current-context": "other"},
        {**config(), "clusters": []},
        {**config(), "users": 5},
        config(**{"certificate-authority": "/no/such/ca"}),
        config(user={"client-certificate": "/no/such/cert", "client-key": "/no/such/key"}),
        config(user={"tokenFile": "/no/such/token"}),
    ],
)
def test_junk_is_one_clear_line(write, content: object) -> None:
    path = write(content)
    with pytest.raises(CredentialsError) as caught:
        kubeconfig.load(path)
    assert str(caught.value).startswith(f"{path}: not a usable kubeconfig: ")
    assert str(caught.value).isprintable()
    assert "' object " not in str(caught.value)  # Python's own words, as of a TypeError


def test_an_authority_that_is_none_is_found_when_the_client_is_made(write) -> None:
    found = kubeconfig.load(write(config(**{"certificate-authority-data": "%%%"})))
    with pytest.raises(CredentialsError, match="not usable as certificate authority"):
        Client(found)


def test_no_file() -> None:
    with pytest.raises(CredentialsError, match="/no/such/file: no such kubeconfig file"):
        kubeconfig.load("/no/such/file")


def test_only_loading_a_kubeconfig_imports_the_official_package() -> None:
    program = (
        "import sys, cluster.events, cluster.informer, cluster.kubeconfig, cluster.lease\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in ('kubernetes', 'requests')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
