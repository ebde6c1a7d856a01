"""Adapters to and from gymnax and Gymnasium. Each library is imported only where its adapter is used."""
