"""Options in sections: how commands with many of them show their help."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]


def section(title: str, *decorators: Decorator) -> tuple[Decorator, ...]:
    """Options that the help of a `Sectioned` command shows together, under a title."""

    def titled(decorator: Decorator) -> Decorator:
        def decorate(command: Any) -> Any:
            decorated = decorator(command)
            decorated.__click_params__[-1].section = title
            return decorated

        return decorate

    return tuple(titled(decorator) for decorator in decorators)


class Sectioned(click.Command):
    """A command with many options: its help shows them by sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Help"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def options(*groups: tuple[Decorator, ...]) -> Callable[[Command], Command]:
    """Decorates a command with groups of options, shown in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed([o for group in groups for o in group]):
            command = option(command)
        return command

    return decorate
