"""The ground floor: what every node agrees on."""
