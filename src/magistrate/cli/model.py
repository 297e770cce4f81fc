"""`magistrate model`: one line here for each of its subcommands."""

from __future__ import annotations

from types import MappingProxyType

import click

from magistrate.cli.lazy import LazyGroup


class ModelCommands(LazyGroup):
    """The subcommands of `magistrate model`."""

    table = MappingProxyType(
        {
            "list": ("magistrate.cli.model_list", "List the models that are known, and what each needs."),
            "show": ("magistrate.cli.model_show", "Show what is known of one model, and how to get it."),
            "fit": ("magistrate.cli.model_fit", "Say which models this machine can run, how, and how fast."),
            "serve": ("magistrate.cli.model_serve", "Start the engine that fits, and keep it running."),
            "pull": ("magistrate.cli.model_pull", "Bring a model's weights here, resumed and checked."),
            "plan": ("magistrate.cli.model_plan", "Plan replicas, GPUs and waiting times for a rate, on paper."),
        }
    )


@click.group("model", cls=ModelCommands)
def command() -> None:
    """Say which models there are and which of them this machine can run.

    \b
    magistrate model fit
    magistrate model fit --gpu H100:8
    magistrate model show 20b
    """
