"""A cascade's plan as a file: `cascade.json`, checked wholly before anything of it is used."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.plan import (
    AuditRule,
    CascadePlan,
    Limit,
    Promise,
    Reference,
    Reuse,
    Stage,
    Unit,
    Votes,
    Wording,
)
from magistrate.digest import Digest
from magistrate.errors import InputError
from magistrate.policy.model import Policy

FILE_NAME = "cascade.json"
FORM: Literal["magistrate.cascade.v1"] = "magistrate.cascade.v1"
MOST_BYTES = 1_000_000

Number = Annotated[float, pydantic.Field(allow_inf_nan=False)]
Name = Annotated[str, pydantic.Field(min_length=1, max_length=200)]
DigestText = Annotated[str, pydantic.Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Value(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class _Calibrator(_Value):
    features: tuple[Name, ...]
    means: tuple[Number, ...]
    scales: tuple[Number, ...]
    weights: tuple[Number, ...]
    bias: Number
    knots: tuple[tuple[Number, Number], ...] = ()
    words: tuple[tuple[Name, Number], ...] = ()


class _Wording(_Value):
    file: Name
    digest: DigestText


class _Votes(_Value):
    times: int = 1
    wordings: tuple[_Wording, ...] = ()
    ask_from: Number = 0.0
    ask_to: Number = 1.0
    calibrator: _Calibrator | None = None


class _Stage(_Value):
    name: Name
    model: Name
    clear_below: Number | None
    flag_from: Number | None
    calibrator: _Calibrator | None = None
    votes: _Votes | None = None


class _Promise(_Value):
    recall: Number
    confidence: Number
    cases: int
    positives: int


class _Limit(_Value):
    share: Number
    unit: Unit = Unit.ITEMS
    window_s: Number = 600.0
    flag_from: Number = 0.5
    miss_cost: Number = 1.0
    alarm_cost: Number = 1.0


class _Audit(_Value):
    rate: Number
    key: str = ""


class _Reuse(_Value):
    items: int = 20_000
    seconds: Number = 3600.0
    cap: int = 50
    judged_anyway: Number = 0.02
    alike: Number = 0.8
    margin: Number = 1.5


class _Reference(_Value):
    shares: tuple[Number, ...]
    cases: int
    base_rate: Number


class _Plan(_Value):
    form: Literal["magistrate.cascade.v1"]
    name: Name
    policy_digest: DigestText | None
    created: date
    stages: tuple[_Stage, ...]
    promise: _Promise | None = None
    limit: _Limit | None = None
    audit: _Audit | None = None
    reuse: _Reuse | None = None
    reference: _Reference | None = None


def cascade_file(path: Path) -> Path | None:
    """The plan's file that `path` names, itself or as the folder that holds it; None where it names none."""
    if path.is_dir():
        path = path / FILE_NAME
    return path if path.suffix == ".json" and path.is_file() else None


def read_plan(path: Path) -> CascadePlan:
    """Read a plan from its file, or from the folder that holds it.

    Raises:
        InputError: missing, too large, not of the form, or with values that cannot be used together.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the cascade {str(file)!r}: {error.strerror}", hint=_AGAIN) from error
    if len(data) > MOST_BYTES:
        raise InputError(f"the cascade {str(file)!r} has more than {MOST_BYTES:,} bytes", hint=_AGAIN)
    return parse_plan(data, name=str(file))


def read_wordings(plan: CascadePlan, folder: Path) -> list[Policy]:
    """The wordings that a plan's votes name, from beside it; those that are not there are left out.

    Raises:
        PolicyError: a file cannot be read as a policy.
    """
    named = [wording for stage in plan.stages if stage.votes is not None for wording in stage.votes.wordings]
    return [Policy.read(folder / wording.file) for wording in named if (folder / wording.file).is_file()]


def parse_plan(data: bytes | str, *, name: str = "<text>") -> CascadePlan:
    """Read a plan from JSON.

    Raises:
        InputError: as `read_plan`, without the errors of files; it calls the plan by `name`.
    """
    try:
        return _plan(_Plan.model_validate_json(data))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"the cascade {name!r} cannot be read: {place}: {first['msg']}", hint=_AGAIN) from error
    except ValueError as error:
        raise InputError(f"the cascade {name!r} cannot be used: {error}", hint=_AGAIN) from error


_AGAIN = "give what `magistrate cascade fit` wrote: a folder with cascade.json, or that file"


def plan_json(plan: CascadePlan) -> str:
    """What `read_plan` reads."""
    stages = tuple(
        _Stage(
            name=stage.name,
            model=stage.model,
            clear_below=stage.clear_below,
            flag_from=stage.flag_from,
            calibrator=None if stage.calibrator is None else _calibrator_values(stage.calibrator),
            votes=None if stage.votes is None else _votes_values(stage.votes),
        )
        for stage in plan.stages
    )
    written = _Plan(
        form=FORM,
        name=plan.name,
        policy_digest=plan.policy_digest,
        created=plan.created,
        stages=stages,
        promise=None if plan.promise is None else _promise_values(plan.promise),
        limit=None if plan.limit is None else _limit_values(plan.limit),
        audit=None if plan.audit is None else _Audit(rate=plan.audit.rate, key=plan.audit.key),
        reuse=None if plan.reuse is None else _reuse_values(plan.reuse),
        reference=None if plan.reference is None else _reference_values(plan.reference),
    )
    return written.model_dump_json(indent=2) + "\n"


def _calibrator_values(c: Calibrator) -> _Calibrator:
    return _Calibrator(
        features=c.features,
        means=c.means,
        scales=c.scales,
        weights=c.weights,
        bias=c.bias,
        knots=c.knots,
        words=c.words,
    )


def _votes_values(votes: Votes) -> _Votes:
    return _Votes(
        times=votes.times,
        wordings=tuple(_Wording(file=wording.file, digest=wording.digest) for wording in votes.wordings),
        ask_from=votes.ask_from,
        ask_to=votes.ask_to,
        calibrator=None if votes.calibrator is None else _calibrator_values(votes.calibrator),
    )


def _promise_values(p: Promise) -> _Promise:
    return _Promise(recall=p.recall, confidence=p.confidence, cases=p.cases, positives=p.positives)


def _limit_values(limit: Limit) -> _Limit:
    return _Limit(
        share=limit.share,
        unit=limit.unit,
        window_s=limit.window_s,
        flag_from=limit.flag_from,
        miss_cost=limit.miss_cost,
        alarm_cost=limit.alarm_cost,
    )


def _reuse_values(r: Reuse) -> _Reuse:
    return _Reuse(
        items=r.items, seconds=r.seconds, cap=r.cap, judged_anyway=r.judged_anyway, alike=r.alike, margin=r.margin
    )


def _reference_values(r: Reference) -> _Reference:
    return _Reference(shares=r.shares, cases=r.cases, base_rate=r.base_rate)


def _plan(read: _Plan) -> CascadePlan:
    return CascadePlan(
        name=read.name,
        policy_digest=None if read.policy_digest is None else Digest(read.policy_digest),
        stages=tuple(_stage(stage) for stage in read.stages),
        created=read.created,
        promise=None if read.promise is None else Promise(**dict(read.promise)),
        limit=None if read.limit is None else Limit(**dict(read.limit)),
        audit=None if read.audit is None else AuditRule(**dict(read.audit)),
        reuse=None if read.reuse is None else Reuse(**dict(read.reuse)),
        reference=None if read.reference is None else Reference(**dict(read.reference)),
    )


def _stage(read: _Stage) -> Stage:
    return Stage(
        name=read.name,
        model=read.model,
        clear_below=read.clear_below,
        flag_from=read.flag_from,
        calibrator=None if read.calibrator is None else Calibrator(**dict(read.calibrator)),
        votes=None if read.votes is None else _votes(read.votes),
    )


def _votes(read: _Votes) -> Votes:
    return Votes(
        times=read.times,
        wordings=tuple(Wording(file=wording.file, digest=Digest(wording.digest)) for wording in read.wordings),
        ask_from=read.ask_from,
        ask_to=read.ask_to,
        calibrator=None if read.calibrator is None else Calibrator(**dict(read.calibrator)),
    )
