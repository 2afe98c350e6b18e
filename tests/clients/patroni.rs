//! Patroni and PostgreSQL, who trust etcd with the question of who is primary: two databases
//! whose failover is decided through three of our nodes, of which one is lost, too. Once by the
//! v3 API, once by v2, as clusters have it that are older than Patroni's `etcd3`.
//!
//! Both are Debian's packages. PostgreSQL refuses root, so root starts them as the package's
//! user, in a directory that this user can reach.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, chown, geteuid};

use crate::member::get;
use crate::support::eventually;
use crate::support::ports::{self, Port};
use crate::support::tools;
use crate::world::{Wire, World};

/// The user PostgreSQL's package makes.
const USER: &str = "postgres";

/// Where a program is, or what to install.
fn program(name: &str, package: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(name));
    found
        .into_iter()
        .find(|program| program.is_file())
        .ok_or(format!("{name} is missing, apt-get install {package}"))
}

/// The directory of initdb and postgres, which Debian keeps off the path.
fn binaries() -> Result<PathBuf, String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .find(|directory| directory.join("postgres").is_file())
        .ok_or("postgres is missing, apt-get install postgresql".into())
}

/// Which API Patroni asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    V2,
    V3,
}

impl Api {
    /// The name of its section of Patroni's settings.
    fn section(self) -> &'static str {
        match self {
            Api::V2 => "etcd",
            Api::V3 => "etcd3",
        }
    }

    /// Whom the cluster says to be primary.
    fn leader(self, world: &World) -> String {
        match self {
            Api::V2 => world.v2_value("/service/shop/leader"),
            Api::V3 => world.value("/service/shop/leader"),
        }
    }

    /// Python's library for it, or what to install. Patroni brings the one for v3.
    fn library(self) -> Result<PathBuf, String> {
        let python = PathBuf::from("/usr/bin/python3");
        if self == Api::V3 {
            return Ok(python);
        }
        let found = Command::new(&python).args(["-c", "import etcd"]).output();
        match found.is_ok_and(|output| output.status.success()) {
            true => Ok(python),
            false => Err("python-etcd is missing, apt-get install python3-etcd".into()),
        }
    }
}

/// A Patroni with its PostgreSQL.
struct Database {
    name: &'static str,
    directory: PathBuf,
    rest: Port,
    sql: Port,
    child: Option<Child>,
}

impl Database {
    fn new(name: &'static str, root: &Path, api: Api, etcd: &str) -> Database {
        let directory = root.join(name);
        std::fs::create_dir(&directory).unwrap();
        let database = Database {
            name,
            directory,
            rest: ports::reserve(),
            sql: ports::reserve(),
            child: None,
        };
        std::fs::write(database.directory.join("patroni.yml"), database.settings(api, etcd))
            .unwrap();
        if geteuid().is_root() {
            let user = User::from_name(USER).unwrap().expect("the user of the package");
            chown(&database.directory, Some(user.uid), Some(user.gid)).unwrap();
        }
        database
    }

    /// JSON, which is YAML as well.
    fn settings(&self, api: Api, etcd: &str) -> String {
        let (rest, sql) =
            (format!("127.0.0.1:{}", self.rest.number), format!("127.0.0.1:{}", self.sql.number));
        let trust = [
            "local all all trust",
            "host all all 127.0.0.1/32 trust",
            "host replication all 127.0.0.1/32 trust",
        ];
        serde_json::json!({
            "scope": "shop",
            "name": self.name,
            "restapi": { "listen": rest, "connect_address": rest },
            (api.section()): { "hosts": etcd },
            "bootstrap": {
                "dcs": {
                    "ttl": 8, "loop_wait": 1, "retry_timeout": 3,
                    "postgresql": { "use_pg_rewind": false },
                },
                "initdb": [{ "encoding": "UTF8" }, { "auth": "trust" }, "no-sync"],
                "pg_hba": trust,
            },
            "postgresql": {
                "listen": sql,
                "connect_address": sql,
                "data_dir": self.directory.join("data"),
                "bin_dir": binaries().unwrap(),
                "pgpass": self.directory.join("pgpass"),
                "pg_hba": trust,
                "remove_data_directory_on_diverged_timelines": true,
                "authentication": {
                    "superuser": { "username": "postgres", "password": "x" },
                    "replication": { "username": "replicator", "password": "x" },
                },
                "parameters": {
                    "unix_socket_directories": self.directory,
                    "shared_buffers": "16MB",
                    "max_connections": 20,
                    "fsync": "off",
                },
            },
        })
        .to_string()
    }

    fn start(&mut self) {
        let log = self.directory.with_extension("log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
            command.args(["--pdeathsig", "TERM"]).arg(program("patroni", "patroni").unwrap());
            command
        } else {
            Command::new(program("patroni", "patroni").unwrap())
        };
        command
            .arg(self.directory.join("patroni.yml"))
            .current_dir(&self.directory)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until Patroni says that its database is a `primary` or a `replica`.
    fn wait(&self, role: &str) {
        eventually(role, || match get(self.rest.number, &format!("/{role}"), None, "")? {
            (200, _) => Ok(()),
            other => Err(format!("{} says {other:?}", self.name)),
        });
    }

    fn sql(&self, statement: &str) -> Result<String, String> {
        let output = Command::new(program("psql", "postgresql-client")?)
            .args(["-X", "-A", "-t", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres"])
            .args(["-p", &self.sql.number.to_string(), "-c", statement])
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Writes a row; a server that has just become primary may still be closing connections.
    fn insert(&self, row: &str) {
        eventually("a written row", || self.sql(&format!("insert into orders values ('{row}')")));
    }

    fn wait_rows(&self, rows: &str) {
        eventually("replicated rows", || {
            match self.sql("select string_agg(id, ' ' order by id) from orders")? {
                seen if seen == rows => Ok(()),
                seen => Err(format!("{} has {seen:?}", self.name)),
            }
        });
    }

    /// Patroni and PostgreSQL die together, without a last word.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if let Some(server) = self.server() {
            // It may have ended with Patroni.
            let _ = kill(server, Signal::SIGKILL);
        }
    }

    /// The first process of its PostgreSQL.
    fn server(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        // A number in a file may have become somebody else's.
        let ours = String::from_utf8_lossy(&words).contains(self.directory.to_str()?);
        ours.then(|| Pid::from_raw(pid))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(server) = self.server() {
            // At once, but with its shared memory given back.
            let _ = kill(server, Signal::SIGQUIT);
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.with_extension("log"));
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("--- log of {}\n{end}", self.name);
        }
    }
}

#[test]
fn patroni_fails_over_through_our_cluster() {
    fails_over(Api::V3);
}

#[test]
fn patroni_fails_over_through_the_v2_keys() {
    fails_over(Api::V2);
}

fn fails_over(api: Api) {
    let needed = [
        api.library(),
        program("patroni", "patroni"),
        program("psql", "postgresql-client"),
        program("setpriv", "util-linux"),
        binaries(),
    ];
    if !tools::are_there(needed) {
        return;
    }
    let mut world = World::start(Wire::Plain);
    let root = tempfile::Builder::new().prefix("patroni-").tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.path(), open).unwrap();
    let hosts = world.hosts();
    let mut first = Database::new("first", root.path(), api, &hosts);
    let mut second = Database::new("second", root.path(), api, &hosts);

    first.start();
    first.wait("primary");
    second.start();
    second.wait("replica");
    assert_eq!(api.leader(&world), "first");
    first.sql("create table orders (id text)").unwrap();
    first.insert("a");
    second.wait_rows("a");

    first.kill();
    second.wait("primary");
    assert_eq!(api.leader(&world), "second");
    second.insert("b");

    // The member that leads is lost, and Patroni still agrees on who is who.
    world.kill_leader();
    first.start();
    first.wait("replica");
    second.insert("c");
    first.wait_rows("a b c");
    assert_eq!(api.leader(&world), "second");
}
