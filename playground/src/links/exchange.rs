//! One connection through a proxy: the sockets around two lanes.
//!
//! The node that dialled is known by the listener, the other one by what is asked for. Then
//! bytes are pumped both ways, each way under the state of its own directed link, until both
//! have ended. A connection that has to end (a reset, a link that was frozen for long) ends
//! with RST on both sides, whatever it still holds.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    LinkFault,
    head::{self, Ask, Refused},
    lane::{Admission, Lane, Next, Setting, admit},
    plane::{Link, Shared},
};

/// How long a node may take to say what it wants.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How often a connection that is held is looked at, whether the node has given it up.
const LOOK: Duration = Duration::from_millis(500);
/// A held connection that one side has closed is kept so long for the other side.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(60);
const BUFFER: usize = 64 << 10;
const TUNNEL_READY: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Serves one connection that `from` has opened.
pub(super) async fn serve(shared: &Arc<Shared>, from: &str, mut near: TcpStream) -> io::Result<()> {
    near.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    let asked = timeout(HEAD_PATIENCE, read_ask(&mut near, &mut buffer)).await;
    let asked = asked.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let meant = asked.and_then(|ask| {
        let stranger = || {
            let why = format!("no member of this cluster has its peer port at {}", ask.port);
            Refused::no_member(why)
        };
        Ok((shared.node_at(ask.port).filter(|to| to != from).ok_or_else(stranger)?, ask))
    });
    let (to, ask) = match meant {
        Ok(meant) => meant,
        Err(refused) => return refuse(&mut near, &refused).await,
    };
    let links = Pair { ahead: shared.link(from, &to), back: shared.link(&to, from) };
    let Some(resets) = wait_admitted(shared, &links, &near).await? else {
        return reset(&near);
    };
    let far = match TcpStream::connect((Ipv4Addr::LOCALHOST, ask.port)).await {
        Ok(far) => far,
        Err(error) => {
            let refused = Refused("502 Bad Gateway", format!("{to} cannot be reached: {error}"));
            return refuse(&mut near, &refused).await;
        }
    };
    far.set_nodelay(true)?;
    if ask.forward.is_none() {
        near.write_all(TUNNEL_READY).await?;
    }
    let _counted = Counted::new(&links);
    carry(shared, &links, resets, near, far, ask, buffer).await
}

/// The two directed links that a connection uses, seen from the node that dialled.
struct Pair {
    ahead: Arc<Link>,
    back: Arc<Link>,
}

impl Pair {
    fn resets(&self) -> (u64, u64) {
        (self.ahead.setting.borrow().resets, self.back.setting.borrow().resets)
    }

    /// Returns when connections that were made before have to end.
    async fn reset_after(&self, (ahead, back): (u64, u64)) {
        let (mut one, mut other) = (self.ahead.setting.subscribe(), self.back.setting.subscribe());
        // An error means that the link was forgotten, because its node has left.
        tokio::select! {
            _ = one.wait_for(|setting| setting.resets != ahead) => {}
            _ = other.wait_for(|setting| setting.resets != back) => {}
        }
    }
}

/// Counts a connection while it is there.
struct Counted<'a>(&'a Pair);

impl<'a> Counted<'a> {
    fn new(pair: &'a Pair) -> Self {
        pair.ahead.connections.fetch_add(1, Relaxed);
        pair.back.connections.fetch_add(1, Relaxed);
        Self(pair)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.ahead.connections.fetch_sub(1, Relaxed);
        self.0.back.connections.fetch_sub(1, Relaxed);
    }
}

/// Reads until the head of a request is there, and leaves what follows it in `buffer`.
async fn read_ask(near: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Result<Ask, Refused>> {
    loop {
        if let Some(length) = head::length(buffer) {
            return Ok(head::parse(&buffer.split_to(length)));
        }
        if buffer.len() > head::HEAD_MAX {
            let why = "the head of the request is too long".to_owned();
            return Ok(Err(Refused("431 Request Header Fields Too Large", why)));
        }
        if near.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn refuse(near: &mut TcpStream, Refused(status, why): &Refused) -> io::Result<()> {
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{why}\n",
        why.len() + 1
    );
    near.write_all(text.as_bytes()).await?;
    near.shutdown().await
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    stream.set_zero_linger()
}

/// Waits while nobody would answer. The resets so far, or `None` if it is refused.
async fn wait_admitted(
    shared: &Shared,
    links: &Pair,
    near: &TcpStream,
) -> io::Result<Option<(u64, u64)>> {
    let (mut ahead, mut back) = (links.ahead.setting.subscribe(), links.back.setting.subscribe());
    loop {
        let resets = links.resets();
        let now = shared.now();
        let until = match admit(&ahead.borrow_and_update(), &back.borrow_and_update(), now) {
            Admission::Go => return Ok(Some(resets)),
            Admission::Refuse => return Ok(None),
            Admission::Wait(until) => until,
        };
        let look = Instant::now() + LOOK;
        tokio::select! {
            changed = ahead.changed() => changed.map_err(forgotten)?,
            changed = back.changed() => changed.map_err(forgotten)?,
            () = sleep_until(until.map_or(look, |until| shared.instant(until).min(look))) => {
                if near.ready(Interest::READABLE).await_now().is_some_and(|it| it.is_read_closed()) {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
    }
}

fn forgotten(_: watch::error::RecvError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the node has left")
}

/// Asks for what is known about a socket without waiting.
trait Now {
    fn await_now(self) -> Option<tokio::io::Ready>;
}

impl<F: Future<Output = io::Result<tokio::io::Ready>>> Now for F {
    fn await_now(self) -> Option<tokio::io::Ready> {
        let mut future = std::pin::pin!(self);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(ready) => ready.ok(),
            std::task::Poll::Pending => None,
        }
    }
}

async fn carry(
    shared: &Shared,
    links: &Pair,
    resets: (u64, u64),
    mut near: TcpStream,
    mut far: TcpStream,
    ask: Ask,
    follows: BytesMut,
) -> io::Result<()> {
    let mut ahead = Pump::new(shared, &links.ahead, &links.back);
    let mut back = Pump::new(shared, &links.back, &links.ahead);
    if let Some(forward) = ask.forward {
        ahead.push(forward.head.into(), forward.is_fetch);
        back.heads = Some(BytesMut::new());
    }
    if !follows.is_empty() {
        ahead.push(follows.freeze(), false);
    }
    let ended = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        tokio::select! {
            ended = async {
                tokio::try_join!(ahead.run(near_read, far_write), back.run(far_read, near_write))
            } => ended.map(|_| ()),
            () = links.reset_after(resets) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if ended.is_err() {
        // Both sides shall know at once. A socket that is gone already may say so here.
        let _ = (reset(&near), reset(&far));
    }
    ended
}

/// One direction of a connection.
struct Pump<'a> {
    shared: &'a Shared,
    link: &'a Link,
    own: watch::Receiver<Setting>,
    other: watch::Receiver<Setting>,
    lane: Lane,
    /// What is there of the head of an answer, while one is expected.
    heads: Option<BytesMut>,
}

impl<'a> Pump<'a> {
    fn new(shared: &'a Shared, link: &'a Link, other: &'a Link) -> Self {
        let (own, other) = (link.setting.subscribe(), other.setting.subscribe());
        Self { shared, link, own, other, lane: Lane::default(), heads: None }
    }

    fn push(&mut self, data: Bytes, is_head: bool) {
        self.lane.push(self.shared.now(), data, is_head, rand::random());
    }

    /// Pumps until the source has ended and everything is out.
    async fn run(&mut self, mut reader: ReadHalf<'_>, mut writer: WriteHalf<'_>) -> io::Result<()> {
        let mut buffer = BytesMut::with_capacity(BUFFER);
        let mut orphaned = None;
        loop {
            let now = self.shared.now();
            let setting = *self.own.borrow_and_update();
            let other_closed = self.other.borrow_and_update().is_closed(now);
            let next = self.lane.next(now, &setting, other_closed, &mut self.link.bucket.lock());
            let until = match next {
                Next::Send(data) => {
                    self.write(&mut writer, &data).await?;
                    continue;
                }
                Next::End => return writer.shutdown().await,
                Next::Wait(until) => until,
            };
            let room = self.lane.wants_more(now, &setting, other_closed, self.heads.is_some());
            let held = setting.is_closed(now);
            tokio::select! {
                biased;
                changed = self.own.changed() => changed.map_err(forgotten)?,
                changed = self.other.changed() => changed.map_err(forgotten)?,
                () = async { sleep_until(self.shared.instant(until.unwrap_or_default())).await },
                    if until.is_some() => {}
                read = reader.read_buf(&mut buffer), if room => {
                    self.take(read?, &mut buffer, &mut writer).await?;
                }
                () = async { sleep(LOOK).await }, if held => {
                    let state = reader.ready(Interest::READABLE).await_now();
                    let gone = state.is_some_and(|state| state.is_read_closed());
                    let since = *orphaned.get_or_insert_with(Instant::now);
                    if !gone {
                        orphaned = None;
                    } else if since.elapsed() > ORPHAN_PATIENCE {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
            }
        }
    }

    async fn write(&self, writer: &mut WriteHalf<'_>, data: &[u8]) -> io::Result<()> {
        writer.write_all(data).await?;
        self.link.bytes.fetch_add(data.len() as u64, Relaxed);
        Ok(())
    }

    /// Takes what was read: `read` bytes more in `buffer`, none at the end.
    async fn take(
        &mut self,
        read: usize,
        buffer: &mut BytesMut,
        writer: &mut WriteHalf<'_>,
    ) -> io::Result<()> {
        if read == 0 {
            if let Some(head) = self.heads.take().filter(|head| !head.is_empty()) {
                self.push(head.freeze(), false);
            }
            self.lane.end(self.shared.now(), rand::random());
            return Ok(());
        }
        if self.heads.is_some() {
            self.collect_head(buffer.split());
        } else if self.lane.is_empty() && self.own.borrow().fault == LinkFault::Ok {
            // The usual case needs no queue.
            self.write(writer, buffer).await?;
            buffer.clear();
        } else {
            self.push(buffer.split().freeze(), false);
        }
        buffer.reserve(BUFFER);
        Ok(())
    }

    fn collect_head(&mut self, more: BytesMut) {
        let Some(mut head) = self.heads.take() else { return };
        head.unsplit(more);
        while let Some(length) = head::length(&head) {
            let Some((rewritten, another)) = head::answer(&head[..length]) else { break };
            self.push(rewritten.into(), true);
            drop(head.split_to(length));
            if !another {
                if !head.is_empty() {
                    self.push(head.freeze(), false);
                }
                return;
            }
        }
        // What cannot be understood is passed on as it is.
        let strange = head.len() > head::HEAD_MAX || head::length(&head).is_some();
        if strange {
            self.push(head.freeze(), false);
        } else {
            self.heads = Some(head);
        }
    }
}
