"""What Stamps-AVS is made of: things, scenes, sounds, scenarios."""
