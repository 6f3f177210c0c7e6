"""How the networks of `models/pocket` were made: converted from their packages, or trained on one processor core."""
