use super::{Extent, Ruler};
use crate::chat::Delta;

fn ruler(pieces: &[&str]) -> Ruler {
    let mut ruler = Ruler::default();
    pieces.iter().for_each(|piece| ruler.text(piece));
    ruler
}

#[test]
fn characters_and_bytes_tell_the_same_places_however_the_text_comes() {
    let text = "Grüße, 世界! 👋🏽 a";
    let bounds: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
    let cuts = [vec![text], text.split_inclusive(' ').collect(), {
        let mut letters = text.split("").collect::<Vec<_>>();
        letters.retain(|it| !it.is_empty());
        letters
    }];
    for pieces in cuts {
        let ruler = ruler(&pieces);
        for (from, start) in bounds.iter().enumerate() {
            for (to, end) in bounds.iter().enumerate().skip(from) {
                let place = |at: usize| u32::try_from(at).unwrap();
                let (characters, bytes) = (place(from)..place(to), place(*start)..place(*end));
                assert_eq!(ruler.passage(&characters), bytes);
                assert_eq!(ruler.characters(&bytes), characters);
            }
        }
    }
}

#[test]
fn places_outside_of_the_text_are_cut_to_it() {
    let ruler = ruler(&["é", "a"]);
    assert_eq!(ruler.passage(&(1..9)), 2..3);
    assert_eq!(ruler.passage(&(u32::MAX..u32::MAX)), 3..3);
    #[expect(clippy::reversed_empty_ranges, reason = "what a provider may say")]
    let reversed = 2..0;
    assert_eq!(ruler.passage(&reversed), 3..3);
    assert_eq!(ruler.characters(&(0..u32::MAX)), 0..2);
    // Within a character is at its beginning.
    assert_eq!(ruler.characters(&(1..3)), 0..2);
    assert_eq!(Ruler::default().passage(&(0..5)), 0..0);
}

#[test]
fn a_part_begins_where_something_else_came_between() {
    let (mut ruler, mut extent) = (Ruler::default(), Extent::default());
    let mut take = |delta: Delta| {
        ruler.take(&delta);
        extent.take(&delta);
        assert_eq!(ruler.length(), extent.length());
        extent.length()
    };
    assert_eq!(take(Delta::Text("ü1".to_owned())), 3);
    let call = Delta::ToolArguments {
        index: 0,
        fragment: "{}".to_owned(),
    };
    assert_eq!(take(call), 3);
    assert_eq!(take(Delta::Reasoning("hm".to_owned())), 0);
    assert_eq!(take(Delta::Text("ä2".to_owned())), 3);
    assert_eq!(ruler.passage(&(2..3)), 0..2);
    assert_eq!(ruler.characters(&(0..2)), 2..3);
    // What stood in a part before is no place in this one.
    assert_eq!(ruler.passage(&(0..1)), 0..0);
    assert_eq!((extent.since(2), extent.since(9)), (2..3, 3..3));
    assert_eq!(extent.fit(&(1..9)), 1..3);
}
