from __future__ import annotations

from pathlib import Path

import pytest

from magistrate.config import CONFIG_VARIABLE, Config, find_config, read_config
from magistrate.errors import ConfigError
from magistrate.types import Effort


def write(folder: Path, text: str) -> Path:
    path = folder / "magistrate.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_named_model_is_read(tmp_path: Path) -> None:
    config = read_config(
        write(tmp_path, '[models.guard]\nurl = "http://127.0.0.1:8000/v1"\nmodel = "m"\neffort = "low"\nattempts = 2\n')
    )
    assert config.models["guard"].effort is Effort.LOW
    assert config.models["guard"].attempts == 2
    assert config.models["guard"].dialect is None


def test_no_file_gives_defaults_that_never_allow_what_is_not_decided() -> None:
    config = read_config(None)
    assert config == Config()
    assert (config.enforce.on_abstained, config.enforce.on_failed) == ("hold", "hold")
    assert config.log.keep_content is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[enforce]\non_fail = 'allow'\n", "did you mean 'on_failed'?"),
        ("[modles.x]\nurl = 'u'\n", "did you mean 'models'?"),
        ("[models.x]\nurl = 'u'\nconcurency = 3\n", "did you mean 'concurrency'?"),
        ("[models.x]\nurl = 'u'\nconcurrency = 0\n", "models.x.concurrency"),
        ("[enforce]\non_failed = 'ignore'\n", "enforce.on_failed"),
        ("[models.x\n", "not valid TOML"),
        ("[test]\nmin_f2 = 0.8\n", "did you mean 'min_f1'?"),
        ("[test.spam]\nmin_recal = 0.8\n", "unknown key 'test.spam.min_recal'"),
        ("[test.spam]\nmin_f1 = 80\n", "test.spam.min_f1"),
        ("[test]\nmode = 'sure'\n", "test.mode"),
        ("test = 3\n", "test"),
        ("[models.x]\nurl = 'u'\nkey = 'secret-value'\n", "unknown key 'models.x.key'"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, text))
    assert said in str(caught.value)
    assert "secret-value" not in str(caught.value)


def test_the_variable_wins_over_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    other.mkdir()
    write(here, "")
    monkeypatch.chdir(here)
    assert find_config() == Path("magistrate.toml")
    named = write(other, "")
    monkeypatch.setenv(CONFIG_VARIABLE, str(named))
    assert find_config() == named
    monkeypatch.setenv(CONFIG_VARIABLE, str(other / "none.toml"))
    with pytest.raises(ConfigError, match="not a file"):
        find_config()


def test_the_log_follows_the_home_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGISTRATE_HOME", str(tmp_path))
    assert Config().log_path() == tmp_path / "decisions.db"


def test_thresholds_of_a_policy_go_over_the_general_ones(tmp_path: Path) -> None:
    text = '[test]\nmin_f1 = 0.5\nmin_recall = 0.6\nmode = "confident"\n[test.spam]\nmin_f1 = 0.8\n'
    config = read_config(write(tmp_path, text))
    spam, other = config.test.of_policy("spam"), config.test.of_policy("other")
    assert (spam.min_f1, spam.min_recall, spam.mode) == (0.8, 0.6, "confident")
    assert (other.min_f1, other.min_recall, other.max_failed_rate) == (0.5, 0.6, None)
