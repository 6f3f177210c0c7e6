"""The pocket networks: small pretrained networks from the package index, and what was trained here to join them."""
