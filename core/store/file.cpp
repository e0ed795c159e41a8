#include "core/store/file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>

#include <algorithm>

#include "core/base/log.h"

namespace iscsi::store {
namespace {

constexpr uint64_t page = 4096;
constexpr uint64_t slow_write_us = 2000;
constexpr uint64_t slow_rest_ms = 1000;
// Shorter ranges are cheaper to copy. Server CPU per random READ, tmpfs, loopback, copied / sent from the file: 4 KiB 2.0 / 2.5 us,
// 8 KiB 3.4 / 2.7, 16 KiB 6.5 / 3.1, 64 KiB 20 / 7, 256 KiB 70 / 18. Per WRITE, copied / spliced: 64 KiB 22 / 22, 256 KiB 100 / 79,
// 1 MiB 426 / 255 (received into a mapping of the file: 348).
constexpr size_t send_from = 16 << 10, splice_from = 64 << 10;

uint64_t clock_us() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000000 + uint64_t(t.tv_nsec) / 1000;
}

bool lives_in_memory(int fd) {
    constexpr long tmpfs = 0x01021994, ramfs = 0x858458f6;
    struct statfs fs {};
    return ::fstatfs(fd, &fs) == 0 && (long(fs.f_type) == tmpfs || long(fs.f_type) == ramfs);
}

uint64_t write_behind_mark() {
    struct sysinfo info {};
    if (::sysinfo(&info) != 0) return 8u << 20;
    uint64_t memory = uint64_t(info.totalram) * info.mem_unit;
    return std::clamp<uint64_t>(memory / 64, 2u << 20, 256u << 20);
}

}  // namespace

Result<std::shared_ptr<Store>> File::open(const char* type, const std::string& path, const OpenOptions& options,
                                          bool direct) {
    std::shared_ptr<File> file(new File);
    file->type_ = type;
    file->path_ = path;
    file->direct_ = direct || options.direct;
    file->sync_ = options.sync;
    file->block_size_ = options.block_size;
    file->read_only_ = options.read_only;
    const int extra = O_CLOEXEC | O_NONBLOCK | (options.sync ? O_SYNC : 0);    // O_NONBLOCK: a FIFO must not hang us
    auto attempt = [&](int access) {
        file->fd_ = Fd(::open(path.c_str(), access | extra | (file->direct_ ? O_DIRECT : 0)));
        if (!file->fd_ && errno == EINVAL && file->direct_) {
            file->fd_ = Fd(::open(path.c_str(), access | extra));
            if (file->fd_) {
                log::warning("%s: this file system has no O_DIRECT; going through the page cache", path.c_str());
                file->direct_ = false;
            }
        }
        return bool(file->fd_);
    };
    if (!file->read_only_ && !attempt(O_RDWR) && (errno == EACCES || errno == EROFS || errno == EPERM))
        file->read_only_ = true;
    if (file->read_only_) attempt(O_RDONLY);
    if (!file->fd_) return Error{errno, "open backing store", path};

    struct stat st {};
    if (::fstat(file->fd_.get(), &st) != 0) return Error{errno, "stat backing store", path};
    file->device_ = S_ISBLK(st.st_mode);
    if (!file->device_ && !S_ISREG(st.st_mode))
        return Error{0, "open backing store", path + ": neither a regular file nor a block device"};
    ::fcntl(file->fd_.get(), F_SETFL, ::fcntl(file->fd_.get(), F_GETFL) & ~O_NONBLOCK);
    file->preferred_block_ = uint32_t(st.st_blksize);
    file->learn_medium();
    file->low_ = options.write_behind ? options.write_behind : write_behind_mark();
    file->size_ = file->look_at_size();
    file->may_look_ = !file->direct_ && (!file->read_only_ || ::geteuid() == 0 || ::geteuid() == st.st_uid);
    return std::shared_ptr<Store>(file);
}

void File::learn_medium() {
    in_memory_ = !device_ && lives_in_memory(fd_.get());
    if (!direct_) return;
    alignment_ = 4096;
    int logical = 0;
    if (device_ && ::ioctl(fd_.get(), BLKSSZGET, &logical) == 0 && logical >= 512 && (logical & (logical - 1)) == 0)
        alignment_ = uint32_t(logical);
#ifdef STATX_DIOALIGN
    struct statx sx {};
    if (::statx(fd_.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN) &&
        sx.stx_dio_offset_align != 0)
        alignment_ = std::max(sx.stx_dio_offset_align, sx.stx_dio_mem_align);
#endif
}

uint64_t File::look_at_size() const {
    uint64_t size = 0;
    struct stat st {};
    if (device_) {
        if (::ioctl(fd_.get(), BLKGETSIZE64, &size) != 0) return 0;
    } else if (::fstat(fd_.get(), &st) == 0 && st.st_size > 0) {
        size = uint64_t(st.st_size);
    }
    return size - size % alignment_;        // O_DIRECT cannot reach a last part of a block
}

bool File::refresh_size() {
    uint64_t now = look_at_size();
    return size_.exchange(now, std::memory_order_relaxed) != now;
}

Capabilities File::capabilities() const {
    Capabilities c;
    c.read_only = read_only_;
    c.can_unmap = !read_only_;
    c.physical_block = device_ ? 0 : preferred_block_;     // as tgt: only files announce one
    return c;
}

bool File::inside(uint64_t offset, uint64_t length) const {
    const uint64_t end = size();
    return offset <= end && length <= end - offset;
}

// ---- on the loop

ssize_t File::try_read(MutableBytes into, uint64_t offset) {
    if (direct_) return -EAGAIN;
    if (nowait_.load(std::memory_order_relaxed)) {
        iovec v{into.data(), into.size()};
        ssize_t n = ::preadv2(fd_.get(), &v, 1, off_t(offset), RWF_NOWAIT);
        if (n > 0) return n;
        if (n == 0) return -EIO;
        if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) return errno == EINTR ? -EAGAIN : -errno;
        nowait_.store(false, std::memory_order_relaxed);
    }
    if (!in_memory_) return -EAGAIN;
    ssize_t n = ::pread(fd_.get(), into.data(), into.size(), off_t(offset));
    if (n > 0) return n;
    return n == 0 ? -EIO : errno == EINTR ? -EAGAIN : -errno;
}

bool File::cached(uint64_t offset) {
    uint8_t byte;
    return try_read({&byte, 1}, offset) == 1;
}

// The first and last page of a write that covers only part of them must be there, or the kernel reads them first.
bool File::edges_cached(uint64_t offset, size_t length) {
    const uint64_t end = offset + length;
    if (offset % page && !cached(offset)) return false;
    return end % page == 0 || end >= size() || cached(end - 1);
}

bool File::writes_rest() const {
    uint64_t until = rest_until_ms_.load(std::memory_order_relaxed);
    return until != 0 && clock_us() / 1000 < until;
}

// A write that cannot wait for the disk: `move` does it, by write(2) or splice(2).
template <class Move>
ssize_t File::write_now(uint64_t offset, size_t length, Move&& move) {
    if (direct_ || sync_) return -EAGAIN;
    if (!inside(offset, length)) return -EIO;           // a shrunk file must not grow again
    auto result = [](ssize_t n) { return n > 0 ? n : n == 0 ? -EIO : errno == EINTR ? -EAGAIN : -errno; };
    if (in_memory_) return result(move());
    if (!room_for_dirty() || writes_rest() || !edges_cached(offset, length)) return -EAGAIN;
    const uint64_t start = clock_us();
    const ssize_t n = result(move());
    if (n <= 0) return n;
    note_write(size_t(n));
    // A long piece takes long by copying alone: a generous 1 us per KiB on top.
    const uint64_t end = clock_us();
    if (end - start > slow_write_us + uint64_t(n) / 1024)
        rest_until_ms_.store(end / 1000 + slow_rest_ms, std::memory_order_relaxed);
    return n;
}

bool File::room_for_dirty() const {
    const uint64_t dirty = dirty_.load(std::memory_order_relaxed);
    return dirty < low_ || (dirty < 3 * low_ && writing_behind_.load(std::memory_order_relaxed));
}

ssize_t File::try_write(Bytes from, uint64_t offset) {
    return write_now(offset, from.size(), [&] { return ::pwrite(fd_.get(), from.data(), from.size(), off_t(offset)); });
}

ssize_t File::try_splice(int pipe, size_t length, uint64_t offset) {
    return write_now(offset, length, [&] {
        auto at = loff_t(offset);
        return ::splice(pipe, nullptr, fd_.get(), &at, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    });
}

bool File::splices(uint64_t offset, size_t length) {
    if (read_only_ || direct_ || sync_ || length < splice_from || !inside(offset, length)) return false;
    return in_memory_ || (room_for_dirty() && !writes_rest());
}

// By reference: what a WRITE changes while the bytes are in the socket's queue may show in the READ that sent them. SBC-3
// promises no order between SIMPLE commands that are in the task set at the same time (sessions with ORDERED ones do not send by
// reference); and whoever has the status of the READ has its data, so a later WRITE cannot show. What is digested must be what is sent, so with DataDigest the transport copies.
FileRange File::in_file(uint64_t offset, size_t length) {
    if (length < send_from || !inside(offset, length) || sendable_ == Answer::no) return {};
    if (!in_memory_ && !cache_.holds(fd_.get(), size(), offset, length)) return {};
    if (!sendable(offset)) return {};       // tried with what is cached: on what is not, splice() waits for the disk
    return {fd_.get(), offset};
}

// Not every file system can splice; and where we may not look into the page cache (mincore tells the truth only to who could
// write the file anyway) nothing is sent from it.
bool File::sendable(uint64_t offset) {
    if (sendable_ == Answer::unknown) {
        int ends[2];
        auto at = loff_t(offset);
        sendable_ = Answer::no;
        if (may_look_ && ::pipe2(ends, O_CLOEXEC) == 0) {
            Fd out(ends[0]), in(ends[1]);
            if (::splice(fd_.get(), &at, in.get(), nullptr, 1, SPLICE_F_NONBLOCK) == 1) sendable_ = Answer::yes;
        }
    }
    return sendable_ == Answer::yes;
}

// ---- for the engines

bool File::aligned(const Request& r) const {
    return ((r.offset | r.data.size() | reinterpret_cast<uintptr_t>(r.data.data())) & (alignment_ - 1)) == 0;
}

int File::fd_for(const Request& r) const {
    switch (r.op) {
    case Op::read: return !direct_ || aligned(r) ? fd_.get() : -1;
    case Op::write:
        if (!inside(r.offset, r.length)) return -1;
        // Where an unaligned write is a read-modify-write, writes must pass its lock.
        if (direct_) return aligned(r) && alignment_ <= block_size_ ? fd_.get() : -1;
        return in_memory_ || sync_ || dirty_.load(std::memory_order_relaxed) < low_ ? fd_.get() : -1;
    case Op::flush: return fd_.get();
    default: return -1;
    }
}

void File::done_through_fd(const Request& r) {
    if (r.op == Op::write) note_write(r.length);
    if (r.op == Op::flush) dirty_.store(0, std::memory_order_relaxed);
}

void File::note_write(size_t bytes) {
    if (!in_memory_ && !direct_ && !sync_) dirty_.fetch_add(bytes, std::memory_order_relaxed);
}

void File::write_behind() {
    if (dirty_.load(std::memory_order_relaxed) < low_ || writing_behind_.exchange(true)) return;
    dirty_.store(0, std::memory_order_relaxed);
    // An error of write-back is reported by the next flush; a system without this call writes back by itself.
    ::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
    writing_behind_.store(false);
}

int File::perform(Request& r) {
    switch (r.op) {
    case Op::read: return direct_ ? direct_io(r) : read_all(r);
    case Op::write: {
        if (!inside(r.offset, r.length)) return EIO;
        if (direct_) return direct_io(r);
        int error = write_all(r);
        if (!error) note_write(r.length), write_behind();
        return error;
    }
    case Op::flush: return flush();
    case Op::unmap: return inside(r.offset, r.length) ? unmap(r.offset, r.length) : EIO;
    case Op::zero: return inside(r.offset, r.length) ? zero(r.offset, r.length) : EIO;
    case Op::work: break;
    }
    return 0;
}

int File::read_all(Request& r) {
    while (r.progress < r.data.size()) {
        ssize_t n = ::pread(fd_.get(), r.data.data() + r.progress, r.data.size() - r.progress, off_t(r.offset + r.progress));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0 ? EIO : errno;
        r.progress += size_t(n);
    }
    return 0;
}

int File::write_all(Request& r) {
    while (r.progress < r.data.size()) {
        ssize_t n = ::pwrite(fd_.get(), r.data.data() + r.progress, r.data.size() - r.progress, off_t(r.offset + r.progress));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0 ? EIO : errno;
        r.progress += size_t(n);
    }
    return 0;
}

int File::flush() {
    dirty_.store(0, std::memory_order_relaxed);
    return ::fdatasync(fd_.get()) == 0 ? 0 : errno;
}

void File::retire() {
    cache_.forget();
    // The number stays valid for whoever still holds it; the file behind it is let go.
    Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (nothing) ::dup3(nothing.get(), fd_.get(), O_CLOEXEC);
    size_.store(0, std::memory_order_relaxed);
}

}  // namespace iscsi::store
