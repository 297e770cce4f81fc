"""A recipe builds elsewhere what is named here: by values and bytes, without a path of this machine."""

from __future__ import annotations

import asyncio
import pickle
import shutil
from datetime import date
from pathlib import Path

import pytest

from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.classifiers.cascade.file import plan_json
from magistrate.classifiers.cascade.plan import CascadePlan, Stage
from magistrate.config import Config, ModelConfig
from magistrate.errors import UsageError
from magistrate.policy.starter import read_starter
from magistrate.run.cluster import recipe as recipes
from magistrate.run.cluster.recipe import Recipe, recipe_for
from magistrate.run.models import classifier_for
from magistrate.types import Content, Decided

LISTS = 'name = "pills"\n[[list]]\nrule = "SP1"\nkeywords = ["viagra"]\nprobability = 0.9\n'


@pytest.fixture
def cascade(tmp_path: Path) -> Path:
    """The folder of a cascade: lists, then the embedded judge."""
    folder = tmp_path / "here" / "cascade"
    folder.mkdir(parents=True)
    (folder / "lists.toml").write_text(LISTS)
    (folder / "notes.txt").write_text("not part of it")
    plan = CascadePlan(
        name="two",
        policy_digest=read_starter("spam").digest,
        stages=(
            Stage(name="lists", model="lists.toml", clear_below=None, flag_from=0.8),
            Stage(name="last", model="embedded", clear_below=0.5, flag_from=0.5),
        ),
        created=date(2026, 1, 1),
    )
    (folder / "cascade.json").write_text(plan_json(plan))
    return folder


def sent(recipe: Recipe) -> Recipe:
    copy = pickle.loads(pickle.dumps(recipe))
    assert isinstance(copy, Recipe)
    return copy


def built_elsewhere(recipe: Recipe, folder: Path) -> Classifier:
    folder.mkdir()
    return sent(recipe).build(folder)


def test_a_server_by_its_name_in_the_settings(tmp_path: Path) -> None:
    config = Config(models={"guard": ModelConfig(url="http://127.0.0.1:9/v1", model="g", api_key_env="MY_KEY")})
    recipe = recipe_for("guard", config, effort="high", dialect="safeguard.binary.v1", plan="per-policy", max_calls=3)
    assert recipe.files == {}
    assert built_elsewhere(recipe, tmp_path / "there").name == "g"


def test_an_address_means_the_same_there_as_here(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/v1"
    recipe = recipe_for(url, Config(), model_name="g")
    assert Config.model_validate_json(recipe.settings).models[url].url == url
    assert built_elsewhere(recipe, tmp_path / "there").name == "g"


def test_a_key_is_never_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "swordfish")
    config = Config(models={"guard": ModelConfig(url="http://127.0.0.1:9/v1", api_key_env="MY_KEY")})
    assert b"swordfish" not in pickle.dumps(recipe_for("guard", config))


def test_settings_survive_their_way(tmp_path: Path) -> None:
    config = Config(
        models={"g": ModelConfig(url="http://127.0.0.1:9/v1", model="x", seed=7, concurrency=3, attempts=2)}
    )
    assert Config.model_validate_json(recipe_for("g", config).settings).models == config.models


def test_the_embedded_judge_needs_no_file(tmp_path: Path) -> None:
    recipe = recipe_for(None, Config())
    assert (recipe.model, recipe.files) == (None, {})
    assert built_elsewhere(recipe, tmp_path / "there").name == classifier_for(None, Config()).name


def test_the_folder_of_a_model_is_sent_whole(tmp_path: Path) -> None:
    from magistrate.encoders.model_folder import ASSETS

    here, there = tmp_path / "here" / "model", tmp_path / "there"
    shutil.copytree(ASSETS, here)
    recipe = recipe_for(str(here), Config())
    name = classifier_for(str(here), Config()).name
    shutil.rmtree(here)
    assert str(tmp_path) not in (recipe.model or "") + recipe.settings + "".join(recipe.files)
    assert built_elsewhere(recipe, there).name == name
    assert sorted(p.name for p in there.iterdir()) == ["model"]


def test_a_model_too_large_to_send_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "MOST_BYTES", 10)
    file = tmp_path / "lists.toml"
    file.write_text("# more than ten bytes\n")
    with pytest.raises(UsageError, match="too much to send"):
        recipe_for(str(file), Config())


def test_a_cascade_is_sent_with_the_stages_beside_it(tmp_path: Path, cascade: Path) -> None:
    case = Case(read_starter("spam"), Content.of_text("buy viagra now"), "1")

    async def judged(classifier: Classifier) -> object:
        async with classifier:
            (verdict,) = await classifier.judge_many([case])
        assert isinstance(verdict, Decided)
        return verdict.violation, verdict.trace.steps[0].model

    here = asyncio.run(judged(classifier_for(str(cascade), Config())))
    recipe = recipe_for(str(cascade), Config())
    assert sorted(recipe.files) == ["cascade.json", "lists.toml"]
    shutil.rmtree(cascade)
    assert asyncio.run(judged(built_elsewhere(recipe, tmp_path / "there"))) == here


def test_a_cascade_whose_stage_is_elsewhere_is_refused(cascade: Path) -> None:
    shutil.move(cascade / "lists.toml", cascade.parent / "lists.toml")
    plan = cascade / "cascade.json"
    plan.write_text(plan.read_text().replace('"lists.toml"', '"../lists.toml"'))
    with pytest.raises(UsageError, match="not beside the plan"):
        recipe_for(str(cascade), Config())
