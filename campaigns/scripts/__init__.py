"""Training scripts that people upload: their source, their contract, who approves them."""
