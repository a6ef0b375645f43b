//! Vectors of small numbers, as bytes.

use super::Encoding;
use crate::failure::{Class, Failure};

/// Writes whole numbers as bytes. For bits, each number holds eight of them.
///
/// # Errors
/// A number is not one of the encoding's.
pub(crate) fn of_integers(encoding: Encoding, numbers: &[f32]) -> Result<Vec<u8>, Failure> {
    let range = match encoding {
        Encoding::Int8 => -128.0..=127.0,
        Encoding::Float | Encoding::Uint8 | Encoding::Binary => 0.0..=255.0,
    };
    let byte = |number: &f32| {
        let fits = number.fract() == 0.0 && range.contains(number);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the number was just found to be whole and within a byte"
        )]
        let byte = (*number as i16).to_le_bytes()[0];
        fits.then_some(byte)
    };
    let bytes: Option<Vec<u8>> = numbers.iter().map(byte).collect();
    bytes.ok_or_else(|| {
        let encoding = encoding.as_str();
        let detail = format!("a vector of the answer is not of {encoding} numbers");
        Failure::new(Class::Server, detail)
    })
}

/// Packs bits that came as a number each, the first into the highest place; what is missing to a byte is 0.
///
/// # Errors
/// A number is neither 0 nor 1.
pub(crate) fn packed_bits(bits: &[f32]) -> Result<Vec<f32>, Failure> {
    if bits.iter().any(|bit| *bit != 0.0 && *bit != 1.0) {
        let detail = "a vector of the answer is not of bits";
        return Err(Failure::new(Class::Server, detail));
    }
    let pack = |eight: &[f32]| {
        let places = [128.0, 64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0];
        eight
            .iter()
            .zip(places)
            .map(|(bit, place)| bit * place)
            .sum()
    };
    Ok(bits.chunks(8).map(pack).collect())
}
