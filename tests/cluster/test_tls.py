"""TLS on a server of our own: client certificates, names, and connections that are cut within it."""

import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from faultyapi import FaultyAPI, Live, answer, event, silence

from cluster.transport import ApiError, Client, Credentials

OK = answer(200, {"kind": "ConfigMap"})


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server's certificate for 127.0.0.1 and for api.example, and a client's."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificates can be made")
    directory = tmp_path_factory.mktemp("pki")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl(*new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        extensions = [
            "-addext", f"extendedKeyUsage={usage}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:api.example",
        ]  # fmt: skip
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(*new, *signed, *extensions, "-subj", f"/CN={name}")
    return directory


@pytest.fixture
def serving(pki: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    return context


def credentials(server: FaultyAPI, pki: Path, **options: str) -> Credentials:
    return Credentials(server.url, ca_file=str(pki / "ca.pem"), **options)


def test_a_client_certificate_is_shown(pki: Path, serving: ssl.SSLContext) -> None:
    serving.load_verify_locations(pki / "ca.pem")
    serving.verify_mode = ssl.CERT_REQUIRED
    ours = {"cert_file": str(pki / "client.pem"), "key_file": str(pki / "client.key")}
    with FaultyAPI([OK], tls=serving) as server:
        assert Client(credentials(server, pki, **ours)).get("/p") == {"kind": "ConfigMap"}
    with FaultyAPI([OK], tls=serving) as server, pytest.raises(ApiError) as caught:
        Client(credentials(server, pki), attempts=1).get("/p")
    assert caught.value.status == 0


@pytest.mark.parametrize(("name", "trusted"), [("", True), ("api.example", True), ("other.example", False)])
def test_the_servers_name_is_verified(pki: Path, serving: ssl.SSLContext, name: str, trusted: bool) -> None:
    with FaultyAPI([OK], tls=serving) as server:
        client = Client(credentials(server, pki, server_name=name))
        if trusted:
            assert client.get("/p") == {"kind": "ConfigMap"}
        else:
            with pytest.raises(ApiError, match="UntrustedServer"):
                client.get("/p")


@pytest.mark.parametrize("respond", [silence, Live(event("ADDED", {}))], ids=["headers", "stream"])
@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_a_call_that_is_blocked_within_tls_is_ended(
    pki: Path, serving: ssl.SSLContext, respond, how: str
) -> None:
    with FaultyAPI([respond], tls=serving) as server:
        client = Client(credentials(server, pki))
        errors: list[ApiError] = []

        def follow() -> None:
            try:
                list(client.watch("/p", params={}, read_timeout=60.0))
            except ApiError as error:
                errors.append(error)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        server.wait_for_requests(1)
        if how == "close":
            client.close()
        else:
            client.interrupt(thread)
        thread.join(60.0)
        assert [error.reason for error in errors] == ["Closed" if how == "close" else "NoAnswer"]


def test_a_server_that_never_ends_the_handshake_is_given_up(pki: Path) -> None:
    with FaultyAPI() as server:
        url = server.url.replace("http:", "https:")
        client = Client(Credentials(url, ca_file=str(pki / "ca.pem")), timeout=0.3, attempts=1)
        with pytest.raises(ApiError) as caught:
            client.get("/p")
    assert caught.value.status == 0
