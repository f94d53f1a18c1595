"""Django's database backend for PostgreSQL, which asks the server less often."""
