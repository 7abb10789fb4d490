"""What is asked: of DuckDB as an analyst would write it without privacy, of the server as its checker accepts it."""

FLOOR = 25
# Of the second room's policies (room/noise.yaml, room/purchases.yaml): DuckDB bounds what one person adds in the same way.
EPSILON, DELTA, GROUPS, ROWS, MOST = 1.0, 1e-7, 4, 10, 200.0

WITHIN = "i.k = p.k AND p.ts >= i.ts AND p.ts < i.ts + INTERVAL '7 days'"


def laplace(scale, uniform):
    """SQL of Laplace noise by its inverse distribution function."""
    return f"({-scale} * sign({uniform} - 0.5) * ln(greatest(1e-12, 1.0 - 2.0 * abs({uniform} - 0.5))))"


def bounded(parts, groups, numbers):
    """SQL of DuckDB that does by hand what noise needs: of every person at most GROUPS groups drawn at random, what is
    added in each clamped, Laplace noise on every sum, and a threshold. `parts` has one row for each person and group;
    `numbers` are name, SQL of what one person adds, and its most."""
    sums = ", ".join(f"SUM({sql}) AS {name}" for name, sql, _ in numbers)
    draws = ", ".join(f"random() AS u{at}" for at in range(len(numbers)))
    # The epsilon is shared by the numbers of the answer, as the server does.
    scales = [GROUPS * most * len(numbers) / EPSILON for _, _, most in numbers]
    noisy = ", ".join(f"{name} + {laplace(scale, f'u{at}')} AS {name}" for at, ((name, _, _), scale) in enumerate(zip(numbers, scales)))
    # The floor, and what noise reaches with a chance of delta for any of one person's groups.
    threshold = f"{FLOOR} + {scales[0]} * ln({GROUPS} / (2 * {DELTA}))"
    return f"""
        WITH parts AS ({parts}),
             drawn AS (SELECT *, random() AS z FROM parts),
             ranked AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY z) AS place FROM drawn),
             summed AS (SELECT {groups}, {sums} FROM ranked WHERE place <= {GROUPS} GROUP BY {groups}),
             uniform AS (SELECT *, {draws} FROM summed),
             noisy AS (SELECT {groups}, {noisy} FROM uniform)
        SELECT * FROM noisy WHERE people >= {threshold}"""


class Question:
    """`keys` are the first columns, by which rows are compared. `money` are columns of sums of amounts."""

    def __init__(self, name, title, plain, asked, keys=0, money=(), both=None, noise=False, remark=""):
        self.name, self.title, self.plain, self.asked = name, title, plain, asked
        self.keys, self.money, self.both, self.noise, self.remark = keys, money, both, noise, remark


OVERLAP = "SELECT COUNT(DISTINCT i.k) AS people FROM {i} i JOIN {p} p ON i.k = p.k"
SEMI = "SELECT COUNT(DISTINCT k) AS people FROM {i} WHERE k IN (SELECT k FROM {p})"
REACH = """SELECT campaign, device, COUNT(DISTINCT k) AS people, COUNT(*) AS impressions,
    CAST(COUNT(*) AS DOUBLE) / COUNT(DISTINCT k) AS frequency FROM {i} GROUP BY campaign, device"""
REACH_COUNTS = "SELECT campaign, device, COUNT(DISTINCT k) AS people, COUNT(*) AS impressions FROM {i} GROUP BY campaign, device"
ATTRIBUTION = f"""SELECT i.campaign, COUNT(DISTINCT i.k) AS people, SUM(p.amount) AS revenue
    FROM {{i}} i JOIN {{p}} p ON {WITHIN} GROUP BY i.campaign"""
# The same condition, and far less work for the server's engine, which adds an interval by the calendar, row by row.
DISTANCE = ("p.ts < i.ts + INTERVAL '7 days'", "p.ts - i.ts < INTERVAL '7 days'")
# Each order once for a campaign. The shortest way to say it, SELECT DISTINCT ... order_id, amount, makes a group of every
# amount, and that is refused (CR2105): a measure is no dimension. The first row of each order and campaign is the same.
FIRST = f"""SELECT i.campaign, i.k, p.amount,
    ROW_NUMBER() OVER (PARTITION BY i.k, i.campaign, p.order_id ORDER BY i.ts) AS place FROM {{i}} i JOIN {{p}} p ON {WITHIN}"""
ONCE = f"""SELECT campaign, COUNT(DISTINCT k) AS people, COUNT(*) AS orders, SUM(amount) AS revenue
    FROM ({FIRST}) t WHERE place = 1 GROUP BY campaign"""
ONCE_REVENUE = f"SELECT campaign, COUNT(DISTINCT k) AS people, SUM(amount) AS revenue FROM ({FIRST}) t WHERE place = 1 GROUP BY campaign"
ONCE_MEAN = f"""SELECT campaign, COUNT(DISTINCT k) AS people, COUNT(*) AS orders, SUM(amount) AS revenue
    FROM (SELECT i.campaign, i.k, p.order_id, AVG(p.amount) AS amount FROM {{i}} i JOIN {{p}} p ON {WITHIN}
          GROUP BY i.campaign, i.k, p.order_id) t GROUP BY campaign"""
DISTINCT = f"SELECT DISTINCT i.campaign, i.k, p.order_id, p.amount FROM {{i}} i JOIN {{p}} p ON {WITHIN}"
ONCE_PLAIN = f"""SELECT campaign, COUNT(DISTINCT k) AS people, COUNT(*) AS orders, SUM(amount) AS revenue
    FROM ({DISTINCT}) t GROUP BY campaign HAVING COUNT(DISTINCT k) >= {FLOOR}"""
CONVERSION = """SELECT e.state, e.age_band, COUNT(*) AS exposed, COUNT(c.k) AS converters, SUM(c.revenue) AS revenue
    FROM (SELECT k, state, age_band FROM {i} GROUP BY k, state, age_band) e
    LEFT JOIN (SELECT k, SUM(amount) AS revenue FROM {p} GROUP BY k) c ON e.k = c.k GROUP BY e.state, e.age_band"""

QUESTIONS = [
    Question("overlap", "overlap of two tables", OVERLAP, OVERLAP),
    Question("overlap-semi", "overlap, as a semi join",
             "SELECT COUNT(*) AS people FROM (SELECT DISTINCT k FROM {i} WHERE k IN (SELECT k FROM {p})) t", SEMI),
    Question("reach", "reach and frequency by campaign and device",
             f"{REACH} HAVING COUNT(DISTINCT k) >= {FLOOR}", REACH, keys=2),
    Question("attribution", "attribution within 7 days, by campaign",
             f"{ATTRIBUTION} HAVING COUNT(DISTINCT i.k) >= {FLOOR}", ATTRIBUTION, keys=1, money=(2,)),
    Question("attribution-once", "attribution, each order once for a campaign", ONCE_PLAIN, ONCE, keys=1, money=(3,),
             remark="DuckDB: `SELECT DISTINCT` of order and amount. Cleanroom: `ROW_NUMBER()` by person, campaign and order, the "
                    "first; `SELECT DISTINCT` of an amount is refused (CR2105), since a measure is no dimension."),
    Question("attribution-distance", "attribution, the 7 days as a distance of times", f"{ATTRIBUTION} HAVING COUNT(DISTINCT i.k) >= {FLOOR}",
             ATTRIBUTION.replace(*DISTANCE), keys=1, money=(2,),
             remark="DuckDB as before. Cleanroom: `p.ts - i.ts < INTERVAL '7 days'` for `p.ts < i.ts + INTERVAL '7 days'`, which its "
                    "engine adds by the calendar, row by row."),
    Question("attribution-mean", "each order once, by its average and a distance", ONCE_PLAIN, ONCE_MEAN.replace(*DISTANCE), keys=1, money=(3,),
             remark="DuckDB as before. Cleanroom: `AVG(amount)` by person, campaign and order, an average of equal amounts, and the "
                    "distance of times. The form is for floors only: under noise an order's average can be as large as `bounds`."),
    Question("conversion", "exposed, converters and revenue by state and age",
             f"{CONVERSION} HAVING COUNT(*) >= {FLOOR}", CONVERSION, keys=2, money=(4,), both=3,
             remark="A LEFT JOIN stands by both owners' floors, so a group with fewer than 25 converters is left out; DuckDB's "
                    "`HAVING` knows one floor. Such groups of DuckDB's answer are left out before answers are compared."),
    Question("reach-noise", "reach by campaign and device, bounded, with noise",
             bounded("SELECT k, campaign, device, COUNT(*) AS n FROM {i} GROUP BY k, campaign, device", "campaign, device",
                     [("people", "1", 1), ("impressions", f"least(n, {ROWS})", ROWS)]),
             REACH_COUNTS, keys=2, noise=True),
    Question("attribution-noise", "attribution, each order once, bounded, with noise",
             bounded(f"SELECT k, campaign, greatest(0.0, least(SUM(amount), {MOST})) AS amount FROM ({DISTINCT}) t GROUP BY k, campaign",
                     "campaign", [("people", "1", 1), ("revenue", "amount", MOST)]),
             ONCE_REVENUE, keys=1, money=(2,), noise=True),
]


class Different(Exception):
    """Two answers that should be one."""


def rows_by_key(rows, keys):
    out = {tuple(row[:keys]): list(row[keys:]) for row in rows}
    if len(out) != len(rows):
        raise Different("a group stands twice")
    return out


def compare(question, plain, answer):
    """Whether answers are the same: all of it without noise; with noise what groups come to that both show, as far as
    chance lets it. Gives how many groups of DuckDB's there are, and how many of them the second floor takes."""
    asked = answer["rows"]
    if question.noise:
        near(question, plain, asked, [column.get("noise", {}).get("ci95") for column in answer["columns"]])
        return len(plain), 0
    kept = plain if question.both is None else [row for row in plain if row[question.both] >= FLOOR]
    left, right = rows_by_key(kept, question.keys), rows_by_key(asked, question.keys)
    if left.keys() != right.keys():
        raise Different(f"{question.name}: groups {sorted(left.keys() ^ right.keys())[:5]} are in one answer only")
    for key, values in left.items():
        for column, (ours, theirs) in enumerate(zip(right[key], values, strict=True), question.keys):
            # DuckDB adds amounts in binary floating point, the server in whole cents.
            same = round(ours, 2) == round(theirs, 2) if column in question.money else ours == theirs
            if not same:
                raise Different(f"{question.name}: {key}: {ours} and {theirs}")
    return len(plain), len(plain) - len(kept)


def near(question, plain, asked, intervals):
    left, right = rows_by_key(plain, question.keys), rows_by_key(asked, question.keys)
    shared = left.keys() & right.keys()
    # Of few groups most may be at the threshold.
    if 2 * len(shared) < max(len(left), len(right)) - 20:
        raise Different(f"{question.name}: of {len(left)} and {len(right)} groups only {len(shared)} are in both")
    for column, interval in enumerate(intervals[question.keys:]):
        ours, theirs = (sum(rows[key][column] for key in shared) for rows in (right, left))
        # Which groups of a person count is drawn anew; and each engine adds noise of its own.
        if abs(ours - theirs) > 0.05 * abs(theirs) + interval * len(shared):
            raise Different(f"{question.name}: column {column + question.keys} comes to {ours} and {theirs}")
