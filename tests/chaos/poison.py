# SPDX-License-Identifier: MIT
"""poison.py - messages that a pipeline must refuse, and where among the others they are.

One of a thousand is refused, and now and then a hundred in a row: in up to three ways. Two of them
fail before the sink, the third at the database, in the middle of a transaction's rows.
"""

ONE_OF, AT = 1000, 7
EACH, FIRST, ROW = 20000, 1000, 100  # of each so many of a partition, so many in a row from there

BROKEN, NO_NUMBER, REFUSED = "broken", "no number", "refused"
BEFORE_THE_SINK = (BROKEN, NO_NUMBER)
AT_A_DATABASE = (BROKEN, NO_NUMBER, REFUSED)

TOO_LARGE = 10**12  # for the table's column v


def is_poison(number):
    return number % ONE_OF == AT or FIRST <= number % EACH < FIRST + ROW


def value(partition, number, kinds, pad):
    """A message, which is poison where it is to be, of one of these kinds."""
    kind = kinds[(number + number // ONE_OF) % len(kinds)] if kinds and is_poison(number) else None
    v = {NO_NUMBER: '"much"', REFUSED: TOO_LARGE}.get(kind, 1)
    text = f'{{"p":{partition},"s":{number},"v":{v},"pad":"{pad}"}}'
    return text[:-2] if kind == BROKEN else text
