"""What must hold before the arms move: of chunks, of the path, of what is measured."""
