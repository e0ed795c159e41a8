#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/base/fd.h"
#include "core/initiator/copy_side.h"
#include "core/io/engine.h"

namespace iscsi::initiator {
namespace {

// The file as an engine wants it.
class CopyStore final : public store::Store {
public:
    CopyStore(int fd, std::string path, uint64_t size) : fd_(fd), path_(std::move(path)), size_(size) {}
    const char* type_name() const override { return "copy"; }
    const std::string& path() const override { return path_; }
    uint64_t size() const override { return size_; }
    store::Capabilities capabilities() const override { return {}; }
    int fd() const override { return fd_; }
    int perform(store::Request& r) override {
        if (r.op == store::Op::flush) return ::fdatasync(fd_) == 0 ? 0 : errno;
        if (r.op != store::Op::write) return EOPNOTSUPP;
        for (size_t done = 0; done < r.data.size();) {
            ssize_t n = ::pwrite(fd_, r.data.data() + done, r.data.size() - done, off_t(r.offset + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return errno;
            done += size_t(n);
        }
        return 0;
    }

private:
    int fd_;
    std::string path_;
    uint64_t size_;
};

class FileSide final : public CopySide {
public:
    FileSide(Fd fd, std::string path, const struct stat& st, uint64_t size, io::Loop* loop)
        : fd_(std::move(fd)), path_(std::move(path)), size_(size), device_(S_ISBLK(st.st_mode)) {
        if (loop) {
            store_ = std::make_shared<CopyStore>(fd_.get(), path_, size);
            engine_ = io::make_engine(*loop, {.threads = 2});
        } else if (size > 0 && size <= SIZE_MAX) {
            void* at = ::mmap(nullptr, size_t(size), PROT_READ, MAP_SHARED, fd_.get(), 0);
            if (at != MAP_FAILED) {
                map_ = static_cast<uint8_t*>(at);
                ::madvise(map_, size_t(size), MADV_SEQUENTIAL);
            }
        }
        identity_ = std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino) + ":" + std::to_string(size);
        modified_ = ":" + std::to_string(st.st_mtim.tv_sec) + "." + std::to_string(st.st_mtim.tv_nsec);
    }
    ~FileSide() {
        if (map_) ::munmap(map_, size_t(size_));
    }
    void identify_by_time() { identity_ += modified_; }

    uint64_t size() const override { return size_; }
    uint32_t block() const override { return device_ ? 4096 : 1; }
    uint64_t max_transfer() const override { return 0; }
    std::string name() const override { return path_; }
    std::string identity() const override { return identity_; }
    bool is_remote() const override { return false; }

    void read(CopyOp& op) override {
        for (op.progress = 0; op.progress < op.length;) {
            ssize_t n = ::pread(fd_.get(), op.data + op.progress, op.length - op.progress, off_t(op.offset + op.progress));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return fail(op, "read", errno);
            if (n == 0) return fail(op, "read: the file has become shorter", 0);
            op.progress += uint64_t(n);
        }
        op.done(op);
    }

    void write(CopyOp& op) override {
        op.side = this;
        op.file = {};
        op.file.op = store::Op::write;
        op.file.offset = op.offset;
        op.file.length = op.length;
        op.file.data = {op.data, size_t(op.length)};
        run(op);
    }

    void zero(CopyOp& op) override {
        if (fresh_) return op.done(op);         // made by us: a hole already
        if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(op.offset), off_t(op.length)) == 0)
            return op.done(op);
        if (zeros_.empty()) zeros_.resize(1 << 20);
        for (op.progress = 0; op.progress < op.length;) {
            ssize_t n = ::pwrite(fd_.get(), zeros_.data(), std::min<uint64_t>(zeros_.size(), op.length - op.progress),
                                 off_t(op.offset + op.progress));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return fail(op, "write zeros", errno);
            op.progress += uint64_t(n);
        }
        op.done(op);
    }

    void flush(CopyOp& op) override {
        op.side = this;
        op.file = {};
        op.file.op = store::Op::flush;
        run(op);
    }

    const uint8_t* borrow(uint64_t offset, uint64_t length) override {
        if (!map_ || offset > size_ || length > size_ - offset) return nullptr;
        const uint64_t page = offset & ~uint64_t(4095);
        // Brings it in and says whether that worked; EINVAL: a kernel before 5.14, which does so when it is sent.
        if (::madvise(map_ + page, size_t(offset + length - page), populate_read) != 0 && errno != EINVAL) return nullptr;
        return map_ + offset;
    }

    void extent(CopyOp& op) override {
        op.mapped = true;
        const off_t at = off_t(op.offset), end = at + off_t(op.length);
        off_t data = ::lseek(fd_.get(), at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) data = end;                 // nothing but a hole up to the end
        if (data > at) {
            op.mapped = false;
            op.length = uint64_t(std::min(data, end) - at);
        } else if (data == at) {
            off_t hole = ::lseek(fd_.get(), at, SEEK_HOLE);
            if (hole > at) op.length = uint64_t(std::min(hole, end) - at);
        }
        op.done(op);
    }

    bool fresh_ = false;

private:
    static constexpr int populate_read = 22;            // MADV_POPULATE_READ

    void run(CopyOp& op) {
        op.file.owner = &op;
        op.file.done = [](store::Request& r) {
            CopyOp& o = *static_cast<CopyOp*>(r.owner);
            auto& side = *static_cast<FileSide*>(o.side);
            if (r.error) return side.fail(o, r.op == store::Op::write ? "write" : "flush", r.error);
            o.done(o);
        };
        engine_->submit(store_, op.file);
    }

    void fail(CopyOp& op, const char* what, int error) {
        op.failed = true;
        op.error = std::string(what) + " " + path_ + (error ? std::string(": ") + std::strerror(error) : "");
        op.done(op);
    }

    Fd fd_;
    std::string path_, identity_, modified_;
    uint64_t size_;
    bool device_;
    std::vector<uint8_t> zeros_;
    uint8_t* map_ = nullptr;                            // a source
    std::shared_ptr<store::Store> store_;               // a destination
    std::unique_ptr<io::Engine> engine_;
};

Result<uint64_t> size_of(int fd, const struct stat& st, const std::string& path) {
    if (S_ISREG(st.st_mode)) return uint64_t(st.st_size);
    uint64_t bytes = 0;
    if (!S_ISBLK(st.st_mode)) return Error{0, path, "is neither a file nor a block device"};
    if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) return Error{errno, "size of", path};
    return bytes;
}

}  // namespace

Result<std::unique_ptr<CopySide>> open_file_source(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st{};
    if (!fd || ::fstat(fd.get(), &st) != 0) return Error{errno, "open", path};
    uint64_t size = TRY(size_of(fd.get(), st, path));
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    auto side = std::make_unique<FileSide>(std::move(fd), path, st, size, nullptr);
    side->identify_by_time();
    return std::unique_ptr<CopySide>(std::move(side));
}

Result<std::unique_ptr<CopySide>> open_file_destination(const std::string& path, uint64_t size, bool keep, io::Loop& loop) {
    struct stat st{};
    const bool exists = ::stat(path.c_str(), &st) == 0;
    // O_EXCL on a block device: refused while it is mounted or otherwise in use.
    int flags = O_RDWR | O_CLOEXEC | (exists && S_ISBLK(st.st_mode) ? O_EXCL : O_CREAT);
    Fd fd(::open(path.c_str(), flags, 0644));
    if (!fd || ::fstat(fd.get(), &st) != 0) return Error{errno, "open for writing", path};
    bool fresh = false;
    if (S_ISREG(st.st_mode)) {
        if (!keep || uint64_t(st.st_size) != size) {
            if (keep && exists) return Error{0, "cannot resume: the size has changed:", path};
            if (::ftruncate(fd.get(), 0) != 0 || ::ftruncate(fd.get(), off_t(size)) != 0) return Error{errno, "make", path};
            fresh = true;
        }
    } else if (TRY(size_of(fd.get(), st, path)) < size) {
        return Error{0, path, "is smaller than the source; take a larger one"};
    }
    auto side = std::make_unique<FileSide>(std::move(fd), path, st, size, &loop);
    side->fresh_ = fresh;
    return std::unique_ptr<CopySide>(std::move(side));
}

}  // namespace iscsi::initiator
