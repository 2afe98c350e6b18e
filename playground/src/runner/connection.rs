//! The server side of the control socket: one task reads a connection, one writes it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tokio::{
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{broadcast, mpsc, oneshot},
};

use super::Input;
use crate::{
    PlaygroundError,
    journal::Event,
    protocol::{Call, LineReader, Message, Refusal, Reply, Request, VERSION, write_line},
};

/// Events missed, and those to come.
pub(crate) type Subscription = (Vec<Event>, broadcast::Receiver<Event>);

/// Answers that may wait to be written to one client.
const OUTBOX: usize = 256;

/// Opens the socket. The caller holds the cluster's lock, so a file that is there is stale.
pub(super) fn listen(path: &Path) -> Result<UnixListener, PlaygroundError> {
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(PlaygroundError::file("listen on", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(PlaygroundError::file("protect", path))?;
    Ok(listener)
}

pub(super) async fn accept(listener: UnixListener, inbox: mpsc::Sender<Input>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, inbox.clone()))),
            Err(error) => {
                tracing::warn!(%error, "a client could not be accepted");
                // Out of descriptors, most likely: do not spin.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, inbox: mpsc::Sender<Input>) {
    let (read, write) = stream.into_split();
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let writer = tokio::spawn(write_all(write, messages));
    let hello = Message::Hello { version: VERSION, pid: std::process::id() };
    let mut reader = LineReader::new(read);
    if outbox.send(hello).await.is_ok() {
        while let Ok(Some(call)) = reader.next::<Call>().await {
            if handle(call, &inbox, &outbox).await.is_none() {
                break;
            }
        }
    }
    drop(outbox);
    // Answers still to come are written if the client reads on.
    let _ = writer.await;
}

/// Passes a call on; its answer is sent when it is there. `None` when nobody listens any more.
async fn handle(
    call: Call,
    inbox: &mpsc::Sender<Input>,
    outbox: &mpsc::Sender<Message>,
) -> Option<()> {
    let id = call.id;
    if let Request::Subscribe { since } = call.request {
        let (reply, subscription) = oneshot::channel();
        inbox.send(Input::Subscribe(since, reply)).await.ok()?;
        let subscription = subscription.await.ok()?;
        let result = Ok(Reply::Done(Vec::new()));
        outbox.send(Message::Answer { id, result }).await.ok()?;
        tokio::spawn(forward(subscription, outbox.clone()));
        return Some(());
    }
    let (answered, answer) = oneshot::channel();
    inbox.send(Input::Call(call.request, answered)).await.ok()?;
    let outbox = outbox.clone();
    tokio::spawn(async move {
        let ended = |_| Err(Refusal { usage: false, text: "the cluster is going down".to_owned() });
        let result = answer.await.unwrap_or_else(ended);
        // The client may have gone.
        let _ = outbox.send(Message::Answer { id, result }).await;
    });
    Some(())
}

async fn forward((missed, mut live): Subscription, outbox: mpsc::Sender<Message>) {
    for event in missed {
        if outbox.send(Message::Event(event)).await.is_err() {
            return;
        }
    }
    loop {
        tokio::select! {
            // Without this a client that has left would be noticed only at the next event.
            () = outbox.closed() => return,
            event = live.recv() => match event {
                Ok(event) => {
                    if outbox.send(Message::Event(event)).await.is_err() {
                        return;
                    }
                }
                // The numbers of the events tell the client what it has missed.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
        }
    }
}

async fn write_all(mut half: OwnedWriteHalf, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        if write_line(&mut half, &message).await.is_err() {
            return;
        }
    }
}
