//! What a worker of sandbox `a`, epoch 1, writes on its connection by itself, put together at random: frames that no client makes,
//! those of other protocols, and such whose length is not what they say.

use testing::random::Random;

use super::drawn::{Attempt, Dice};

/// What would do something by itself.
const HIDDEN: &str = "\r\nPUB mh.evt.0.v.log 4\r\nevil\r\nPUB mh.cmd.v.bash.1 4\r\nevil\r\nSUB > 9\r\n";
/// Between the words of a frame.
const SPACES: [&str; 4] = [" ", "  ", "\t", " \t "];
/// What is put into subjects.
const ODD: [&[u8]; 8] = [b"\0", b".", b"..", b"\xff", "\u{a0}".as_bytes(), b"*", b"\x0b", b"\\"];

pub struct Frames {
    dice: Dice,
    random: Random,
}

impl Frames {
    pub fn new() -> Self {
        Self { dice: Dice::new(), random: Random::seeded() }
    }

    /// One that the server reads to its end, and goes on.
    pub fn whole(&mut self) -> Vec<u8> {
        match self.random.below(8) {
            0 => {
                let number = self.random.below(20);
                format!("UNSUB {number} {}\r\n", self.random.below(3)).into_bytes()
            }
            1 => self.subscription(),
            _ => self.publication(),
        }
    }

    pub fn subscription(&mut self) -> Vec<u8> {
        let (pattern, group) = (self.dice.pattern(), ["", "workers", "gateways"]);
        let group = *self.random.pick(&group);
        let number = self.random.below(1 << 20).to_string();
        let words: Vec<&str> =
            [&pattern, group, &number].into_iter().filter(|word| !word.is_empty()).collect();
        let verb = self.verb("SUB");
        self.line(&verb, &words)
    }

    /// One after which the server hangs up, or waits for more.
    pub fn broken(&mut self) -> Vec<u8> {
        let Attempt { subject, reply, body, .. } = self.dice.attempt();
        let reply = reply.unwrap_or_default();
        let size = body.len();
        let frames = [
            // Lengths that are not true.
            format!("PUB {subject} -1\r\n{HIDDEN}"),
            format!("PUB {subject} {}\r\n{body}{HIDDEN}", u64::MAX),
            format!("PUB {subject} 18446744073709551616{size}\r\n{body}{HIDDEN}"),
            format!("PUB {subject} 8388609\r\n{body}{HIDDEN}"),
            format!("PUB {subject} {}\r\n{body}{HIDDEN}", size + 1),
            format!("PUB {subject} 0\r\n{body}{HIDDEN}"),
            format!("HPUB {subject} 12 {size}\r\nNATS/1.0\r\n\r\n{body}{HIDDEN}"),
            format!("HPUB {subject} 99 {}\r\nNATS/1.0\r\n\r\n{body}{HIDDEN}", size + 12),
            format!("HPUB {subject} 0 {size}\r\n{body}{HIDDEN}"),
            format!("HPUB {subject} {size}\r\n{body}{HIDDEN}"),
            // Words too many, or none.
            format!("PUB {subject} {reply} {subject} {size}\r\n{body}{HIDDEN}"),
            format!("PUB{HIDDEN}"),
            format!("PUB mh.rec.a\r\n{HIDDEN}"),
            format!("SUB {subject} a b 1{HIDDEN}"),
            format!("SUB{HIDDEN}"),
            format!("PUB {}{subject} {size}\r\n{body}{HIDDEN}", "x.".repeat(3_000)),
            // What servers say to each other, to leaves and to clients.
            format!("RS+ $G {subject}\r\nRMSG $G {subject} {size}\r\n{body}{HIDDEN}"),
            format!("RMSG $G {subject} {reply} {size}\r\n{body}{HIDDEN}"),
            format!("RMSG $SYS {subject} {size}\r\n{body}{HIDDEN}"),
            format!("A+ $SYS{HIDDEN}"),
            format!("A- $SYS{HIDDEN}"),
            format!("LS+ {subject}{HIDDEN}"),
            format!("LMSG {subject} {size}\r\n{body}{HIDDEN}"),
            format!("MSG {subject} 1 {size}\r\n{body}{HIDDEN}"),
            format!("HMSG {subject} 1 12 {}\r\nNATS/1.0\r\n\r\n{body}{HIDDEN}", size + 12),
            format!("-ERR 'Stale Connection'{HIDDEN}"),
            format!("+OK{HIDDEN}"),
            format!("INFO {{\"connect_urls\":[\"127.0.0.1:1\"],\"server_id\":\"x\"}}{HIDDEN}"),
            // To be somebody else.
            format!("CONNECT {{\"verbose\":false}}{HIDDEN}"),
            format!("CONNECT {{\"user\":\"gateway\",\"pass\":\"\",\"account\":\"$SYS\"}}{HIDDEN}"),
            format!("CONNECT {{\"account\":\"$G\",\"new_account\":true}}{HIDDEN}"),
            format!("CONNECT {{\"jwt\":\"e30.e30.\",\"sig\":\"\",\"nkey\":\"UA\"}}{HIDDEN}"),
            format!(
                "CONNECT {{\"name\":\"x\",\"remote_account\":\"$SYS\",\"cluster\":\"x\",\"gateway\":\"x\"}}{HIDDEN}"
            ),
            format!("GET /jsz HTTP/1.1\r\nHost: {subject}\r\n{HIDDEN}"),
        ];
        self.random.pick(&frames).clone().into_bytes()
    }

    fn publication(&mut self) -> Vec<u8> {
        let Attempt { subject, reply, headers, body } = self.dice.attempt();
        let (subject, reply) = (self.odd(subject), reply.unwrap_or_default());
        let body = if self.random.below(4) == 0 { format!("{body}{HIDDEN}") } else { body };
        let head = headers.map_or_else(String::new, |headers| {
            let lines = headers
                .iter()
                .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}: {value}\r\n")));
            format!("NATS/1.0\r\n{}\r\n", lines.collect::<String>())
        });
        let (head_size, size) = (head.len().to_string(), (head.len() + body.len()).to_string());
        let (verb, head_size) = if head.is_empty() { ("PUB", "") } else { ("HPUB", head_size.as_str()) };
        let verb = self.verb(verb);
        let words = [reply.as_str(), head_size, size.as_str()].map(str::as_bytes);
        let words = [&subject[..]].into_iter().chain(words.into_iter().filter(|word| !word.is_empty()));
        let mut frame = verb.into_bytes();
        for word in words {
            frame.extend_from_slice(self.random.pick(&SPACES).as_bytes());
            frame.extend_from_slice(word);
        }
        [&frame[..], b"\r\n", head.as_bytes(), body.as_bytes(), b"\r\n"].concat()
    }

    fn line(&mut self, verb: &str, words: &[&str]) -> Vec<u8> {
        let mut line = verb.to_owned();
        for word in words {
            let space: &&str = self.random.pick(&SPACES);
            line.push_str(space);
            line.push_str(word);
        }
        format!("{line}\r\n").into_bytes()
    }

    /// Large and small letters are the same to the server.
    fn verb(&mut self, verb: &str) -> String {
        let mixed = verb.chars().map(|letter| match self.random.below(4) {
            0 => letter.to_ascii_lowercase(),
            _ => letter,
        });
        mixed.collect()
    }

    /// Mostly as it is.
    fn odd(&mut self, subject: String) -> Vec<u8> {
        let mut bytes = subject.into_bytes();
        if self.random.below(4) == 0 {
            let at = self.random.below(bytes.len() as u64 + 1) as usize;
            let odd = *self.random.pick(&ODD);
            bytes.splice(at..at, odd.iter().copied());
        }
        bytes
    }
}
