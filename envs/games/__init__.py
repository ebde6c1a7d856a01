"""Small games of cards and pixels."""
