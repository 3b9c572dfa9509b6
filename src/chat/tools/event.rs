//! What is found in an answer.

/// A part of an answer, in the order in which the model writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolEvent {
    /// Text for the user.
    Text(String),
    /// What the model says to itself.
    Reasoning(String),
    /// A call begins.
    Begun {
        /// Counts the calls of the answer, from 0.
        index: usize,
        /// What the function's result is to refer to.
        id: String,
        /// The function.
        name: String,
    },
    /// More of a call's arguments, which are an object of JSON in the end.
    Arguments {
        /// Of which call.
        index: usize,
        /// More of the JSON.
        delta: String,
    },
    /// What had begun as a call is none: its arguments are no JSON, or the answer has ended within them.
    Broken {
        /// Which call.
        index: usize,
        /// All that the model wrote of it, its markers included.
        raw: String,
    },
}
