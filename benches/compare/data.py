"""The partners' files: invented, skewed, and the same on every run, made by DuckDB out of hashes of row numbers.

At scale 1 there are 10 million impressions of 2 million people and 3 million purchases of 1.5 million, 600 000 of them
in both. Everybody has one row; the rest is shared by a law of Zipf and Mandelbrot, so that few people have many. The
identifier of a person is the SHA-256 of an e-mail address, as 64 characters.
"""

import math
import os

SEED = 20_260_501
DAYS = 90
FIRST = "TIMESTAMP '2026-01-01 00:00:00'"
CAMPAIGNS, STATES = 50, 51
DEVICES = [("mobile", 50.0), ("desktop", 28.0), ("tablet", 12.0), ("ctv", 9.5), ("console", 0.5)]
AGES = [("18-24", 12.0), ("25-34", 20.0), ("35-44", 18.0), ("45-54", 16.0), ("55-64", 14.0), ("65+", 12.0), ("unknown", 8.0)]
# Shares of the last campaigns: so few people saw them that some of their groups stay below the floor.
RARE = [3e-5, 2e-5, 1e-5, 5e-6, 2e-6]


class Sizes:
    """How many of everything. People are numbered: the publisher's from 0, the retailer's overlap and follow."""

    def __init__(self, scale):
        self.scale = scale
        self.audience = round(2_000_000 * scale)
        self.customers = round(1_500_000 * scale)
        self.common = round(600_000 * scale)
        self.impressions = round(10_000_000 * scale)
        self.purchases = round(3_000_000 * scale)
        self.first_customer = self.audience - self.common
        self.people = self.first_customer + self.customers


def uniform(row, salt):
    """SQL of a number between 0 and 1 that row number and salt alone decide; never one of the two."""
    # One number is hashed, not two: the hash of a pair is not well mixed.
    return f"((hash({row}::BIGINT * 16 + {SEED * 1_000_000_000 + salt}) >> 11)::DOUBLE + 0.5) / 9007199254740992.0"


def choice(column, names, weights):
    """SQL of one of `names`, by where the number in `column` lies among the cumulated weights."""
    total, reached, cases = sum(weights), 0.0, []
    for name, weight in list(zip(names, weights))[:-1]:
        reached += weight / total
        cases.append(f"WHEN {column} < {reached!r} THEN '{name}'")
    return f"CASE {' '.join(cases)} ELSE '{names[-1]}' END"


def scattered(rows):
    """A factor that takes the numbers below `rows` to each other, one to one, and neighbours far apart."""
    factor = max(1, round(rows * (math.sqrt(5) - 1) / 2))
    while math.gcd(factor, rows) != 1:
        factor += 1
    return factor


def person(rows, people, first, salt):
    """SQL of who row `i` is about: the first rows, in an order that time does not tell, are one of everybody."""
    low = 100.0**0.2
    high = (people + 100.0) ** 0.2
    rank = f"floor(pow({low!r} + z * {high - low!r}, 5) - 100.0)::BIGINT"
    # By rank people would be numbered from the busiest on: scattered as well, so that the busiest are in both tables or not.
    drawn = f"(least(greatest({rank}, 0), {people - 1}) * {scattered(people)}) % {people}"
    return f"""
        SELECT i, {first} + CASE WHEN place < {people} THEN place ELSE {drawn} END AS person
        FROM (SELECT i, (i * {scattered(rows)}) % {rows} AS place, {uniform("i", salt)} AS z FROM range({rows}) t(i))"""


def falling(count, power):
    return [(rank + 1) ** -power for rank in range(count)]


def generate(connection, folder, scale):
    """Writes the two files; gives their paths and the sizes."""
    sizes = Sizes(scale)
    campaigns = falling(CAMPAIGNS, 0.9)
    total = sum(campaigns)
    campaigns[-len(RARE):] = [total * share / math.sqrt(scale) for share in RARE]
    states = [f"state_{number:02}" for number in range(STATES)]
    connection.execute(f"""
        CREATE TEMP TABLE people AS
        SELECT i AS person, sha256('user' || i || '@example.com') AS k,
               {choice("a", states, falling(STATES, 0.7))} AS state,
               {choice("b", [name for name, _ in AGES], [weight for _, weight in AGES])} AS age_band
        FROM (SELECT i, {uniform("i", 1)} AS a, {uniform("i", 2)} AS b FROM range({sizes.people}) t(i))""")
    names = [f"cmp_{number:03}" for number in range(CAMPAIGNS)]
    time = f"{FIRST} + to_microseconds(CAST((i + {{u}}) * {DAYS * 86_400_000_000} / {{rows}} AS BIGINT)) AS ts"
    impressions = f"""
        SELECT p.k, {choice("a", names, campaigns)} AS campaign,
               {choice("b", [name for name, _ in DEVICES], [weight for _, weight in DEVICES])} AS device,
               p.state, p.age_band, {time.format(u="u", rows=sizes.impressions)}
        FROM (SELECT *, {uniform("i", 4)} AS a, {uniform("i", 5)} AS b, {uniform("i", 6)} AS u
              FROM ({person(sizes.impressions, sizes.audience, 0, 3)})) r
        JOIN people p USING (person)"""
    # Log-normal: two uniform numbers to a normal one by Box and Muller.
    amount = "round(least(greatest(exp(3.4 + 1.1 * sqrt(-2.0 * ln(a)) * cos(6.283185307179586 * b)), 0.5), 500.0), 2)"
    purchases = f"""
        SELECT p.k, 1000000000 + i AS order_id, {amount} AS amount, {time.format(u="u", rows=sizes.purchases)}
        FROM (SELECT *, {uniform("i", 8)} AS a, {uniform("i", 9)} AS b, {uniform("i", 10)} AS u
              FROM ({person(sizes.purchases, sizes.customers, sizes.first_customer, 7)})) r
        JOIN people p USING (person)"""
    files = {}
    for name, sql in (("impressions", impressions), ("purchases", purchases)):
        files[name] = os.path.join(folder, name + ".parquet")
        connection.execute(f"COPY ({sql}) TO '{files[name]}' (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 250000)")
    connection.execute("DROP TABLE people")
    return files, sizes
