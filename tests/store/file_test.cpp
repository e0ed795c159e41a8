#include "core/store/file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <vector>

#include "core/store/page_cache.h"
#include "tests/support/pattern.h"
#include "tests/support/temp_dir.h"

using namespace iscsi;
using namespace iscsi::store;

namespace {

constexpr uint64_t mib = 1 << 20;

std::string make_file(const std::string& path, uint64_t size) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(fd.get(), off_t(size)) == 0);
    return path;
}

int perform(Store& s, Op op, uint64_t offset, std::vector<uint8_t>& data) {
    Request r;
    r.op = op;
    r.offset = offset;
    r.length = data.size();
    r.data = data;
    return s.perform(r);
}

std::vector<uint8_t> read(Store& s, uint64_t offset, size_t n) {
    std::vector<uint8_t> v(n, 0xee);
    CHECK(perform(s, Op::read, offset, v) == 0);
    return v;
}

int range(Store& s, Op op, uint64_t offset, uint64_t length) {
    Request r;
    r.op = op;
    r.offset = offset;
    r.length = length;
    return s.perform(r);
}

// An emulated kernel (qemu-user) may have no RWF_NOWAIT: then what is warm is read by the engine, too.
ssize_t warm(size_t n) {
    TempDir dir;
    const Fd fd(::open(make_file(dir / "x", 1).c_str(), O_RDONLY | O_CLOEXEC));
    char byte;
    iovec one{&byte, 1};
    const bool known = ::preadv2(fd.get(), &one, 1, 0, RWF_NOWAIT) == 1 || (errno != ENOSYS && errno != EOPNOTSUPP);
    return known ? ssize_t(n) : -EAGAIN;
}

}  // namespace

TEST_CASE("a file store reads back what was written, on a disk and in memory") {
    for (const char* parent : {"/tmp", "/dev/shm"}) {
        CAPTURE(parent);
        TempDir dir(parent);
        OpenOptions options;
        auto opened = open_store("rdwr", make_file(dir / "disk", 4 * mib), options);
        REQUIRE(opened);
        Store& s = **opened;
        CHECK(s.size() == 4 * mib);
        CHECK(s.type_name() == std::string("rdwr"));
        auto data = pattern(5000, 1);
        CHECK(perform(s, Op::write, 512, data) == 0);
        CHECK(read(s, 512, 5000) == data);
        CHECK(range(s, Op::flush, 0, 0) == 0);

        // warm: served at once
        std::vector<uint8_t> again(5000);
        const ssize_t served = std::string(parent) == "/tmp" ? warm(5000) : 5000;
        CHECK(s.try_read(again, 512) == served);
        if (served > 0) CHECK(again == data);
        auto more = pattern(8192, 9);
        CHECK(s.try_write(more, 4096) == 8192);
        CHECK(read(s, 4096, 8192) == more);
    }
}

TEST_CASE("a cold page is refused on the loop and read by perform") {
    TempDir dir;
    auto opened = open_store("rdwr", make_file(dir / "disk", mib), {});
    REQUIRE(opened);
    Store& s = **opened;
    auto data = pattern(256 << 10, 3);
    CHECK(perform(s, Op::write, 0, data) == 0);
    CHECK(range(s, Op::flush, 0, 0) == 0);
    REQUIRE(::posix_fadvise(s.fd(), 0, 0, POSIX_FADV_DONTNEED) == 0);
    std::vector<uint8_t> into(64 << 10);
    CHECK(!s.in_file(0, into.size()));
    ssize_t n = s.try_read(into, 0);
    CHECK((n == -EAGAIN || n > 0));         // the page cache may have kept it
    CHECK(read(s, 0, 256 << 10) == data);
    CHECK(s.try_read(into, 0) == warm(64 << 10));
    FileRange range = s.in_file(4096, 64 << 10);
    REQUIRE(range);
    CHECK(range.offset == 4096);
    REQUIRE(::pread(range.fd, into.data(), into.size(), off_t(range.offset)) == 64 << 10);
    CHECK(std::memcmp(into.data(), data.data() + 4096, into.size()) == 0);
    CHECK(!s.in_file(4096, 4096));          // a copy is cheaper
}

TEST_CASE("what waits in a pipe is written where it belongs, and a refusal leaves it there") {
    for (const char* parent : {"/tmp", "/dev/shm"}) {
        CAPTURE(parent);
        TempDir dir(parent);
        auto path = make_file(dir / "disk", mib);
        auto opened = open_store("rdwr", path, {});
        REQUIRE(opened);
        Store& s = **opened;
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        Fd out(ends[0]), in(ends[1]);
        auto data = pattern(16 << 10, 7);
        CHECK(s.splices(4096, 64 << 10));
        CHECK(!s.splices(4096, 4096));              // a copy is cheaper
        CHECK(!s.splices(mib - 4096, 64 << 10));
        REQUIRE(::write(in.get(), data.data(), data.size()) == ssize_t(data.size()));
        size_t done = 0;
        while (done < data.size()) {
            ssize_t n = s.try_splice(out.get(), data.size() - done, 4096 + done);
            REQUIRE(n > 0);
            done += size_t(n);
        }
        CHECK(read(s, 4096, data.size()) == data);
        REQUIRE(::write(in.get(), data.data(), data.size()) == ssize_t(data.size()));
        CHECK(s.try_splice(out.get(), data.size(), mib - 4096) == -EIO);
        OpenOptions read_only;
        read_only.read_only = true;
        auto closed = open_store("rdwr", path, read_only);
        REQUIRE(closed);
        CHECK(!(*closed)->splices(0, 64 << 10));
        CHECK((*closed)->try_splice(out.get(), data.size(), 0) < 0);
        std::vector<uint8_t> left(data.size());
        REQUIRE(::read(out.get(), left.data(), left.size()) == ssize_t(left.size()));
        CHECK(left == data);
    }
}

TEST_CASE("a range is in the file as far as the file goes, and grows with it") {
    TempDir dir("/dev/shm");
    auto path = make_file(dir / "disk", mib);
    auto opened = open_store("rdwr", path, {});
    REQUIRE(opened);
    Store& s = **opened;
    CHECK(s.in_file(mib - (64 << 10), 64 << 10));
    CHECK(!s.in_file(mib - (64 << 10) + 512, 64 << 10));
    REQUIRE(::truncate(path.c_str(), 2 * mib) == 0);
    CHECK(!s.in_file(mib, 64 << 10));
    CHECK(s.refresh_size());
    CHECK(!s.refresh_size());
    CHECK(s.size() == 2 * mib);
    CHECK(s.in_file(mib, 64 << 10));
}

TEST_CASE("unmap makes holes that read as zeros, zero keeps them allocated") {
    for (const char* parent : {"/tmp", "/dev/shm"}) {
        CAPTURE(parent);
        TempDir dir(parent);
        auto opened = open_store("rdwr", make_file(dir / "disk", mib), {});
        REQUIRE(opened);
        Store& s = **opened;
        CHECK(!s.extent_at(0, mib).mapped);
        CHECK(s.extent_at(0, mib).length == mib);
        auto data = pattern(mib, 5);
        CHECK(perform(s, Op::write, 0, data) == 0);
        CHECK(s.extent_at(0, mib).mapped);
        CHECK(range(s, Op::unmap, 64 << 10, 64 << 10) == 0);
        CHECK(read(s, 64 << 10, 64 << 10) == std::vector<uint8_t>(64 << 10));
        CHECK(s.extent_at(0, mib).length == 64 << 10);
        CHECK(!s.extent_at(64 << 10, mib).mapped);
        CHECK(s.extent_at(64 << 10, mib).length == 64 << 10);
        CHECK(range(s, Op::zero, 512 << 10, 100000) == 0);
        CHECK(read(s, 512 << 10, 100000) == std::vector<uint8_t>(100000));
        CHECK(read(s, (512 << 10) + 100000, 1)[0] == data[(512 << 10) + 100000]);
        CHECK(range(s, Op::unmap, mib, 1) == EIO);
    }
}

TEST_CASE("O_DIRECT takes any offset, length and memory") {
    TempDir dir;
    auto path = make_file(dir / "disk", mib + 512);
    OpenOptions options;
    auto opened = open_store("aio", path, options);
    REQUIRE(opened);
    Store& s = **opened;
    auto all = pattern(mib, 11);
    CHECK(perform(s, Op::write, 0, all) == 0);
    for (auto [offset, length] : {std::pair<size_t, size_t>{0, 4096}, {512, 512}, {513, 7000}, {4095, 2}, {100, 900000}, {mib - 512, 512}}) {
        CAPTURE(offset);
        auto data = pattern(length, uint8_t(offset));
        CHECK(perform(s, Op::write, offset, data) == 0);
        std::copy(data.begin(), data.end(), all.begin() + long(offset));
        CHECK(read(s, offset, length) == data);
    }
    CHECK(read(s, 0, mib) == all);
    CHECK(s.try_read(all, 0) == -EAGAIN);
    CHECK(!s.in_file(0, 64 << 10));
    CHECK(!s.splices(0, 64 << 10));
    Request r;
    r.offset = 512;
    r.data = MutableBytes(all).subspan(0, 700);
    CHECK(s.fd_for(r) == -1);
    options.direct = true;
    CHECK(!open_store("aio", path, options));
}

TEST_CASE("opening names the path, and falls back to reading") {
    TempDir dir;
    auto missing = open_store("rdwr", dir / "absent", {});
    REQUIRE(!missing);
    CHECK(missing.error().code == ENOENT);
    CHECK(missing.error().text().find("absent") != std::string::npos);
    CHECK(!open_store("rdwr", dir.path(), {}));
    CHECK(!open_store("rdwr", "/dev/null", {}));
    CHECK(!open_store("tape", dir / "x", {}));
    OpenOptions options;
    options.read_only = true;
    auto path = make_file(dir / "disk", mib);
    auto opened = open_store("rdwr", path, options);
    REQUIRE(opened);
    CHECK((*opened)->capabilities().read_only);
    std::vector<uint8_t> data(512);
    CHECK((*opened)->try_write(data, 0) < 0);
    CHECK(perform(**opened, Op::write, 0, data) == EBADF);
    auto empty = open_store("rdwr", make_file(dir / "empty", 0), {});
    REQUIRE(empty);
    CHECK((*empty)->size() == 0);
}

TEST_CASE("a file that shrank answers EIO and is not grown by a write") {
    TempDir dir;
    auto path = make_file(dir / "disk", mib);
    auto opened = open_store("rdwr", path, {});
    REQUIRE(opened);
    REQUIRE(::truncate(path.c_str(), 4096) == 0);
    std::vector<uint8_t> data(512);
    CHECK(perform(**opened, Op::read, 65536, data) == EIO);
    CHECK((*opened)->refresh_size());
    CHECK(perform(**opened, Op::write, 65536, data) == EIO);
    CHECK((*opened)->try_write(data, 65536) == -EIO);
    struct stat st {};
    REQUIRE(::stat(path.c_str(), &st) == 0);
    CHECK(st.st_size == 4096);
}

TEST_CASE("a retired store lets go of its file") {
    TempDir dir("/dev/shm");
    auto opened = open_store("rdwr", make_file(dir / "disk", mib), {});
    REQUIRE(opened);
    std::vector<uint8_t> data(65536, 1);
    CHECK(perform(**opened, Op::write, 0, data) == 0);
    CHECK((*opened)->in_file(0, 65536));
    (*opened)->retire();
    CHECK(perform(**opened, Op::read, 0, data) == EIO);
    CHECK(!(*opened)->in_file(0, 65536));
    CHECK(perform(**opened, Op::write, 0, data) == EIO);
}

TEST_CASE("write-behind: at the mark one write goes to a thread, and the loop goes on") {
    TempDir dir;
    OpenOptions options;
    options.write_behind = 64 << 10;
    auto opened = open_store("rdwr", make_file(dir / "disk", 4 * mib), options);
    REQUIRE(opened);
    Store& s = **opened;
    auto data = pattern(32 << 10, 1);
    Request r;
    r.op = Op::write;
    r.data = data;
    r.length = data.size();
    ssize_t n = s.try_write(data, 0);
    if (n == -EAGAIN) return;               // a machine so slow that writes rest already
    CHECK(n == 32 << 10);
    CHECK(s.fd_for(r) >= 0);
    if (s.try_write(data, 32 << 10) == -EAGAIN) return;
    CHECK(s.try_write(data, 64 << 10) == -EAGAIN);
    CHECK(s.fd_for(r) == -1);               // not by io_uring either: perform() is to start the write-back
    CHECK(perform(s, Op::write, 64 << 10, data) == 0);
    CHECK(s.fd_for(r) >= 0);
    n = s.try_write(data, 96 << 10);
    CHECK((n == 32 << 10 || n == -EAGAIN));
    s.done_through_fd(r);
    s.done_through_fd(r);
    CHECK(s.fd_for(r) == -1);
    CHECK(range(s, Op::flush, 0, 0) == 0);
    CHECK(s.fd_for(r) >= 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("where address space is short, none of it goes to look at the page cache") {
    TempDir dir;
    constexpr uint64_t size = 700 * mib;
    const Fd fd(::open(make_file(dir / "x", size).c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(::pwrite(fd.get(), "x", 1, 0) == 1);
    uint64_t pages = 0;
    FILE* statm = ::fopen("/proc/self/statm", "re");
    REQUIRE(statm);
    REQUIRE(::fscanf(statm, "%lu", &pages) == 1);
    ::fclose(statm);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
    const rlimit tight{rlim_t(pages) * uint64_t(::sysconf(_SC_PAGESIZE)) + 1024 * mib, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_AS, &tight) == 0);
    PageCache poor, rich;
    const bool held = poor.holds(fd.get(), size, 0, 4096);
    void* rest = ::mmap(nullptr, 900 * mib, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(::setrlimit(RLIMIT_AS, &before) == 0);
    CHECK_FALSE(held);
    CHECK(rest != MAP_FAILED);
    if (rest != MAP_FAILED) ::munmap(rest, 900 * mib);
    CHECK(rich.holds(fd.get(), size, 0, 4096));
    CHECK_FALSE(poor.holds(fd.get(), size, 0, 4096));           // it does not try again and again
}
#endif
