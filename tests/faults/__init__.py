"""The faults of docs/faults.md against the running server: one test for each number, under the list's own words.

A test is named after its number (`test_07_a_name_with_both`) and has the line of the list as its docstring;
`test_list.py` sees to it that none is missing and that the words are the same.
"""
