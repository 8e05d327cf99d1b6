"""`schema`: the JSON Schema of what another command prints or leaves."""

import click


@click.command(short_help="Print the JSON Schema of what --json prints.")
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Print the JSON Schema document NAME; without a name, those that there are.

    \b
    Examples:
      recycle-pipeline schema gate
      recycle-pipeline schema
    """
    from recycle_pipeline.pipeline.schemas import schema_names, schema_text

    click.echo("\n".join(schema_names()) if name is None else schema_text(name).rstrip())
