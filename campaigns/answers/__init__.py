"""Answers as JSON data, one function an answer: the REST API and the commands give the same."""
