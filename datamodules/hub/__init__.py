"""Fetching a data set and checking that it is whole; knows no benchmark."""
