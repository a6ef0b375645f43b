use super::*;

#[test]
fn totals_of_another_window_or_epoch_or_generation_do_not_count() {
    let mut desk = Desk::new(10);
    desk.report(1, account(0, 10));
    assert_eq!(desk.state().nodes[0].granted, 10);
    let returning = NodeAccount {
        returned: 10,
        ..account(10, 0)
    };
    for other in [
        NodeAccount {
            window: Window(window().0 - 1),
            ..returning.clone()
        },
        NodeAccount {
            epoch: Epoch(6),
            ..returning.clone()
        },
        NodeAccount {
            generation: Generation(1),
            ..returning.clone()
        },
    ] {
        desk.report(1, other);
        assert_eq!((desk.state().free, desk.state().nodes[0].returned), (0, 0));
    }
    desk.report(1, returning.clone());
    assert_eq!(desk.state().free, 10);
    desk.report(1, returning);
    assert_eq!(desk.state().free, 10, "a repeated total changes nothing");
}

#[test]
fn nobody_can_return_more_than_was_granted() {
    let mut desk = Desk::new(100);
    desk.report(1, account(0, 3));
    let granted = desk.state().nodes[0].granted;
    desk.report(
        1,
        NodeAccount {
            returned: 1_000,
            ..account(granted, 0)
        },
    );
    let state = desk.state();
    assert_eq!(state.nodes[0].returned, granted);
    assert_eq!(state.free, state.hwm);
}
