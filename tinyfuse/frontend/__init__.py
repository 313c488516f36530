"""From a recording, a picture or an array to a network input: specification, reference arithmetic, normalisation."""
