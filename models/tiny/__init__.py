"""The bundled small networks: their weights, how they were trained, and what they know."""
