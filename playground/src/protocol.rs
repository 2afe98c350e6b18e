//! What clients and supervisor say to each other: one JSON document per line over a Unix
//! socket that only the owner can open.
//!
//! The server speaks first, with its version; then requests and answers alternate, an answer
//! carrying the number of its request. A connection that has subscribed also receives events
//! between answers. A client that goes away cancels nothing it has started.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
};

use crate::{
    PlaygroundError, faults::NodeFault, journal::Event, links::LinkFault, spec::InitialState,
    view::FleetView,
};

/// Raised when either side could misunderstand an older peer.
pub const VERSION: u32 = 2;
/// Longest line. A view of nine nodes takes a hundredth of it.
const LINE_MAX: u64 = 1 << 20;

/// What is done to nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "see the command line's help")]
pub enum Verb {
    Kill,
    Stop,
    Start,
    Restart,
    Pause,
    Resume,
    Wipe,
}

/// A request to the supervisor.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A [`FleetView`] of now.
    View,
    /// Do something to the nodes selected. Answered when it is done.
    Act {
        /// What.
        verb: Verb,
        /// To which.
        selector: String,
    },
    /// Do something to the disk, clock, speed or power of nodes. Answered when it is in effect.
    Fault {
        /// To which.
        selector: String,
        /// What.
        fault: NodeFault,
    },
    /// Replace one node after the other. Answered when it is done.
    Replace {
        /// Which.
        selector: String,
    },
    /// Add nodes until there are this many; without a number, up to the next odd one.
    Grow {
        /// How many then.
        nodes: Option<usize>,
    },
    /// Remove nodes until there are this many; without a number, down to the next odd one.
    Shrink {
        /// How many then.
        nodes: Option<usize>,
    },
    /// Set the state of every directed link from the first nodes to the second ones. `rest`,
    /// on one side, is every node that the other side does not name.
    Link {
        /// Selects the nodes whose bytes are meant.
        from: String,
        /// Selects the nodes that get them.
        to: String,
        /// The new state.
        fault: LinkFault,
    },
    /// Take the faults off every link.
    Heal,
    /// Save a snapshot of the leader beside the cluster's data. Answered when it is whole.
    Backup,
    /// Make a new cluster of all nodes, which must be down, with the data of a snapshot file.
    Restore {
        /// Which; without one, the latest backup.
        file: Option<PathBuf>,
        /// How far the revision is raised, so that none is used twice.
        bump_revision: u64,
    },
    /// Start nodes that are down and have no data, with a token that is not the cluster's.
    /// Answered when they are started.
    Bootstrap {
        /// Which.
        selector: String,
        /// As founders, or as members that were added.
        state: InitialState,
        /// The token.
        token: String,
    },
    /// End every node and the supervisor. Answered before the supervisor ends.
    Down {
        /// With SIGKILL.
        now: bool,
    },
    /// Send events after this number, and every later one.
    Subscribe {
        /// The last event seen.
        since: u64,
    },
}

/// A numbered request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the client.
    pub id: u64,
    /// What is wanted.
    pub request: Request,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::View`].
    View(Box<FleetView>),
    /// What was done, one sentence for each node or one for all.
    Done(Vec<String>),
}

/// A line from the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The first line.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// The supervisor's pid.
        pid: u32,
    },
    /// To the call with this number.
    Answer {
        /// The number.
        id: u64,
        /// The answer, or why not.
        result: Result<Reply, Refusal>,
    },
    /// To subscribers.
    Event(Event),
}

/// Why a request was not carried out.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whether the request was wrong in itself.
    pub usage: bool,
    /// One sentence.
    pub text: String,
}

impl From<PlaygroundError> for Refusal {
    fn from(error: PlaygroundError) -> Self {
        Self { usage: error.is_usage(), text: error.to_string() }
    }
}

impl From<Refusal> for PlaygroundError {
    fn from(refusal: Refusal) -> Self {
        if refusal.usage { Self::Usage(refusal.text) } else { Self::Refused(refusal.text) }
    }
}

/// Reads documents, one per line.
#[derive(Debug)]
pub struct LineReader(BufReader<OwnedReadHalf>);

impl LineReader {
    /// Reads from this half of a socket.
    pub fn new(half: OwnedReadHalf) -> Self {
        Self(BufReader::new(half))
    }

    /// The next document; `None` when the other side has gone.
    pub async fn next<T: for<'de> Deserialize<'de>>(
        &mut self,
    ) -> Result<Option<T>, PlaygroundError> {
        let protocol = |why: String| PlaygroundError::Protocol(why);
        let mut line = String::new();
        let mut limited = tokio::io::AsyncReadExt::take(&mut self.0, LINE_MAX);
        let read = limited.read_line(&mut line).await.map_err(|it| protocol(it.to_string()))?;
        if read == 0 {
            return Ok(None);
        }
        if !line.ends_with('\n') {
            return Err(protocol(format!("a line was cut off after {read} bytes")));
        }
        serde_json::from_str(&line).map(Some).map_err(|error| protocol(error.to_string()))
    }
}

/// Writes one document.
pub async fn write_line<T: Serialize>(
    half: &mut OwnedWriteHalf,
    document: &T,
) -> Result<(), PlaygroundError> {
    let protocol = |why: String| PlaygroundError::Protocol(why);
    let mut line = serde_json::to_vec(document).map_err(|error| protocol(error.to_string()))?;
    line.push(b'\n');
    half.write_all(&line).await.map_err(|error| protocol(error.to_string()))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn documents_pass_and_nonsense_is_an_error() {
        let (client, server) = UnixStream::pair().unwrap();
        let (read, _keep) = server.into_split();
        let (_, mut write) = client.into_split();
        let mut reader = LineReader::new(read);
        let request = Request::Act { verb: Verb::Kill, selector: "leader".into() };
        write_line(&mut write, &Call { id: 7, request: request.clone() }).await.unwrap();
        let call: Call = reader.next().await.unwrap().unwrap();
        assert_eq!((call.id, call.request), (7, request));
        write.write_all(b"{\"id\":1}\n").await.unwrap();
        assert!(reader.next::<Call>().await.is_err());
        drop(write);
        assert!(reader.next::<Call>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_endless_line_does_not_fill_memory() {
        let (client, server) = UnixStream::pair().unwrap();
        let (read, _keep) = server.into_split();
        let (_, mut write) = client.into_split();
        let writer = tokio::spawn(async move {
            // Fails when the reader gives up; that is the point.
            let _ = write.write_all(&vec![b'x'; 4 << 20]).await;
        });
        let mut reader = LineReader::new(read);
        assert!(reader.next::<Call>().await.unwrap_err().to_string().contains("cut off"));
        drop((reader, _keep));
        writer.await.unwrap();
    }
}
