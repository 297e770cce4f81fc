"""`python -m benchmarks.cascade FILE --cascade X` replays what `magistrate cascade fit` wrote, with its own screens."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from benchmarks.cascade import main
from benchmarks.cascade_replay import plan_files, replay_cascades

from magistrate import Decided, Policy, judge_many
from magistrate.classifiers.cascade.file import plan_json
from magistrate.classifiers.cascade.plan import CascadePlan, Stage
from magistrate.cli.main import run

MODEL = "gpt-oss-safeguard-20b"
RUDE = "you stupid worthless idiot"
KIND = "have a lovely evening, my friend"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """240 items under two policies, a third of which say nothing to a screen.

    The reasoner is wrong about every fifth in the words of the first policy.
    """
    lines = []
    for number in range(240):
        violating = number % 2 == 0
        completions = {
            f"{MODEL}/plain": {"reasoning": "Hm.", "final": str(int(violating != (number % 5 == 0)))},
            f"{MODEL}/other": {"reasoning": "Hm.", "final": str(int(violating))},
        }
        text = f"{RUDE if violating else KIND} {number}" if number % 3 else f"so it is number {number}"
        lines.append(
            json.dumps({"id": f"i{number}", "label": int(violating), "text": text, "completions": completions})
        )
    file = tmp_path / "recorded.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("plain", "other"):
        policy = f"# Insults, {name}\n\n## 1\n- R1. Insults of a person.\n\n## 0\n- A1. All else.\n"
        (tmp_path / f"policy_{name}.md").write_text(policy, encoding="utf-8")
    return file


def fitted(recorded: Path, *more: str, screen: str = "embedded") -> Path:
    """A cascade of `magistrate cascade fit` from one half, beside the other half."""
    folder = recorded.parent / "halves"
    main([str(recorded), "--halve", str(folder)])
    lists = folder / "words.toml"
    lists.write_text('name = "none"\n[[list]]\nrule = "R1"\nkeywords = ["qqqqq"]\n', encoding="utf-8")
    files = {"--policy": "policy_plain.md", "--data": "labelled.jsonl", "--verdicts": "verdicts.jsonl"}
    arguments = [part for option, name in files.items() for part in (option, str(folder / name))]
    out = folder / "cascade"
    screen = str(lists) if screen == "blind" else screen
    arguments += ["--screen", screen, "--reasoner", "http://127.0.0.1:9/v1", "--out", str(out), *more]
    assert run(["cascade", "fit", *arguments]) == 0
    return out


def test_a_fitted_cascade_is_replayed_with_its_own_screens(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cascade = fitted(recorded, "--budget", "1")
    (outcome,) = replay_cascades(cascade.parent / "other.jsonl", cascade, recorded.parent, MODEL)
    assert (outcome.items, outcome.violating, outcome.undecided) == (120, 60, 0)
    assert (outcome.reasoned, outcome.calls, outcome.lost) == (1.0, 1.0, 0.0)
    assert outcome.f1_bounds is not None
    assert outcome.f1_bounds[0] < outcome.f1 < outcome.f1_bounds[1]
    assert outcome.f1 > outcome.raw_f1 + 0.05  # the embedded judge tells two thirds of the items well
    assert "reasoned over 100.0%" in capsys.readouterr().out


def test_a_plan_is_replayed_as_it_judges(recorded: Path, tmp_path: Path) -> None:
    policy = Policy.read(recorded.parent / "policy_plain.md")
    items = [json.loads(line) for line in recorded.read_text(encoding="utf-8").splitlines()]
    screened = judge_many(policy, [item["text"] for item in items])
    said = sorted(v.probability for v in screened if isinstance(v, Decided) and v.probability is not None)
    low, high = said[60], said[150]
    plan = CascadePlan(
        name="tiny",
        policy_digest=policy.digest,
        stages=(
            Stage(name="embedded", model="embedded", clear_below=low, flag_from=high),
            Stage(name="last", model="any", clear_below=0.5, flag_from=0.5),
        ),
        created=date(2026, 1, 2),
    )
    (tmp_path / "tiny.json").write_text(plan_json(plan), encoding="utf-8")
    (outcome,) = replay_cascades(recorded, tmp_path / "tiny.json", recorded.parent, MODEL)
    # Another batch rounds otherwise, and some items lie at the thresholds.
    assert outcome.reasoned == pytest.approx(sum(low <= p < high for p in said) / len(items), abs=0.02)
    assert 0.3 < outcome.reasoned < 0.4


def test_wordings_vote_with_what_was_recorded_under_them(recorded: Path) -> None:
    other = str(recorded.parent / "policy_other.md")
    cascade = fitted(recorded, "--budget", "1", "--wording", other, screen="blind")
    (outcome,) = replay_cascades(cascade.parent / "other.jsonl", cascade / "cascade.json", recorded.parent, MODEL)
    assert outcome.calls > outcome.reasoned
    assert outcome.f1 > 0.95 > 0.85 > outcome.raw_f1


def test_a_cascade_of_another_policy_is_refused(recorded: Path) -> None:
    cascade = fitted(recorded, "--budget", "0.3")
    strange = recorded.parent / "strange"
    strange.mkdir()
    shutil.copy(recorded, strange)
    with pytest.raises(SystemExit, match=r"was fitted for the policy sha256:[\s\S]*/plain"):
        replay_cascades(strange / "recorded.jsonl", cascade, recorded.parent, MODEL)
    with pytest.raises(SystemExit, match="no completions of 'gpt'"):
        replay_cascades(recorded, cascade, recorded.parent, "gpt")
    with pytest.raises(SystemExit, match="no cascade at"):
        plan_files(strange)
