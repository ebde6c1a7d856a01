"""Adapters to and from other libraries. Each library is imported only where its adapter is used."""
