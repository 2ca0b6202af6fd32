//! Files that tell what went on: TLS's secrets for those who read packets, and a qlog of each connection.
//!
//! What cannot be written is lost, and said once; connections do not end for it.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use webtransport_proto::Qlog;
use webtransport_proto::tls::KeyLog;

/// TLS's secrets, one line for each in the format of NSS, which Wireshark and its kind read
pub struct KeyLogFile {
    path: PathBuf,
    /// `None` after an error
    file: Mutex<Option<File>>,
}

impl KeyLogFile {
    /// Append to `path`, or create it for its owner's eyes only
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { path: path.to_owned(), file: Mutex::new(Some(options.open(path)?)) })
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = label.to_owned();
        for bytes in [client_random, secret] {
            line.push(' ');
            for byte in bytes {
                let _ = write!(line, "{byte:02x}"); // into a String: it cannot fail
            }
        }
        line.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // In one piece, for other processes may append to the same file
        if let Some(Err(error)) = file.as_mut().map(|file| file.write_all(line.as_bytes())) {
            tracing::warn!(path = %self.path.display(), %error, "key log ends");
            *file = None;
        }
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyLogFile").field(&self.path).finish()
    }
}

/// A directory with one `.sqlog` file for each connection
#[derive(Debug)]
pub struct QlogDir(PathBuf);

impl QlogDir {
    /// Use a directory, which is made if there is none
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Qlog for QlogDir {
    fn open(&self, name: &str) -> Option<Box<dyn Write + Send + Sync>> {
        let path = self.0.join(format!("{name}.sqlog"));
        match File::create(&path) {
            Ok(file) => Some(Box::new(QlogFile { path, file: Some(BufWriter::with_capacity(BUFFER, file)) })),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot write a qlog");
                None
            }
        }
    }
}

/// Bytes of a qlog that wait for the next write: some hundred packets
const BUFFER: usize = 32 << 10;

struct QlogFile {
    path: PathBuf,
    /// `None` after an error
    file: Option<BufWriter<File>>,
}

impl QlogFile {
    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        if let Some(Err(error)) = self.file.as_mut().map(write) {
            tracing::warn!(path = %self.path.display(), %error, "qlog ends");
            // Without another attempt to write what is buffered
            let _ = self.file.take().map(BufWriter::into_parts);
        }
    }
}

impl Write for QlogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|file| file.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(BufWriter::flush);
        Ok(())
    }
}
