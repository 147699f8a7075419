"""What others rely on: events, names, queries, migrations, the shape of the source tree."""
