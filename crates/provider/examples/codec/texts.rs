//! Texts whose tokens are counted: such as people and programs write, and such as are meant to take long.

use std::error::Error;
use std::path::Path;

/// Sentences of which a text in Chinese and Japanese is made.
const SENTENCES: [&str; 10] = [
    "今天天气很好，我们去公园散步吧。",
    "请把这份报告翻译成英文，并在星期五之前发给我。",
    "数据库的查询速度取决于索引的设计和内存的大小。",
    "昨日は友達と一緒に新しいレストランで夕食を食べました。",
    "このプログラムは、入力された文章を単語に分割します。",
    "如果您有任何问题，请随时与客服部门联系。",
    "機械学習のモデルを訓練するには、大量のデータが必要です。",
    "他在大学里学习了四年的历史和哲学。",
    "電車が遅れたので、会議に間に合いませんでした。",
    "价格为１２３４元，含税；运费另计。",
];

/// A text and what it is.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    /// Whether nobody writes such texts but to do harm.
    pub(crate) is_hostile: bool,
}

/// All of them, each of about `size` bytes.
pub(crate) fn all(size: usize) -> Result<Vec<Named>, Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = |name, text| Named {
        name,
        text,
        is_hostile: false,
    };
    let mut out = vec![
        named("prose", of_files(&source.join("../.."), "md", size)?),
        named("code", of_files(&source.join("src"), "rs", size)?),
        named(
            "Chinese and Japanese",
            made(size, |n| SENTENCES[n % 10].to_owned()),
        ),
    ];
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8).to_string();
    let anywhere = |n: usize| {
        let letters = (0x100..0x2_0000_u32).filter_map(char::from_u32);
        let mut letters = letters.filter(|c| c.is_alphabetic()).skip(n * 37 % 90_000);
        letters.next().map(String::from).unwrap_or_default()
    };
    for (name, text) in [
        ("one letter", "a".repeat(size)),
        ("random letters", made(size, letter)),
        // As long as words may be before the rest of them is estimated, and a little longer.
        ("random words of 12 letters", made(size, |n| word(n, 12))),
        ("random words of 60 letters", made(size, |n| word(n, 60))),
        ("random words of 240 letters", made(size, |n| word(n, 240))),
        ("random ideographs", made(size, |n| ideographs(n, 20))),
        (
            "random letters of all scripts",
            made(size / 20, anywhere).repeat(20),
        ),
        ("digits", made(size, |n| (n % 10).to_string())),
        ("spaces", " ".repeat(size)),
        ("line ends", "\r\n\n".repeat(size / 3)),
        ("marks", "!?-_=+".repeat(size / 6)),
        ("apostrophes", "'s'll".repeat(size / 5)),
        ("accents upon accents", "e\u{301}\u{302}".repeat(size / 5)),
        ("emoji", "👩‍🚀🏽".repeat(size / 15)),
    ] {
        out.push(Named {
            name,
            text,
            is_hostile: true,
        });
    }
    Ok(out)
}

/// A word that is in no vocabulary.
fn word(number: usize, length: usize) -> String {
    let letters = (0..length).scan(number, |number, _| {
        *number = next(*number);
        Some(char::from(b'a' + (*number >> 33) as u8 % 26))
    });
    std::iter::once(' ').chain(letters).collect()
}

/// A sentence of letters that hardly stand beside each other.
fn ideographs(number: usize, length: usize) -> String {
    let letters = (0..length).scan(number, |number, _| {
        *number = next(*number);
        char::from_u32(0x4E00 + (*number >> 33) as u32 % 0x5000)
    });
    letters.chain(std::iter::once('。')).collect()
}

/// The files of that kind under a folder, one after the other.
fn of_files(folder: &Path, kind: &str, size: usize) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)?;
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == kind) && out.len() < size {
                out.push_str(&std::fs::read_to_string(&path)?);
            }
        }
    }
    let end = (0..=size.min(out.len()))
        .rev()
        .find(|at| out.is_char_boundary(*at));
    out.truncate(end.unwrap_or(0));
    Ok(out)
}

/// Pieces chosen by numbers that repeat only after very long, until there are `size` bytes of them.
fn made(size: usize, piece: impl Fn(usize) -> String) -> String {
    let mut out = String::with_capacity(size);
    let mut number = 1_usize;
    while out.len() < size {
        number = next(number);
        out.push_str(&piece(number >> 33));
    }
    out
}

/// Knuth's linear congruential generator, whose high bits are good enough.
fn next(number: usize) -> usize {
    number
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}
