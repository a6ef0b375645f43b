/// What this crate refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The limit's name cannot be part of a counter's text form.
    #[error("limit name {0:?} is empty or contains `/`: rename the limit")]
    LimitName(String),
    /// The window is one that no keeping serves.
    #[error("window of {0} ms: a fixed window must be longer than 10 s and at most 366 days")]
    WindowLength(u64),
    /// A text that is not a counter's text form.
    #[error("{0:?} is not a counter: expected `limit/kind/subject`")]
    CounterText(String),
    /// A reservation that is not open: never admitted, or settled before.
    #[error("reservation {0} is not open: it was never admitted or is settled already")]
    NotOpen(u64),
    /// The settlement names another number of asks than the reservation has.
    #[error("reservation has {asks} asks, the settlement names {given}: give one figure per ask")]
    Figures {
        /// How many asks the reservation was made with.
        asks: usize,
        /// How many figures the settlement gave.
        given: usize,
    },
}
