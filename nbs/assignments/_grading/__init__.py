"""Releases assignments, and grades submissions without trusting one line of them.

Two processes grade a submission. The grader runs the tests and never a line of a student's code;
the room runs the student's code and never holds a line of a test. Between them go calls and values.
"""
