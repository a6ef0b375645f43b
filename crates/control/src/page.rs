//! What every list of the operators' side has in common.

use crate::error::{Error, Result};

const DEFAULT: u32 = 100;
const MOST: u32 = 1000;

/// Checks a wanted page size; 0 stands for the default.
///
/// # Errors
/// [`Error::Invalid`] where it is too large.
pub(crate) fn size(wanted: u32) -> Result<usize> {
    match wanted {
        0 => Ok(DEFAULT as usize),
        1..=MOST => Ok(wanted as usize),
        _ => {
            let message = format!("is {wanted}; ask for {MOST} at most");
            Err(Error::field("page_size", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_default_and_a_bound() {
        assert_eq!(size(0).unwrap(), 100);
        assert_eq!(size(1000).unwrap(), 1000);
        assert!(matches!(size(1001), Err(Error::Invalid(_))));
    }
}
