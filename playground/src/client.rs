//! Talking to a supervisor: what the command line and the terminal UI use.
//!
//! A [`Client`] may be shared: calls are matched to answers by number, and events arrive on a
//! channel of their own. When the supervisor goes away, waiting calls fail and the event
//! channel closes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{mpsc, oneshot},
};

use crate::{
    PlaygroundError,
    dirs::Home,
    journal::Event,
    protocol::{Call, LineReader, Message, Refusal, Reply, Request, VERSION, Verb, write_line},
    view::FleetView,
};

/// How long a supervisor may take to say hello.
const HELLO_PATIENCE: Duration = Duration::from_secs(3);
/// Events that may wait for this client.
const EVENTS: usize = 1024;

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Reply, Refusal>>>>>;

/// A connection to the supervisor of one cluster.
#[derive(Debug)]
pub struct Client {
    /// The name of the cluster.
    pub cluster: String,
    /// The supervisor's pid.
    pub supervisor: u32,
    write: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Waiting,
    number: AtomicU64,
    events: Mutex<Option<mpsc::Receiver<Event>>>,
}

impl Client {
    /// Connects to the supervisor of a cluster that exists.
    pub async fn connect(home: &Home, name: &str) -> Result<Self, PlaygroundError> {
        let dirs = home.cluster(name);
        if !dirs.exists() {
            return Err(PlaygroundError::UnknownCluster(name.to_owned()));
        }
        let hello = async {
            let stream = UnixStream::connect(dirs.socket()?).await.ok();
            let Some(stream) = stream else { return Ok(None) };
            Self::greet(name, stream).await.map(Some)
        };
        match tokio::time::timeout(HELLO_PATIENCE, hello).await {
            Ok(Ok(Some(client))) => Ok(client),
            Ok(Err(error)) => Err(error),
            // The lock tells a dead supervisor from a silent one; a socket file tells nothing.
            Ok(Ok(None)) | Err(_) => Err(match dirs.is_locked() {
                true => PlaygroundError::Silent(name.to_owned()),
                false => PlaygroundError::NotRunning(name.to_owned()),
            }),
        }
    }

    async fn greet(name: &str, stream: UnixStream) -> Result<Self, PlaygroundError> {
        let (read, write) = stream.into_split();
        let mut reader = LineReader::new(read);
        let hello = reader.next::<Message>().await?;
        let Some(Message::Hello { version, pid }) = hello else {
            return Err(PlaygroundError::Protocol("it did not say hello".to_owned()));
        };
        if version != VERSION {
            return Err(PlaygroundError::Protocol(format!(
                "it speaks version {version}, this program {VERSION}; `etcd-tui down {name} --now` \
                 and `etcd-tui up {name}` renew it, the data stays"
            )));
        }
        let waiting = Waiting::default();
        let (forward, events) = mpsc::channel(EVENTS);
        tokio::spawn(read_all(reader, Arc::clone(&waiting), forward));
        Ok(Self {
            cluster: name.to_owned(),
            supervisor: pid,
            write: tokio::sync::Mutex::new(write),
            waiting,
            number: AtomicU64::new(0),
            events: Mutex::new(Some(events)),
        })
    }

    /// Asks, and waits for the answer as long as it takes.
    pub async fn call(&self, request: Request) -> Result<Reply, PlaygroundError> {
        let gone = || {
            PlaygroundError::Refused(format!(
                "the supervisor of cluster {0} has ended: `etcd-tui up {0}` starts it again",
                self.cluster
            ))
        };
        let id = self.number.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answered);
        let sent = write_line(&mut *self.write.lock().await, &Call { id, request }).await;
        if sent.is_err() {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Err(gone());
        }
        answer.await.map_err(|_| gone())?.map_err(PlaygroundError::from)
    }

    /// The cluster as it is now.
    pub async fn view(&self) -> Result<FleetView, PlaygroundError> {
        match self.call(Request::View).await? {
            Reply::View(view) => Ok(*view),
            Reply::Done(_) => Err(PlaygroundError::Protocol("a view was expected".to_owned())),
        }
    }

    /// Asks for something that is answered with sentences.
    pub async fn perform(&self, request: Request) -> Result<Vec<String>, PlaygroundError> {
        match self.call(request).await? {
            Reply::Done(sentences) => Ok(sentences),
            Reply::View(_) => Err(PlaygroundError::Protocol("a sentence was expected".to_owned())),
        }
    }

    /// Does something to nodes; returns when it is done.
    pub async fn act(&self, verb: Verb, selector: &str) -> Result<Vec<String>, PlaygroundError> {
        self.perform(Request::Act { verb, selector: selector.to_owned() }).await
    }

    /// Events after `since`, and every later one. Can be called once per connection.
    pub async fn subscribe(&self, since: u64) -> Result<mpsc::Receiver<Event>, PlaygroundError> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        let events = events.ok_or_else(|| {
            PlaygroundError::Protocol("this connection has already subscribed".to_owned())
        })?;
        self.perform(Request::Subscribe { since }).await?;
        Ok(events)
    }
}

async fn read_all(mut reader: LineReader, waiting: Waiting, events: mpsc::Sender<Event>) {
    while let Ok(Some(message)) = reader.next::<Message>().await {
        match message {
            Message::Hello { .. } => {}
            Message::Answer { id, result } => {
                let answered = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(answered) = answered {
                    // The caller may have given up.
                    let _ = answered.send(result);
                }
            }
            Message::Event(event) => {
                // Answers must not wait behind events that nobody reads.
                if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
                    tracing::debug!(seq = event.seq, "an event was dropped: nobody reads them");
                }
            }
        }
    }
    // Dropping the senders tells every waiting call.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
