//! The usual ways: a limiter inside one process, and a script on a redis server.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::measure::Limiter;
use crate::node::LIMITS;

/// One limiter of the `governor` crate per limit, all for one key.
pub(crate) struct Governor(Vec<DefaultDirectRateLimiter>);

impl Governor {
    pub(crate) fn new(limits: usize) -> Self {
        let quota = Quota::per_second(NonZeroU32::MAX);
        Self((0..limits).map(|_| RateLimiter::direct(quota)).collect())
    }
}

impl Limiter for Governor {
    type Hand = ();
    type Held = ();

    fn hand(&self) {}

    fn keys(&self) -> usize {
        1
    }

    fn admit(&self, (): &mut (), _: usize) {
        for limiter in &self.0 {
            assert!(limiter.check().is_ok());
        }
    }

    fn finish(&self, (): &mut (), (): ()) {}
}

/// One limiter of the `governor` crate per limit, each of which keeps a map of its keys.
pub(crate) struct KeyedGovernor {
    limiters: Vec<DefaultKeyedRateLimiter<usize>>,
    keys: usize,
}

impl KeyedGovernor {
    /// The same limits as the node has, over so many keys, of which every one is known.
    pub(crate) fn new(keys: usize, limits: usize) -> Self {
        let quota = Quota::per_second(NonZeroU32::MAX);
        let limiters = (0..limits).map(|_| RateLimiter::keyed(quota)).collect();
        let governor = Self { limiters, keys };
        for key in 0..keys {
            governor.admit(&mut (), key);
        }
        governor
    }
}

impl Limiter for KeyedGovernor {
    type Hand = ();
    type Held = ();

    fn hand(&self) {}

    fn keys(&self) -> usize {
        self.keys
    }

    fn admit(&self, (): &mut (), key: usize) {
        for (limiter, (_, width)) in self.limiters.iter().zip(LIMITS) {
            assert!(limiter.check_key(&width.of(key)).is_ok());
        }
    }

    fn finish(&self, (): &mut (), (): ()) {}
}

/// A redis server of this run's own: nothing is written to disk.
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(program: &Path) -> Result<Self, Box<dyn Error>> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self {
            process,
            address: address.to_string(),
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&server.address).is_err() {
            if Instant::now() > deadline {
                return Err("the redis server does not answer".into());
            }
            thread::yield_now();
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that cannot be killed has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Admits by all limits or none, in windows that begin with the first request.
const SCRIPT: &str = "
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') + 2 > tonumber(ARGV[1]) then return 0 end
end
for i, key in ipairs(KEYS) do
  if redis.call('INCRBY', key, 2) == 2 then redis.call('PEXPIRE', key, 3600000) end
end
return 1";

/// The script, called over a connection of the thread's own.
pub(crate) struct Redis<'a> {
    server: &'a Server,
    /// The whole call of each key, as it is sent.
    calls: Vec<Vec<u8>>,
}

impl<'a> Redis<'a> {
    pub(crate) fn new(
        server: &'a Server,
        keys: usize,
        limits: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let mut connection = Connection::open(&server.address)?;
        let hash = connection.call(&encode(&["SCRIPT", "LOAD", SCRIPT]))?;
        let call = |key: usize| {
            let names: Vec<String> = (0..limits)
                .map(|limit| match limit {
                    0 | 1 => format!("limit{limit}/key=k{key:08}"),
                    2 | 3 => format!("limit{limit}/team=acme/team{}", key / 100),
                    _ => format!("limit{limit}"),
                })
                .collect();
            let count = limits.to_string();
            let mut words = vec!["EVALSHA", &hash, &count];
            words.extend(names.iter().map(String::as_str));
            words.push("1000000000000");
            encode(&words)
        };
        Ok(Self {
            server,
            calls: (0..keys).map(call).collect(),
        })
    }
}

impl Limiter for Redis<'_> {
    type Hand = Option<Connection>;
    type Held = ();
    const WAITS: bool = true;

    fn hand(&self) -> Option<Connection> {
        Connection::open(&self.server.address).ok()
    }

    fn keys(&self) -> usize {
        self.calls.len()
    }

    fn admit(&self, hand: &mut Option<Connection>, key: usize) {
        let answer = hand
            .as_mut()
            .map(|connection| connection.call(&self.calls[key]));
        assert!(
            matches!(&answer, Some(Ok(answer)) if answer == "1"),
            "{answer:?}"
        );
    }

    fn finish(&self, _: &mut Option<Connection>, (): ()) {}
}

/// As much of redis's protocol (RESP2) as one call needs.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn call(&mut self, call: &[u8]) -> Result<String, Box<dyn Error>> {
        self.0.get_mut().write_all(call)?;
        let line = self.line()?;
        match line.split_at_checked(1) {
            Some((":" | "+", value)) => Ok(value.to_owned()),
            Some(("$", _)) => self.line(),
            _ => Err(format!("redis said `{line}`").into()),
        }
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut call = format!("*{}\r\n", words.len());
    for word in words {
        call.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    call.into_bytes()
}
