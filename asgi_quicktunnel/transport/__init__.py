"""One dialled edge connection, whatever carries it."""
