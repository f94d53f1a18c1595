"""The REST endpoints of a worker's identity: enrolment and "who am I"."""
