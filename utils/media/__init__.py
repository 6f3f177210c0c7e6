"""Pictures, sounds and masks: read from files, resized, drawn."""
