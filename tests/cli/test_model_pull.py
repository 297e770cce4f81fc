"""`magistrate model pull`, typed as users type it, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.models.hub_mirror import Mirror, hub_mirror
from tests.models.tiny_weights import SHARD, folder_files, gguf

from magistrate.models.registry import profile_named

pytest.importorskip("huggingface_hub", reason="needs the extra hub")

FILES = folder_files(5_000)
REPO = "openai/gpt-oss-safeguard-20b"
GGUF_REPO = "unsloth/gpt-oss-safeguard-20b-GGUF"
GGUF_FILE = "gpt-oss-safeguard-20b-Q4_K_M.gguf"


@pytest.fixture(autouse=True)
def hub_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with hub_mirror(REPO, FILES) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        yield found


def test_the_place_is_printed_and_what_to_type_next(magistrate: Terminal, mirror: Mirror, hub_home: Path) -> None:
    done = magistrate("model", "pull", "20b")
    assert done.status == 0, done.err
    place = Path(done.out.strip())
    assert place.is_relative_to(hub_home / "hub")
    assert (place / SHARD).read_bytes() == FILES[SHARD]
    assert "4 files" in done.err
    assert f"next: magistrate model serve 20b --weights {place}" in done.err
    mirror.files.clear()
    for arguments in (["--offline"], ["--offline", "--check"]):
        again = magistrate("model", "pull", "20b", *arguments)
        assert (again.status, again.out) == (0, done.out)


def test_damage_is_told_offline_and_mended_with_a_network(magistrate: Terminal, mirror: Mirror) -> None:
    shard = Path(magistrate("model", "pull", "20b").out.strip()) / SHARD
    shard.write_bytes(FILES[SHARD][:-1] + b"!")
    done = magistrate("model", "pull", "20b", "--offline", "--check")
    assert done.status != 0
    assert f"is damaged: {SHARD}" in done.err
    assert magistrate("model", "pull", "20b", "--check").status == 0
    assert mirror.sent[SHARD] == 2 * len(FILES[SHARD])
    assert magistrate("model", "pull", "20b", "--offline", "--check").status == 0


def test_a_gguf_form_is_asked_for_by_its_name(magistrate: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_mirror(GGUF_REPO, {GGUF_FILE: gguf(900), "other-Q8_0.gguf": gguf(900)}) as mirror:
        monkeypatch.setenv("HF_ENDPOINT", mirror.url)
        done = magistrate("model", "pull", "20b", "--quantisation", "q4_k_m")
    assert done.status == 0, done.err
    assert Path(done.out.strip()).name == GGUF_FILE
    assert set(mirror.sent) == {GGUF_FILE}


def test_a_gguf_file_that_was_cut_short_is_not_taken(magistrate: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(gguf(900))
    done = magistrate("model", "pull", "20b", "--from", str(path))
    assert (done.status, done.out) == (0, f"{path}\n")
    path.write_bytes(gguf(900)[:-1])
    done = magistrate("model", "pull", "20b", "--from", str(path))
    assert done.status == 64
    assert "is not whole: missing or cut short are mine.gguf" in done.err


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["20"], 64, "did you mean 'gpt-oss-safeguard-20b'"),
        (["openai/gpt-oss-safeguard-20"], 64, "did you mean"),
        ([], 64, "Missing argument 'NAME'"),
        (["20b", "--quantisation", "Q5"], 64, "known: MXFP4, Q4_K_M"),
        (["20b", "--quantization", "MXFP4"], 64, "--quantisation"),
        (["20b", "--from", "nowhere"], 64, "there is no 'nowhere'"),
        (["20b", "--from", "."], 64, "does not say what model it holds"),
        (["20b", "--from", ".", "--offline"], 64, "without --into, --revision, --check, --offline"),
        (["20b", "--offline"], 69, "is not in the cache"),
        (["20b", "--revision", "v9"], 69, "check --revision"),
    ],
)
@pytest.mark.usefixtures("mirror")
def test_a_newcomers_slip_is_answered(magistrate: Terminal, arguments: list[str], status: int, told: str) -> None:
    done = magistrate("model", "pull", *arguments)
    assert done.status == status
    assert told in done.err
    assert done.out == ""


@pytest.mark.parametrize("address", ["mirror.example", "ftp://mirror.example", "https://", "http://a:b", "http://[::1"])
def test_an_endpoint_that_is_no_address_is_said_at_once(
    magistrate: Terminal, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    done = magistrate("model", "pull", "20b")
    assert done.status == 69
    assert f"HF_ENDPOINT is no address of a hub: '{address.rstrip('/')}'" in done.err
    assert "trying again" not in done.err


def test_a_password_in_the_endpoint_is_not_printed(magistrate: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "ftp://me:secret@mirror.example")
    done = magistrate("model", "pull", "20b")
    assert "mirror.example" in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize("page", [b"<html>Welcome</html>", b"[]", b"{}", b'{"sha": 7}', b'{"siblings": 7}'])
def test_an_endpoint_that_is_no_hub_is_said(magistrate: Terminal, mirror: Mirror, page: bytes) -> None:
    mirror.page = page
    done = magistrate("model", "pull", "20b")
    assert done.status == 69
    assert "HF_ENDPOINT" in done.err
    assert "Traceback" not in done.err


def test_a_mirror_without_the_model_names_it(magistrate: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_mirror("owner/other", {}) as other:
        monkeypatch.setenv("HF_ENDPOINT", other.url)
        done = magistrate("model", "pull", "20b")
    assert done.status == 69
    assert REPO in done.err


def test_the_registry_still_has_what_these_tests_serve() -> None:
    forms = {weights.repo: weights.file for weights in profile_named("20b").weights}
    assert forms == {REPO: None, GGUF_REPO: GGUF_FILE}
