"""Words: nouns of a sentence, prompts, and from a label to the visible thing that makes the sound."""
