"""A command that understands names of options that it does not have."""

from __future__ import annotations

import click

from zoo.deprecated import OPTIONS, warn_renamed

_ALSO = {"--runs": "--runs-dir"}  # shorter, and not worth a warning


class Command(click.Command):
    """A command that takes renamed options by their old names."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """See :meth:`click.Command.parse_args`."""
        return super().parse_args(context, self._present_names(args))

    def _present_names(self, args: list[str]) -> list[str]:
        own = {name for p in self.params for name in (*p.opts, *p.secondary_opts)}
        end = args.index("--") if "--" in args else len(args)
        found = []
        for arg in args[:end]:
            name, equals, value = arg.partition("=")
            new = OPTIONS.get(name) or _ALSO.get(name)
            if name in own or new not in own:
                found.append(arg)
                continue
            if name in OPTIONS:
                warn_renamed(name, new)
            found.append(f"{new}{equals}{value}")
        return [*found, *args[end:]]
