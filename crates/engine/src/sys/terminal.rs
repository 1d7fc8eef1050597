//! Terminals of containers.

use super::{Context, Failure, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Major number of `/dev/ptmx` and of every `ptmx` in a devpts.
const PTMX: (u32, u32) = (5, 2);

/// A new terminal of the devpts whose folder this is: what the helper holds, and the program's end.
pub fn open(devpts: impl AsFd) -> Result<(OwnedFd, OwnedFd)> {
    let failed = || "cannot open a terminal".to_owned();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = openat(devpts, "ptmx", flags, Mode::empty()).context(failed)?;
    let stat = fstat(&master).context(failed)?;
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    if !FileType::from_raw_mode(stat.st_mode).is_char_device() || (major, minor) != PTMX {
        return Err(Failure("cannot open a terminal: /dev/pts/ptmx is no terminal".to_owned()));
    }
    unlockpt(&master).context(failed)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags).context(failed)?;
    Ok((master, slave))
}

pub fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> rustix::io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size)
}
