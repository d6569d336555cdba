//! What is answered in the C library's place: the time, chance, and how long a thread may sleep that waits for files.
//!
//! The linker takes these functions for whoever calls them by their names, the standard library and all crates included.
//! As long as the machine is not taken over they hand everything on to the kernel.
#![expect(unsafe_code, reason = "functions of the C library take pointers")]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::LazyLock;

use libc::{DIR, clockid_t, epoll_event, pthread_attr_t, pthread_t, size_t, ssize_t, timespec};

use super::{chance, is_of_world, is_taken_over, monotonic, sleep, threads, wall};

type ThreadMain = extern "C" fn(*mut c_void) -> *mut c_void;
type CreateThread =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, ThreadMain, *mut c_void) -> c_int;

#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let now = match clock {
        _ if !is_of_world() => None,
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_BOOTTIME => Some(monotonic()),
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => Some(wall()),
        _ => None,
    };
    match now {
        // SAFETY: whoever calls this has room for a time there.
        Some(now) => unsafe {
            time.write(timespec { tv_sec: now / 1_000_000_000, tv_nsec: now % 1_000_000_000 });
            0
        },
        // SAFETY: the kernel checks what it is given.
        None => answer(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) }),
    }
}

#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if !is_taken_over() || length == 0 {
        // SAFETY: the kernel checks what it is given.
        let taken = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return ssize_t::try_from(taken).unwrap_or(-1);
    }
    // SAFETY: whoever calls this has room for so many bytes there.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for piece in buffer.chunks_mut(8) {
        piece.copy_from_slice(&chance().to_le_bytes()[..piece.len()]);
    }
    ssize_t::try_from(length).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn epoll_wait(files: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int {
    let wait = |timeout: c_int| {
        let mask = std::ptr::null::<c_void>();
        // SAFETY: the kernel checks what it is given.
        answer(unsafe { libc::syscall(libc::SYS_epoll_pwait, files, events, most, timeout, mask, 8_usize) })
    };
    if !is_of_world() || !sleep::is_stepping() {
        return wait(timeout);
    }
    if timeout == 0 {
        sleep::look_around();
        return wait(0);
    }
    match wait(0) {
        0 => {}
        found => return found,
    }
    if threads::give_a_turn() {
        return wait(0);
    }
    sleep::fall_asleep(timeout);
    0
}

/// The processes of this machine are none of the world's.
#[unsafe(no_mangle)]
extern "C" fn opendir(name: *const c_char) -> *mut DIR {
    // SAFETY: whoever calls this names a folder by a string.
    if is_taken_over() && unsafe { CStr::from_ptr(name) } == c"/proc" {
        // SAFETY: it is this thread's.
        unsafe { *libc::__errno_location() = libc::ENOENT };
        return null_mut();
    }
    // SAFETY: the kernel checks what it is given, and what it has opened is ours to give on.
    unsafe {
        let folder = libc::open(name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
        if folder < 0 { null_mut() } else { libc::fdopendir(folder) }
    }
}

#[unsafe(no_mangle)]
extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    main: ThreadMain,
    argument: *mut c_void,
) -> c_int {
    static CREATE: LazyLock<Option<CreateThread>> = LazyLock::new(|| {
        // SAFETY: the C library has a function of that name and type, or none.
        unsafe {
            let create = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
            std::mem::transmute::<*mut c_void, Option<CreateThread>>(create)
        }
    });
    threads::note_new();
    match *CREATE {
        // SAFETY: it is what the caller has asked for.
        Some(create) => unsafe { create(thread, attributes, main, argument) },
        None => libc::EAGAIN,
    }
}

/// What the kernel has answered, the error being where the C library leaves it.
fn answer(answer: c_long) -> c_int {
    c_int::try_from(answer).unwrap_or(-1)
}
