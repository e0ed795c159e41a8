// File: what works on ranges rather than data (unmap, zero, extents), and O_DIRECT's bounce buffer.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/store/file.h"

namespace iscsi::store {
namespace {

bool unsupported(int error) { return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENOTTY; }

int allocate(int fd, int mode, uint64_t offset, uint64_t length) {
    int result;
    do result = ::fallocate(fd, mode, off_t(offset), off_t(length));
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
};
using Aligned = std::unique_ptr<uint8_t, Free>;

Aligned allocate_aligned(size_t alignment, size_t size) {
    return Aligned(static_cast<uint8_t*>(std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)));
}

// pread or pwrite of all of it; short is EIO.
template <class Call>
int whole(Call call, int fd, uint8_t* data, size_t length, uint64_t offset) {
    for (size_t done = 0; done < length;) {
        ssize_t n = call(fd, data + done, length - done, off_t(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0 ? EIO : errno;
        done += size_t(n);
    }
    return 0;
}

}  // namespace

// A hole in a file; on a device the kernel's punch is "unmap where that leaves zeros" (since 4.9). An old kernel's
// device gets a discard as a hint and is then zeroed, because LBPRZ promises zeros and BLKDISCARD does not.
int File::unmap(uint64_t offset, uint64_t length) {
    if (length == 0) return 0;
    if (can_punch_.load(std::memory_order_relaxed)) {
        int error = allocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
        if (!unsupported(error)) return error;
        if (error != EINVAL) can_punch_.store(false, std::memory_order_relaxed);    // EINVAL may be this range's
    }
    if (device_) {
        uint64_t range[2] = {offset, length};
        ::ioctl(fd_.get(), BLKDISCARD, range);
        range[0] = offset, range[1] = length;
        if (::ioctl(fd_.get(), BLKZEROOUT, range) == 0) return 0;
    }
    return write_zeros(offset, length);
}

int File::zero(uint64_t offset, uint64_t length) {
    if (length == 0) return 0;
    if (can_zero_range_.load(std::memory_order_relaxed)) {
        int error = allocate(fd_.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
        if (!unsupported(error)) return error;
        if (error != EINVAL) can_zero_range_.store(false, std::memory_order_relaxed);
    }
    if (device_) {
        uint64_t range[2] = {offset, length};
        if (::ioctl(fd_.get(), BLKZEROOUT, range) == 0) return 0;
    }
    return write_zeros(offset, length);
}

int File::write_zeros(uint64_t offset, uint64_t length) {
    const size_t piece = size_t(std::min<uint64_t>(length, 256 << 10));
    Aligned zeros = allocate_aligned(page_alignment, piece);
    if (!zeros) return ENOMEM;
    std::memset(zeros.get(), 0, piece);
    Request r;
    r.op = Op::write;
    for (uint64_t done = 0; done < length; done += r.length) {
        r.offset = offset + done;
        r.length = std::min<uint64_t>(piece, length - done);
        r.data = {zeros.get(), size_t(r.length)};
        r.progress = 0;
        if (int error = perform(r)) return error;
    }
    return 0;
}

Extent File::extent_at(uint64_t offset, uint64_t limit) {
    const uint64_t end = size();
    limit = std::min(limit, end > offset ? end - offset : 0);
    if (device_ || limit == 0) return {limit, true};
    off_t data = ::lseek(fd_.get(), off_t(offset), SEEK_DATA);
    if (data < 0) return {limit, errno != ENXIO};           // ENXIO: a hole up to the end; else we cannot tell
    if (uint64_t(data) > offset) return {std::min(limit, uint64_t(data) - offset), false};
    off_t hole = ::lseek(fd_.get(), off_t(offset), SEEK_HOLE);
    if (hole < 0 || uint64_t(hole) <= offset) return {limit, true};
    return {std::min(limit, uint64_t(hole) - offset), true};
}

void File::prefetch(uint64_t offset, uint64_t length) {
    if (!direct_) ::posix_fadvise(fd_.get(), off_t(offset), off_t(length), POSIX_FADV_WILLNEED);
}

// O_DIRECT. An aligned request is done in place, others through an aligned buffer; a write that covers blocks of the
// medium in part reads them first, and excludes every other write meanwhile: they may be writing the other part.
int File::direct_io(Request& r) {
    const bool reading = r.op == Op::read;
    auto in = [](int fd, uint8_t* p, size_t n, off_t at) { return ::pread(fd, p, n, at); };
    auto out = [](int fd, uint8_t* p, size_t n, off_t at) { return ::pwrite(fd, p, n, at); };
    const uint64_t mask = alignment_ - 1;
    const bool partial = !reading && ((r.offset | r.data.size()) & mask);
    std::unique_lock<std::shared_mutex> alone(unaligned_, std::defer_lock);
    std::shared_lock<std::shared_mutex> beside(unaligned_, std::defer_lock);
    if (partial) alone.lock();
    else if (!reading) beside.lock();
    if (aligned(r))
        return reading ? whole(in, fd_.get(), r.data.data(), r.data.size(), r.offset)
                       : whole(out, fd_.get(), r.data.data(), r.data.size(), r.offset);

    constexpr size_t most = 512 << 10;
    const size_t room = size_t(std::min<uint64_t>(most, (r.data.size() + 2 * mask) & ~mask));
    Aligned bounce = allocate_aligned(std::max<size_t>(alignment_, page_alignment), room);
    if (!bounce) return ENOMEM;
    for (size_t done = 0; done < r.data.size();) {
        const uint64_t from = r.offset + done, first = from & ~mask;
        const size_t lead = size_t(from - first), piece = std::min(r.data.size() - done, room - lead);
        const size_t span = size_t((lead + piece + mask) & ~mask);
        if (reading || lead || ((from + piece) & mask))
            if (int error = whole(in, fd_.get(), bounce.get(), span, first)) return error;
        if (reading) {
            std::memcpy(r.data.data() + done, bounce.get() + lead, piece);
        } else {
            std::memcpy(bounce.get() + lead, r.data.data() + done, piece);
            if (int error = whole(out, fd_.get(), bounce.get(), span, first)) return error;
        }
        done += piece;
    }
    return 0;
}

}  // namespace iscsi::store
