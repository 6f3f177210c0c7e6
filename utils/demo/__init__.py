"""What the demo makes of its input, apart from the networks: videos and what is shown of them."""
