use super::Subject;

#[test]
fn names_the_levels() {
    let cases = [
        ("acme", "acme", "acme", "acme"),
        ("acme/search", "acme", "acme/search", "acme/search"),
        ("acme/search/ada", "acme", "acme/search", "acme/search/ada"),
        ("a/b/c/d/e/f/g/h", "a", "a/b", "a/b/c/d/e/f/g/h"),
        ("a.b/c_d/e-1", "a.b", "a.b/c_d", "a.b/c_d/e-1"),
    ];
    for (path, org, team, user) in cases {
        let subject = Subject::parse(path).unwrap();
        assert_eq!(
            (subject.org(), subject.team(), subject.user()),
            (org, team, user)
        );
        assert_eq!(subject.to_string(), path);
    }
}

#[test]
fn refuses_what_is_not_a_path() {
    let long = "x".repeat(64);
    let cases = [
        ("", "is empty"),
        ("/", "part 1 is empty"),
        ("acme/", "part 2 is empty"),
        ("acme//ada", "part 2 is empty"),
        ("a/b/c/d/e/f/g/h/i", "more than 8 parts"),
        ("Acme", "part 1 holds 'A'"),
        ("acme/a=b", "part 2 holds '='"),
        ("acme/a b", "part 2 holds ' '"),
        ("acme/é", "part 2 holds 'é'"),
        (long.as_str(), "part 1 is longer than 63"),
    ];
    for (path, problem) in cases {
        let error = Subject::parse(path).unwrap_err().to_string();
        assert!(error.contains(problem), "{path}: {error}");
        assert!(error.contains("acme/search/ada"), "{path}: {error}");
    }
    assert!(Subject::parse(&"x".repeat(1 << 20)).is_err());
}

#[test]
fn knows_what_lies_below() {
    let acme: Subject = "acme".parse().unwrap();
    for (path, within) in [
        ("acme", true),
        ("acme/search", true),
        ("acmeta", false),
        ("other/acme", false),
    ] {
        assert_eq!(
            Subject::parse(path).unwrap().is_within(&acme),
            within,
            "{path}"
        );
    }
}

#[test]
fn all_above_are_named_from_the_top_down() {
    let paths = |path: &str| {
        let subject = Subject::parse(path).unwrap();
        subject.and_above().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(paths("acme"), ["acme"]);
    assert_eq!(paths("a/b/c"), ["a", "a/b", "a/b/c"]);
}
