//! The Rust crate `etcd-client`: gRPC with balancing over all members.
//!
//! One line for each check; the exit code is the verdict.

use std::collections::HashMap;
use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmType, Certificate, Client, Compare, CompareOp, ConnectOptions, DeleteOptions,
    Error, EventType, GetOptions, Identity, LockOptions, Permission, PermissionType, PutOptions,
    ResignOptions, SortOrder, SortTarget, TlsOptions, Txn, TxnOp, TxnOpResponse, WatchOptions,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Where the cluster is and how to get in: `--name=value`.
struct Settings(HashMap<String, String>);

impl Settings {
    fn read() -> Settings {
        let words = std::env::args().skip(1);
        let pairs = words.filter_map(|word| {
            let (name, value) = word.strip_prefix("--")?.split_once('=')?;
            Some((name.to_string(), value.to_string()))
        });
        Settings(pairs.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.get(name).expect("a file")).expect("a readable file")
    }

    fn endpoints(&self) -> Vec<&str> {
        self.get("endpoints").expect("--endpoints").split(',').collect()
    }

    async fn connect(&self, user: Option<&str>) -> Result<Client, Error> {
        let mut options =
            ConnectOptions::new().with_timeout(Duration::from_secs(30)).with_require_leader(true);
        if self.get("cacert").is_some() {
            let tls = TlsOptions::new()
                .ca_certificate(Certificate::from_pem(self.file("cacert")))
                .identity(Identity::from_pem(self.file("cert"), self.file("key")));
            options = options.with_tls(tls);
        }
        if let Some((name, password)) = user.and_then(|user| user.split_once(':')) {
            options = options.with_user(name, password);
        }
        Client::connect(self.endpoints(), Some(options)).await
    }
}

/// What every check gets: two clients and a prefix of its own.
struct World {
    settings: Settings,
    one: Client,
    two: Client,
    prefix: String,
}

impl World {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// It must have been refused with this text.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, text: &str) {
    match answer {
        Err(error) => assert!(error.to_string().contains(text), "{text:?} is not in {error}"),
        Ok(answer) => panic!("not refused: {answer:?}"),
    }
}

async fn put_get_delete(world: &mut World) -> Outcome {
    let key = world.key("a");
    world.one.put(key.as_str(), "1", None).await?;
    let found = world.two.get(key.as_str(), None).await?;
    assert_eq!(found.kvs()[0].value_str()?, "1");
    let options = Some(PutOptions::new().with_prev_key());
    let put = world.one.put(key.as_str(), "2", options).await?;
    assert_eq!(put.prev_key().ok_or("no previous value")?.value_str()?, "1");
    for number in 0..25 {
        world.one.put(world.key(&format!("list/{number:02}")), number.to_string(), None).await?;
    }
    let options = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Key, SortOrder::Descend)
        .with_limit(3);
    let found = world.two.get(world.key("list/"), Some(options)).await?;
    let values: Vec<&str> = found.kvs().iter().filter_map(|kv| kv.value_str().ok()).collect();
    assert_eq!((values, found.more(), found.count()), (vec!["24", "23", "22"], true, 25));
    let old = GetOptions::new().with_revision(put.header().ok_or("no header")?.revision() - 1);
    assert_eq!(world.two.get(key.as_str(), Some(old)).await?.kvs()[0].value_str()?, "1");
    let options = DeleteOptions::new().with_prefix().with_prev_key();
    let gone = world.two.delete(world.key("list/"), Some(options)).await?;
    assert_eq!((gone.deleted(), gone.prev_kvs().len()), (25, 25));
    assert_eq!(world.one.get(world.key("list/"), None).await?.kvs().len(), 0);
    Ok(())
}

async fn transactions(world: &mut World) -> Outcome {
    let key = world.key("txn");
    world.one.put(key.as_str(), "old", None).await?;
    let swap = |from: &str, to: &str| {
        Txn::new()
            .when([
                Compare::value(key.as_str(), CompareOp::Equal, from),
                Compare::version(key.as_str(), CompareOp::Greater, 0),
            ])
            .and_then([TxnOp::put(key.as_str(), to, None), TxnOp::get(key.as_str(), None)])
            .or_else([TxnOp::get(key.as_str(), None)])
    };
    let done = world.two.txn(swap("old", "new")).await?;
    assert!(done.succeeded());
    match &done.op_responses()[1] {
        TxnOpResponse::Get(found) => assert_eq!(found.kvs()[0].value_str()?, "new"),
        other => panic!("{other:?}"),
    }
    assert!(!world.one.txn(swap("old", "never")).await?.succeeded());
    let nested = Txn::new().and_then([TxnOp::txn(swap("new", "newer"))]);
    assert!(world.one.txn(nested).await?.succeeded());
    assert_eq!(world.two.get(key.as_str(), None).await?.kvs()[0].value_str()?, "newer");
    let twice = Txn::new()
        .and_then([TxnOp::put(key.as_str(), "1", None), TxnOp::put(key.as_str(), "2", None)]);
    refused(world.one.txn(twice).await, "etcdserver: duplicate key given in txn request");
    refused(world.one.put("", "x", None).await, "etcdserver: key is not provided");
    Ok(())
}

async fn watch(world: &mut World) -> Outcome {
    let key = world.key("watch/a");
    let options = WatchOptions::new().with_prefix().with_prev_key();
    let mut stream = world.two.watch(world.key("watch/"), Some(options)).await?;
    let first = world.one.put(key.as_str(), "1", None).await?;
    world.one.put(key.as_str(), "2", None).await?;
    world.one.delete(key.as_str(), None).await?;
    let (mut seen, mut number) = (Vec::new(), 0);
    while seen.len() < 3 {
        let message = stream.message().await?.ok_or("the watch ended")?;
        number = message.watch_id();
        seen.extend(message.events().to_vec());
    }
    let kinds: Vec<EventType> = seen.iter().map(|event| event.event_type()).collect();
    assert_eq!(kinds, [EventType::Put, EventType::Put, EventType::Delete]);
    assert_eq!(seen[2].prev_kv().ok_or("no previous value")?.value_str()?, "2");
    stream.request_progress().await?;
    let progress = stream.message().await?.ok_or("the watch ended")?;
    assert!(progress.events().is_empty());
    stream.cancel(number).await?;
    let canceled = stream.message().await?.ok_or("the watch ended")?;
    assert!(canceled.canceled());
    let from = first.header().ok_or("no header")?.revision();
    let options = WatchOptions::new().with_start_revision(from);
    let mut past = world.one.watch(key.as_str(), Some(options)).await?;
    let mut count = 0;
    while count < 3 {
        count += past.message().await?.ok_or("the watch ended")?.events().len();
    }
    Ok(())
}

async fn leases(world: &mut World) -> Outcome {
    let key = world.key("leased");
    let lease = world.one.lease_grant(60, None).await?;
    let options = Some(PutOptions::new().with_lease(lease.id()));
    world.one.put(key.as_str(), "x", options).await?;
    let (mut keeper, mut answers) = world.two.lease_keep_alive(lease.id()).await?;
    keeper.keep_alive().await?;
    assert_eq!(answers.message().await?.ok_or("no answer")?.ttl(), 60);
    let options = etcd_client::LeaseTimeToLiveOptions::new().with_keys();
    let left = world.two.lease_time_to_live(lease.id(), Some(options)).await?;
    assert_eq!((left.granted_ttl(), left.keys()), (60, &[key.clone().into_bytes()][..]));
    let all = world.two.leases().await?;
    assert!(all.leases().iter().any(|known| known.id() == lease.id()));
    world.two.lease_revoke(lease.id()).await?;
    assert!(world.one.get(key.as_str(), None).await?.kvs().is_empty());
    refused(world.one.lease_revoke(lease.id()).await, "etcdserver: requested lease not found");
    let short = world.one.lease_grant(5, None).await?;
    let mut stream = world.two.watch(key.as_str(), None).await?;
    world.one.put(key.as_str(), "x", Some(PutOptions::new().with_lease(short.id()))).await?;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(stream.message().await?.ok_or("the watch ended")?.events().to_vec());
    }
    assert_eq!(seen[1].event_type(), EventType::Delete);
    Ok(())
}

async fn locks(world: &mut World) -> Outcome {
    let name = world.key("lock");
    let lease = world.one.lease_grant(30, None).await?;
    let held =
        world.one.lock(name.as_str(), Some(LockOptions::new().with_lease(lease.id()))).await?;
    assert!(held.key().starts_with(name.as_bytes()));
    let mut other = world.two.clone();
    let waiting = tokio::spawn(async move { other.lock(name.as_str(), None).await });
    world.one.unlock(held.key()).await?;
    let second = waiting.await??;
    world.two.unlock(second.key()).await?;
    world.one.lease_revoke(lease.id()).await?;
    Ok(())
}

async fn elections(world: &mut World) -> Outcome {
    let name = world.key("election");
    let (first, second) =
        (world.one.lease_grant(30, None).await?, world.two.lease_grant(30, None).await?);
    let won = world.one.campaign(name.as_str(), "first", first.id()).await?;
    let leader = won.leader().ok_or("no leader")?.clone();
    let mut observed = world.two.observe(name.as_str()).await?;
    let seen = observed.message().await?.ok_or("the stream ended")?;
    assert_eq!(seen.kv().ok_or("no value")?.value_str()?, "first");
    let options = Some(etcd_client::ProclaimOptions::new().with_leader(leader.clone()));
    world.one.proclaim("still first", options).await?;
    let seen = observed.message().await?.ok_or("the stream ended")?;
    assert_eq!(seen.kv().ok_or("no value")?.value_str()?, "still first");
    let (mut other, election) = (world.two.clone(), name.clone());
    let waiting =
        tokio::spawn(async move { other.campaign(election, "second", second.id()).await });
    world.one.resign(Some(ResignOptions::new().with_leader(leader))).await?;
    waiting.await??;
    let now = world.one.leader(name.as_str()).await?;
    assert_eq!(now.kv().ok_or("no leader")?.value_str()?, "second");
    Ok(())
}

async fn members_and_maintenance(world: &mut World) -> Outcome {
    let members = world.one.member_list().await?;
    assert_eq!(members.members().len(), world.settings.endpoints().len());
    let status = world.two.status().await?;
    assert!(members.members().iter().any(|member| member.id() == status.leader()));
    assert!(status.version().starts_with("3.") && status.db_size() > 0);
    let alarms = world.one.alarm(AlarmAction::Get, AlarmType::None, None).await?;
    assert!(alarms.alarms().is_empty());
    assert!(world.one.hash_kv(0).await?.hash() > 0);
    let mut snapshot = world.two.snapshot().await?;
    let mut size = 0;
    while let Some(part) = snapshot.message().await? {
        size += part.blob().len();
    }
    assert!(size > 4096, "a snapshot of {size} bytes");
    world.one.defragment().await?;
    Ok(())
}

async fn compaction(world: &mut World) -> Outcome {
    let key = world.key("old");
    let revision = |answer: &etcd_client::PutResponse| answer.header().map_or(0, |h| h.revision());
    let before = revision(&world.one.put(key.as_str(), "1", None).await?);
    let now = revision(&world.one.put(key.as_str(), "2", None).await?);
    world.two.compact(now, Some(etcd_client::CompactionOptions::new().with_physical())).await?;
    let old = Some(GetOptions::new().with_revision(before));
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    refused(world.one.get(key.as_str(), old).await, compacted);
    Ok(())
}

/// As somebody with the role root, while users are asked for.
async fn users_and_permissions(world: &mut World) -> Outcome {
    let name = world.prefix.replace('/', "-");
    let one = &mut world.one;
    one.role_add(name.as_str()).await?;
    refused(one.role_add(name.as_str()).await, "etcdserver: role name already exists");
    let permission = Permission::new(PermissionType::Read, world.prefix.as_str()).with_prefix();
    one.role_grant_permission(name.as_str(), permission.clone()).await?;
    assert_eq!(one.role_get(name.as_str()).await?.permissions(), [permission]);
    one.user_add(name.as_str(), "secret", None).await?;
    one.user_grant_role(name.as_str(), name.as_str()).await?;
    assert_eq!(one.user_get(name.as_str()).await?.roles(), [name.as_str()]);
    one.put(format!("{}a", world.prefix), "x", None).await?;
    let mut reader = world.settings.connect(Some(&format!("{name}:secret"))).await?;
    let denied = "etcdserver: permission denied";
    assert_eq!(reader.get(world.key("a"), None).await?.kvs().len(), 1);
    refused(reader.put(world.key("a"), "y", None).await, denied);
    world.one.user_delete(name.as_str()).await?;
    world.one.role_delete(name.as_str()).await?;
    let mut limited = world.settings.connect(world.settings.get("limited")).await?;
    limited.put("limited/a", "mine", None).await?;
    assert_eq!(limited.get("limited/a", None).await?.kvs()[0].value_str()?, "mine");
    refused(limited.get("", Some(GetOptions::new().with_all_keys())).await, denied);
    refused(limited.user_list().await, denied);
    let wrong = world.settings.connect(Some("root:wrong")).await.map(drop);
    refused(wrong, "etcdserver: authentication failed, invalid user ID or password");
    if world.settings.get("cert").is_none() {
        let mut nobody = world.settings.connect(None).await?;
        refused(nobody.get("limited/a", None).await, "etcdserver: user name is empty");
    }
    Ok(())
}

/// Runs checks, counts those that fail.
macro_rules! run {
    ($world:ident, $failed:ident: $($check:ident),+ $(,)?) => {
        $(
            match $check(&mut $world).await {
                Ok(()) => println!("ok      {}", stringify!($check)),
                Err(error) => {
                    println!("FAILED  {}: {error}", stringify!($check));
                    $failed += 1;
                }
            }
        )+
    };
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let settings = Settings::read();
    let (one, two) = (
        settings.connect(settings.get("user")).await?,
        settings.connect(settings.get("user")).await?,
    );
    let prefix = format!("checks/{}/", std::process::id());
    let mut world = World { settings, one, two, prefix };
    let mut failed = 0;
    run!(world, failed: put_get_delete, transactions, watch, leases, locks, elections);
    run!(world, failed: members_and_maintenance, compaction);
    if world.settings.get("user").is_some() {
        run!(world, failed: users_and_permissions);
    }
    match failed {
        0 => println!("all checks hold"),
        _ => std::process::exit(1),
    }
    Ok(())
}
