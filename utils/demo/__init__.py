"""What the demo needs beside one picture and one sound from files: inputs of other kinds and in numbers, and pages."""
