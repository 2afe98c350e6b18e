//! The errors of v2: a number, a fixed message, a cause and the index they were seen at.
//!
//! Numbers, messages and HTTP statuses are etcd's: clients tell errors apart by them.

/// What went wrong, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    KeyNotFound = 100,
    CompareFailed = 101,
    NotAFile = 102,
    NotADirectory = 104,
    KeyExists = 105,
    RootReadOnly = 107,
    DirectoryNotEmpty = 108,
    Unauthorized = 110,
    PrevValueRequired = 201,
    TtlNotANumber = 202,
    IndexNotANumber = 203,
    InvalidField = 209,
    InvalidForm = 210,
    ValueOnRefresh = 211,
    TtlRequiredOnRefresh = 212,
    Raft = 300,
    EventIndexCleared = 401,
}

impl Code {
    /// etcd's text for it.
    pub fn message(self) -> &'static str {
        match self {
            Self::KeyNotFound => "Key not found",
            Self::CompareFailed => "Compare failed",
            Self::NotAFile => "Not a file",
            Self::NotADirectory => "Not a directory",
            Self::KeyExists => "Key already exists",
            Self::RootReadOnly => "Root is read only",
            Self::DirectoryNotEmpty => "Directory not empty",
            Self::Unauthorized => "The request requires user authentication",
            Self::PrevValueRequired => "PrevValue is Required in POST form",
            Self::TtlNotANumber => "The given TTL in POST form is not a number",
            Self::IndexNotANumber => "The given index in POST form is not a number",
            Self::InvalidField => "Invalid field",
            Self::InvalidForm => "Invalid POST form",
            Self::ValueOnRefresh => "Value provided on refresh",
            Self::TtlRequiredOnRefresh => "A TTL must be provided on refresh",
            Self::Raft => "Raft Internal Error",
            Self::EventIndexCleared => "The event in requested index is outdated and cleared",
        }
    }

    /// The HTTP status it is told with.
    pub fn http_status(self) -> u16 {
        match self {
            Self::KeyNotFound => 404,
            Self::NotAFile | Self::DirectoryNotEmpty => 403,
            Self::Unauthorized => 401,
            Self::CompareFailed | Self::KeyExists => 412,
            Self::Raft => 500,
            _ => 400,
        }
    }
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({cause})", .code.message())]
pub struct Error {
    pub code: Code,
    pub cause: String,
    /// The store's index; 0 when the store was not asked.
    pub index: u64,
}

impl Error {
    /// An error of the store at `index`.
    pub fn new(code: Code, cause: impl Into<String>, index: u64) -> Self {
        Self { code, cause: cause.into(), index }
    }

    /// A request that is refused for its form.
    pub fn form(code: Code, cause: impl Into<String>) -> Self {
        Self::new(code, cause, 0)
    }
}
