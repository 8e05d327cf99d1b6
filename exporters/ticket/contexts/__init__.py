"""Contexts: what is known of a weight before its bits are read, as a class that bits are coded by.

The seed gives every weight's first draw and the first score of the search, and a search that is not endless
remembers both: scores that began high end high, and large weights move their scores further. `context` turns
the highest bytes of both draws, and levels of the weight's filter, input channel and kernel position, into a
class, by integers alone, for version 3. Version 4 adds what the weights before say that are beside a weight
in its kernel: `neighbours` has their code, `staged` the classes, one kernel position after the other.
`grouped` sorts bits by class; `fitted` and `refitted` choose contexts when a ticket is written; `stored`
codes them.
"""
