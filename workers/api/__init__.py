"""How agents describe themselves: strict serializer fields, and the shapes made of them."""
