use super::*;

fn time(text: &str) -> OwnerTime {
    let at: Timestamp = text.parse().unwrap();
    OwnerTime(u64::try_from(at.as_millisecond()).unwrap())
}

#[test]
fn edges_follow_the_zone_and_its_clock_changes() {
    // Zone, a moment, and the window that it is in. In Berlin clocks are put forward on 29 March 2026 and back on
    // 25 October; in Havana they are put forward at midnight, which does not exist then.
    let cases = "
        1d  Europe/Berlin    2026-03-29T10:00:00Z     2026-03-28T23:00:00Z 2026-03-29T22:00:00Z
        1d  Europe/Berlin    2026-10-25T10:00:00Z     2026-10-24T22:00:00Z 2026-10-25T23:00:00Z
        1mo Europe/Berlin    2026-10-31T22:59:59.999Z 2026-09-30T22:00:00Z 2026-10-31T23:00:00Z
        1mo Europe/Berlin    2026-10-31T23:00:00Z     2026-10-31T23:00:00Z 2026-11-30T23:00:00Z
        1mo UTC              2028-02-29T23:00:00Z     2028-02-01T00:00:00Z 2028-03-01T00:00:00Z
        1w  UTC              2026-11-26T18:00:00Z     2026-11-23T00:00:00Z 2026-11-30T00:00:00Z
        1q  UTC              2026-11-26T18:00:00Z     2026-10-01T00:00:00Z 2027-01-01T00:00:00Z
        1y  America/New_York 2027-01-01T04:59:59Z     2026-01-01T05:00:00Z 2027-01-01T05:00:00Z
        1d  America/Havana   2026-03-08T12:00:00Z     2026-03-08T05:00:00Z 2026-03-09T04:00:00Z";
    for case in cases.lines().skip(1) {
        let words: Vec<&str> = case.split_whitespace().collect();
        let period: Period = words[0].parse().unwrap();
        let span = period.at(time(words[2]), Zone::named(words[1]).unwrap());
        let expected = (time(words[3]), time(words[4]));
        assert_eq!((span.start, span.end), expected, "{case}");
    }
}

#[test]
fn windows_follow_one_another_without_gap_and_their_labels_count() {
    for period in [
        Period::Day,
        Period::Week,
        Period::Month,
        Period::Quarter,
        Period::Year,
    ] {
        for zone in [
            "UTC",
            "Europe/Berlin",
            "America/Sao_Paulo",
            "Pacific/Apia",
            "Asia/Kathmandu",
        ] {
            let zone = Zone::named(zone).unwrap();
            let mut span = period.at(time("2009-12-31T12:00:00Z"), zone);
            for _ in 0..800 {
                let next = period.at(span.end, zone);
                assert_eq!(next.start, span.end, "{period:?} {zone:?} {span:?}");
                // Samoa had no 30 December 2011: that label has no moment.
                assert!(
                    next.window == Window(span.window.0 + 1)
                        || (period == Period::Day
                            && zone.name() == "Pacific/Apia"
                            && next.window == Window(span.window.0 + 2)),
                    "{period:?} {zone:?} {span:?} {next:?}"
                );
                let last = OwnerTime(next.start.0 - 1);
                assert_eq!(period.at(last, zone).window, span.window);
                assert!(next.end.since(next.start) <= period.longest_ms());
                span = next;
            }
        }
    }
}

#[test]
fn zones_are_found_by_their_names() {
    assert_eq!(
        Zone::named("europe/berlin").map(Zone::name),
        Some("Europe/Berlin")
    );
    assert_eq!(Zone::named("UTC"), Some(Zone::UTC));
    assert_eq!(Zone::named("Europe/Bonn"), None);
    assert_eq!(Zone::named(""), None);
}

#[test]
fn short_forms_read_back() {
    for (period, short) in Period::ALL {
        assert_eq!((period.as_str(), short.parse()), (short, Ok(period)));
    }
    assert_eq!("2d".parse::<Period>(), Err(()));
}
