"""The parts of `make bench`: http, fleet, growth and training, beside their peers in one run."""
