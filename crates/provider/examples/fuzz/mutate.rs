//! Doing damage.

/// Numbers that are not random enough for anything but this: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 where that is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        usize::try_from(self.next() % limit).unwrap_or(0)
    }
}

/// Words that mean something to the decoders.
#[derive(Debug)]
pub(crate) struct Dictionary(Vec<Vec<u8>>);

/// Values where arithmetic and parsers have their edges, and the framing of streams.
const EDGES: [&str; 26] = [
    "0",
    "-1",
    "1e999",
    "1.5",
    "4294967296",
    "2147483649",
    "18446744073709551616",
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\n\n",
    "\r\n\r\n",
    "\r",
    "data: ",
    "data:[DONE]",
    "event: error\n",
    ": comment\n",
    "\u{feff}",
    "\u{0}",
    "é🦀",
    "[[[[[[[[[[[[[[[[",
    ",\"error\":{\"message\":\"x\"}",
];

impl Dictionary {
    /// The words of a corpus: everything between quotes, and the edges.
    pub(crate) fn of(corpus: &[Vec<u8>]) -> Self {
        let mut words: Vec<Vec<u8>> = EDGES.map(|word| word.as_bytes().to_vec()).into();
        for sample in corpus {
            let pieces = sample.split(|byte| *byte == b'"').skip(1).step_by(2);
            let quoted = |piece: &[u8]| [b"\"", piece, b"\""].concat();
            words.extend(pieces.filter(|piece| piece.len() < 40).map(quoted));
        }
        words.sort();
        words.dedup();
        Self(words)
    }
}

/// Damages an input in one way.
pub(crate) fn once(input: &mut Vec<u8>, other: &[u8], words: &Dictionary, random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + 1 + random.below(64)).min(input.len());
    let start = at.min(end);
    match random.below(11) {
        0 => flip(input, random),
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.next().to_le_bytes()[0];
            }
        }
        2 => drop(input.drain(start..end)),
        3 => {
            let copy = input[start..end].to_vec();
            insert(input, random.below(input.len() + 1), &copy);
        }
        4 => {
            let copy = input[start..end].repeat(1 + random.below(64));
            insert(input, at, &copy);
        }
        5 => insert(input, at, &words.0[random.below(words.0.len())]),
        6 => replace_word(input, at, &words.0[random.below(words.0.len())]),
        7 => replace_number(input, at, EDGES[random.below(7)].as_bytes()),
        8 => input.truncate(at),
        9 => {
            // The beginning of one, the end of another.
            input.truncate(at);
            let from = random.below(other.len() + 1);
            input.extend_from_slice(&other[from..]);
        }
        _ => repeat_line(input, at, random),
    }
}

fn flip(input: &mut [u8], random: &mut Random) {
    let at = random.below(input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(input.len());
    input.splice(at..at, piece.iter().copied());
}

/// Puts a word in the place of the next one between quotes.
fn replace_word(input: &mut Vec<u8>, at: usize, word: &[u8]) {
    let quote = |from: usize| input[from..].iter().position(|byte| *byte == b'"');
    let Some(start) = quote(at).map(|found| at + found) else {
        return;
    };
    let Some(end) = quote(start + 1).map(|found| start + 1 + found) else {
        return;
    };
    input.splice(start..=end, word.iter().copied());
}

/// Puts something in the place of the next number.
fn replace_number(input: &mut Vec<u8>, at: usize, value: &[u8]) {
    let Some(start) = input[at..].iter().position(u8::is_ascii_digit) else {
        return;
    };
    let start = at + start;
    let digits = input[start..].iter().take_while(|b| b.is_ascii_digit());
    let end = start + digits.count();
    input.splice(start..end, value.iter().copied());
}

/// Says a line again, somewhere.
fn repeat_line(input: &mut Vec<u8>, at: usize, random: &mut Random) {
    let start = input[..at].iter().rposition(|byte| *byte == b'\n');
    let start = start.map_or(0, |found| found + 1);
    let end = input[at..].iter().position(|byte| *byte == b'\n');
    let end = end.map_or(input.len(), |found| at + found + 1);
    let line = input[start..end].to_vec();
    let ends: Vec<usize> = input
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    let place = ends.get(random.below(ends.len())).copied().unwrap_or(0);
    insert(input, place, &line);
}
