"""The blocks of a job, shared among processes, cards and machines through the work folder.

Whoever computes, a block is one file with the same bytes; nobody but the run that was asked for the output writes it.
"""
