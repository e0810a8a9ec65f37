//! Memory for volumes: large blocks are kept and used again.
//!
//! The first touch of fresh pages costs more than most voxel loops: a fresh 8 MiB patch 5 to 9 ms
//! with pages of 4 KiB, a sixth of that with huge pages, and next to nothing when the block was in
//! use before. Systems give large blocks back at once, so this allocator keeps them: every block
//! from 256 KiB is mapped for itself with huge pages asked for, and goes to a shelf when it is freed.
//!
//! A program takes it with one line:
//!
//! ```ignore
//! #[global_allocator]
//! static MEMORY: voxstream::memory::Shelves = voxstream::memory::Shelves::new();
//! ```

#![expect(unsafe_code, reason = "a global allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Smallest block that is kept, in bytes.
const SMALLEST: usize = 256 << 10;
/// Bytes of a huge page; every kept block is aligned to it from this size on.
const HUGE: usize = 2 << 20;
/// Four sizes for each power of two from [`SMALLEST`] to 16 GiB: at most a fifth is wasted.
const SIZES: usize = 64;
/// Blocks of one size that may lie on its shelf.
const PLACES: usize = 64;

/// Bytes that may lie free at the top of the system's heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAP_TOP: libc::c_int = 64 << 20;

/// Most bytes that lie on the shelves; more goes back to the system.
static LIMIT: AtomicUsize = AtomicUsize::new(512 << 20);
/// Bytes that lie on the shelves now.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Bounds the bytes that are kept for later use; what is not kept leaves the process at once.
pub fn keep_at_most(bytes: usize) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// Has every large block mapped for itself, and the heap keep what small blocks leave free at its top.
///
/// By itself glibc stops mapping once a large block was freed, and takes them from a heap that has
/// holes and never shrinks: a training step of 1.5 GiB left 0.5 GiB. And it returns the top of the
/// heap back as soon as 128 KiB are free: a training of small patches took 26,000 fresh pages a
/// step, and an eighth of its time, only to have them back.
///
/// It is for programs whose large blocks come from [`Shelves`]: a process in which others take large
/// blocks from the system's heap (Python with NumPy and PyTorch, say) would map each of theirs anew.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle_heap() {
    // SAFETY: sets two numbers of the system's allocator, which may be set at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, SMALLEST as libc::c_int);
        libc::mallopt(libc::M_TRIM_THRESHOLD, HEAP_TOP);
    }
}

/// Has the system's heap keep what it is given; here it needs no word.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle_heap() {}

/// An allocator that keeps large blocks for later use and leaves small ones to the system.
#[derive(Debug)]
pub struct Shelves {
    shelves: [Shelf; SIZES],
}

/// Blocks of one size.
#[derive(Debug)]
struct Shelf {
    busy: AtomicBool,
    count: AtomicUsize,
    blocks: [AtomicUsize; PLACES],
}

impl Shelf {
    const fn new() -> Self {
        Self {
            busy: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            blocks: [const { AtomicUsize::new(0) }; PLACES],
        }
    }

    /// Runs `work` alone; an allocator cannot take a lock that allocates.
    fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        while self.busy.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        let result = work();
        self.busy.store(false, Ordering::Release);
        result
    }

    fn take(&self) -> Option<*mut u8> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.alone(|| {
            let last = self.count.load(Ordering::Relaxed).checked_sub(1)?;
            self.count.store(last, Ordering::Relaxed);
            Some(self.blocks[last].load(Ordering::Relaxed) as *mut u8)
        })
    }

    fn put(&self, block: *mut u8) -> bool {
        self.alone(|| {
            let count = self.count.load(Ordering::Relaxed);
            let free = count < PLACES;
            if free {
                self.blocks[count].store(block as usize, Ordering::Relaxed);
                self.count.store(count + 1, Ordering::Relaxed);
            }
            free
        })
    }
}

/// The shelf of a size, and the size of its blocks; `None` for blocks the system handles.
fn shelf_of(layout: &Layout) -> Option<(usize, usize)> {
    let size = layout.size();
    if size < SMALLEST || layout.align() > 4096 {
        return None;
    }
    let power = size.next_power_of_two();
    // Quarters between the power of two below and this one.
    let quarter = (power / 8).max(1);
    let block = size.next_multiple_of(quarter);
    let octave = (power.trailing_zeros() - SMALLEST.trailing_zeros()) as usize;
    let step = (power - block) / quarter;
    // The largest of an octave is step 0; an octave holds four sizes.
    let shelf = 4 * octave + 3 - step.min(3);
    (shelf < SIZES).then_some((shelf, block))
}

/// Alignment of a kept block: huge pages need their own.
fn layout_of(block: usize) -> Layout {
    let align = if block >= HUGE { HUGE } else { 4096 };
    // Sizes stay far below isize::MAX, alignments are powers of two.
    Layout::from_size_align(block, align).unwrap_or(Layout::new::<u64>())
}

impl Default for Shelves {
    fn default() -> Self {
        Self::new()
    }
}

impl Shelves {
    /// Empty shelves.
    pub const fn new() -> Self {
        Self {
            shelves: [const { Shelf::new() }; SIZES],
        }
    }

    fn kept(&self, shelf: usize, block: usize) -> Option<*mut u8> {
        let found = self.shelves[shelf].take()?;
        KEPT.fetch_sub(block, Ordering::Relaxed);
        Some(found)
    }
}

// SAFETY: blocks come from the system's allocator with a layout that depends on the requested one
// alone, and go back with the same; a block on a shelf belongs to nobody else.
unsafe impl GlobalAlloc for Shelves {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((shelf, block)) = shelf_of(&layout) else {
            // SAFETY: the caller's contract.
            return unsafe { System.alloc(layout) };
        };
        self.kept(shelf, block).unwrap_or_else(|| {
            // SAFETY: the size is not 0.
            let fresh = unsafe { System.alloc(layout_of(block)) };
            ask_for_huge_pages(fresh, block);
            fresh
        })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((shelf, block)) = shelf_of(&layout) else {
            // SAFETY: the caller's contract.
            return unsafe { System.alloc_zeroed(layout) };
        };
        if let Some(found) = self.kept(shelf, block) {
            // SAFETY: the block has at least this size, and is ours.
            unsafe { std::ptr::write_bytes(found, 0, layout.size()) };
            return found;
        }
        // Not the system's own: with this alignment it writes zeros first, and pages that are
        // touched are small ones for good.
        // SAFETY: the size is not 0.
        let fresh = unsafe { System.alloc(layout_of(block)) };
        ask_for_huge_pages(fresh, block);
        if !fresh.is_null() {
            // SAFETY: the block has at least this size, and is ours.
            unsafe { std::ptr::write_bytes(fresh, 0, layout.size()) };
        }
        fresh
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some((shelf, block)) = shelf_of(&layout) else {
            // SAFETY: the caller's contract.
            return unsafe { System.dealloc(pointer, layout) };
        };
        let before = KEPT.fetch_add(block, Ordering::Relaxed);
        let fits = before + block <= LIMIT.load(Ordering::Relaxed);
        if !(fits && self.shelves[shelf].put(pointer)) {
            KEPT.fetch_sub(block, Ordering::Relaxed);
            // SAFETY: it was allocated with this layout.
            unsafe { System.dealloc(pointer, layout_of(block)) };
        }
    }
}

/// Asks the system to back a block with huge pages; it may decline.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(block: *mut u8, bytes: usize) {
    if !block.is_null() && bytes >= HUGE {
        // SAFETY: the range was just allocated, and the advice changes no content.
        unsafe { libc::madvise(block.cast(), bytes, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_block: *mut u8, _bytes: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_a_shelf_whose_blocks_hold_it() {
        let mut last = (0, 0);
        for size in (SMALLEST..1 << 30).step_by(99_991) {
            let layout = Layout::from_size_align(size, 64).unwrap();
            let (shelf, block) = shelf_of(&layout).unwrap();
            assert!(block >= size && block <= size + size / 4, "{size} {block}");
            // One shelf never holds blocks of two sizes.
            assert!(
                shelf > last.0 || (shelf, block) == last || last == (0, 0),
                "{size}"
            );
            last = (shelf, block);
        }
        assert_eq!(shelf_of(&Layout::from_size_align(1000, 8).unwrap()), None);
    }

    #[test]
    fn a_freed_block_comes_back_and_zeroed_ones_are_zero() {
        let shelves = Shelves::new();
        let layout = Layout::from_size_align(3 << 20, 64).unwrap();
        // SAFETY: the blocks are written within their size and freed once with their layout.
        unsafe {
            let first = shelves.alloc(layout);
            first.write_bytes(7, layout.size());
            shelves.dealloc(first, layout);
            let second = shelves.alloc_zeroed(layout);
            assert_eq!(first, second);
            assert!(
                std::slice::from_raw_parts(second, layout.size())
                    .iter()
                    .all(|b| *b == 0)
            );
            let other = shelves.alloc(layout);
            assert_ne!(other, second);
            shelves.dealloc(second, layout);
            shelves.dealloc(other, layout);
        }
    }
}
