"""Writes the price catalog from the data that the package genai-prices carries; `cargo xtask prices` runs it.

Arguments: the package's version, and the date from which on prices matter. The catalog goes to standard output, one
JSON object a line: first where it comes from, then one vendor after the other, each followed by its models.
"""

import datetime
import fnmatch
import itertools
import json
import re
import sys
from decimal import Decimal

from genai_prices import types
from genai_prices.data import providers

# Vendors, and the hosts by which those are known that a provider of kind `openai_compatible` may be.
VENDORS = {
    "openai": [],
    "azure": [],
    "anthropic": [],
    "google": [],
    "mistral": [],
    "cohere": [],
    "aws": [],
    "cerebras": ["api.cerebras.ai"],
    "deepseek": ["api.deepseek.com"],
    "fireworks": ["api.fireworks.ai"],
    "groq": ["api.groq.com"],
    "moonshotai": ["api.moonshot.ai", "api.moonshot.cn"],
    "perplexity": ["api.perplexity.ai"],
    "together": ["api.together.xyz"],
    "x-ai": ["api.x.ai"],
    "zai": ["api.z.ai"],
}
# The package's name of each component of a price, and ours. All are US dollars per million tokens.
COMPONENTS = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cached_audio",
    "input_image_mtok": "input_image",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
}
# Gemini has one price for text and sound that goes in, and names that of sound where it is another.
LIKE_TEXT = {"input_audio": "input", "cached_audio": "cached_input"}
# All that a model for speech puts out is sound.
SPOKEN = {"output_audio": "output"}
# What a price may depend on beside the day and the prompt: each a way of being served, which answers name.
SERVED_BY = {"service_tier", "processing", "speed"}
PER_THOUSAND_REQUESTS = "requests_kcount"
# What a request pays for beside its tokens and is not counted here, pictures read from a cache, which count as
# pictures, and films, which no request can hold. A model with any other component is left out: its cost is better
# unknown than too low.
IGNORED = {"web_searches_kcount", "storage_searches_kcount", "cache_image_read_mtok", "input_video_mtok"}
# Shapes of the package's regular expressions, and the patterns that say the same: `*` is any text, `#` a digit.
REGEXES = [
    (re.compile(r"^\^([\w./\\-]+)-\\d\{8\}\$$"), ["{}-########"]),
    (re.compile(r"^\^([\w./\\-]+)\[-@\]\\d\{8\}\$$"), ["{}-########", "{}@########"]),
    (re.compile(r"^\^([\w./\\-]+)-\\d\{4\}-\\d\{2\}-\\d\{2\}\$$"), ["{}-####-##-##"]),
    (re.compile(r"^\^([\w./\\-]+)-\\d$"), ["{}-#*"]),
]
NO_SPEECH = "^(?!.*-[tT][tT][sS](?:$|-))"


def patterns(clause):
    """The clause as patterns, of which those that start with `!` exclude."""
    match clause:
        case types.ClauseEquals():
            return [clause.equals]
        case types.ClauseStartsWith():
            return [clause.starts_with + "*"]
        case types.ClauseEndsWith():
            return ["*" + clause.ends_with]
        case types.ClauseContains():
            return ["*" + clause.contains + "*"]
        case types.ClauseOr():
            return [it for part in clause.or_ for it in patterns(part)]
        case types.ClauseAnd(and_=[types.ClauseStartsWith() as start, types.ClauseRegex(regex=regex)]) if regex == NO_SPEECH:
            return [start.starts_with + "*", "!*-tts", "!*-tts-*"]
        case types.ClauseRegex():
            for shape, written in REGEXES:
                if found := shape.match(clause.regex):
                    return [it.format(found[1].replace("\\", "")) for it in written]
    sys.exit(f"catalog.py does not know how to write {clause}: teach it")


def matches(names, model):
    glob = lambda name: fnmatch.fnmatchcase(model, name.lower().replace("[", "[[]").replace("#", "[0-9]"))
    excluded = any(glob(name[1:]) for name in names if name.startswith("!"))
    return not excluded and any(glob(name) for name in names if not name.startswith("!"))


def in_force(conditions, day):
    """The prices of a day. Where they differ by the hour, the dearest of each component: better too much than too
    little is held."""
    dated, hourly = conditions[0].prices, []
    for it in conditions:
        if isinstance(it.constraint, types.TimeOfDateConstraint):
            hourly.append(it.prices)
        elif it.constraint is None or it.constraint.start_date <= day:
            dated, hourly = it.prices, []
    if not hourly:
        return dated
    of_all = [vars(it) for it in [dated, *hourly]]
    keys = {key for it in of_all for key in it}
    base = lambda price: price.base if isinstance(price, types.TieredPrices) else price
    return types.ModelPrice(**{key: max((it[key] for it in of_all if it.get(key) is not None), key=base) for key in keys})


def decimal(number):
    return format(number.normalize(), "f")


def speaks(id):
    """Whether it is a model for speech."""
    return re.search(r"(^|-)tts(-|$)", id) is not None


def rates(price, above, like, claude):
    """The components where the input is longer than so many tokens. `like` names those that have the price of another,
    where the list has none for any of them."""
    row = {}
    for key, value in vars(price).items():
        if value is None or key in IGNORED:
            continue
        if isinstance(value, types.TieredPrices):
            steps = [tier.price for tier in value.tiers if above is not None and tier.start <= above]
            value = steps[-1] if steps else value.base
        if key == PER_THOUSAND_REQUESTS:
            row["request"] = decimal(value / 1000)
        elif key in COMPONENTS:
            row[COMPONENTS[key]] = decimal(value)
        else:
            return None
    if "input" not in row:
        return None
    # An embedding has no output.
    row.setdefault("output", "0")
    if not like.keys() & row.keys():
        row |= {name: row[other] for name, other in like.items() if other in row}
    if claude and "cached_input" in row:
        # Its maker has the same factors for all of them; some lists leave them out.
        row.setdefault("cache_write", decimal(Decimal(row["input"]) * Decimal("1.25")))
        row.setdefault("cache_write_1h", decimal(Decimal(row["input"]) * 2))
    order = [*COMPONENTS.values(), "request"]
    return {name: row[name] for name in order if name in row}


def as_tiered(price, standard):
    """A price without tiers where the usual one has some: longer prompts cost as many times more."""
    if isinstance(price, types.TieredPrices) or not isinstance(standard, types.TieredPrices) or not standard.base:
        return price
    tiers = [types.Tier(start=tier.start, price=(price * tier.price / standard.base).quantize(Decimal("1e-6"))) for tier in standard.tiers]
    return types.TieredPrices(base=price, tiers=tiers)


def variants(model, day):
    """Prices of the ways of being served, `None` for the usual one."""
    conditions = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    standard = in_force(conditions, day)
    services = {None: standard}
    for variant in model.price_variants or []:
        (name,) = variant.when.values()
        if name == "default" or name in services or variant.constraint and not variant.constraint.active(at(day)):
            continue
        own = {key: as_tiered(value, getattr(standard, key)) for key, value in vars(variant.prices).items() if value is not None}
        services[name] = types.ModelPrice(**vars(standard) | own)
    return services


def at(day):
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


def starts(model, since):
    """The days on which a price of the model changes, beginning with `since`."""
    conditions = model.prices if isinstance(model.prices, list) else []
    constraints = [it.constraint for it in itertools.chain(conditions, model.price_variants or [])]
    days = {it.start_date for it in constraints if isinstance(it, types.StartDateConstraint)}
    return [since, *sorted(day for day in days if day > since)]


def searches(name):
    return re.search(r"(^|-)search(-|$)", name) is not None


def is_partial(model, rows):
    """Whether the list leaves out what such a model is for, and what costs far more than text: sound, or searches of which
    answers do not tell how many there were. Or what it costs depends on what answers do not name."""
    id = model.id
    if any(not variant.when.keys() <= SERVED_BY for variant in model.price_variants or []):
        return True
    if re.search(r"(^|[-/])(sonar|online)(-|$)", id) and not any("request" in row for row in rows):
        return True
    return searches(id) or "audio" in id and not any("input_audio" in row for row in rows)


def prices(model, since):
    """The rows of a model, or none where one of them cannot be said."""
    rows, before = [], None
    like = SPOKEN if speaks(model.id) else LIKE_TEXT if model.id.startswith("gemini") else {}
    for day in starts(model, since):
        of_day = []
        for service, price in variants(model, day).items():
            tiers = {tier.start for it in vars(price).values() if isinstance(it, types.TieredPrices) for tier in it.tiers}
            for above in [None, *sorted(tiers)]:
                row = rates(price, above, like, "claude" in model.id)
                if row is None:
                    return None
                of_day.append(({"service": service} if service else {}) | ({"above": above} if above else {}) | row)
        if of_day != before:
            rows += [({"from": day.isoformat()} if day > since else {}) | row for row in of_day]
        before = of_day
    return None if is_partial(model, rows) else rows


def check(vendor, written):
    """Compares who matches which model, by the package and by the patterns, over names made from the package's own."""
    literals = {re.sub(r"[*!#]", "", name) for _, names in written for name in names}
    ends = ["", "-20260101", "-2026-01-01", "@20260101", "-latest", "-preview", "-tts", "-v1:0", "-mini"]
    for name in (start + it + end for it in literals for start in ["", "us.", "eu.", "global."] for end in ends):
        theirs = next((model.id for model in vendor.models if model.is_match(name)), None)
        ours = next((id for id, names in written if matches(names, name.lower())), None)
        if theirs != ours:
            sys.exit(f"`{name}` of {vendor.id} is {theirs} by the package, and {ours} by the patterns of catalog.py")


def main():
    version, since = sys.argv[1], datetime.date.fromisoformat(sys.argv[2])
    lines = [{"source": "genai-prices", "version": version, "since": since.isoformat(), "license": "MIT"}]
    by_id = {vendor.id: vendor for vendor in providers}
    for id, hosts in VENDORS.items():
        vendor = by_id[id]
        for host in hosts:
            if not re.search(vendor.api_pattern, f"https://{host}/"):
                sys.exit(f"{host} does not belong to {id} any more")
        written = [(model.id, patterns(model.match)) for model in vendor.models]
        check(vendor, written)
        falls_back = [it for it in vendor.fallback_model_providers or [] if it in VENDORS]
        lines.append({"vendor": id} | ({"hosts": hosts} if hosts else {}) | ({"else": falls_back} if falls_back else {}))
        for model, (_, names) in zip(vendor.models, written):
            rows = prices(model, since)
            # A model without a price stays in its place, so that its name does not match one further down.
            if searching := [name for name in names if searches(name) and not searches(model.id)]:
                names = [name for name in names if name not in searching]
                lines.append({"model": f"{model.id}-search", "names": [name.lower() for name in searching], "prices": []})
            lines.append({"model": model.id, "names": [name.lower() for name in names], "prices": rows or []})
    for line in lines:
        print(json.dumps(line, separators=(",", ":")))


main()
