"""Ground that both apps stand on and that imports neither: pages, roles, formats, CSV."""
