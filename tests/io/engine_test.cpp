#include "core/io/engine.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <cerrno>
#include <vector>

#include "core/io/engine_uring.h"
#include "core/io/transfer_memory.h"
#include "core/store/memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_store.h"

using namespace iscsi;
using namespace iscsi::io;
using iscsi::store::Op;
using iscsi::store::Request;

namespace {

struct Job {
    Request request;
    std::vector<uint8_t> data;
    int completions = 0;
    Job(Op op, uint64_t offset, size_t length, uint8_t fill = 0) : data(length, fill) {
        request.op = op;
        request.offset = offset;
        request.length = length;
        request.data = data;
        request.owner = this;
        request.done = [](Request& r) { static_cast<Job*>(r.owner)->completions++; };
    }
};

void run_until_done(Loop& loop, Engine& engine) {
    for (int i = 0; i < 2000 && engine.in_flight() > 0; i++) loop.run_once(10);
    CHECK(engine.in_flight() == 0);
}

std::shared_ptr<store::TestStore> test_store() {
    return std::make_shared<store::TestStore>(*store::make_ram("1M", 1 << 20));
}

}  // namespace

TEST_CASE("engines read, write and flush, and complete each request once on the loop") {
    for (bool uring : {false, true}) {
        CAPTURE(uring);
        TempDir dir;
        Fd file(::open((dir / "disk").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        REQUIRE(::ftruncate(file.get(), 1 << 20) == 0);
        auto opened = store::open_store("rdwr", dir / "disk", {});
        REQUIRE(opened);
        auto loop = std::move(*Loop::create());
        EngineOptions options;
        options.allow_uring = uring;
        auto engine = make_engine(*loop, options);
        std::deque<Job> writes, reads;
        for (int i = 0; i < 200; i++) {
            writes.emplace_back(Op::write, uint64_t(i) * 5000, 5000, uint8_t(i));
            engine->submit(*opened, writes.back().request);
        }
        CHECK(engine->in_flight() == 200);
        run_until_done(*loop, *engine);
        Job flush(Op::flush, 0, 0);
        engine->submit(*opened, flush.request);
        run_until_done(*loop, *engine);
        CHECK(flush.completions == 1);
        CHECK(flush.request.error == 0);
        for (int i = 0; i < 200; i++) {
            reads.emplace_back(Op::read, uint64_t(i) * 5000, 5000);
            engine->submit(*opened, reads.back().request);
        }
        run_until_done(*loop, *engine);
        for (int i = 0; i < 200; i++) {
            CHECK(writes[size_t(i)].completions == 1);
            CHECK(reads[size_t(i)].completions == 1);
            CHECK(reads[size_t(i)].request.error == 0);
            CHECK(reads[size_t(i)].data == writes[size_t(i)].data);
        }
        // beyond the end, and what only perform() can do
        Job past(Op::read, 2 << 20, 512), hole(Op::unmap, 0, 5000), back(Op::read, 0, 512);
        engine->submit(*opened, past.request);
        engine->submit(*opened, hole.request);
        run_until_done(*loop, *engine);
        engine->submit(*opened, back.request);
        run_until_done(*loop, *engine);
        CHECK(past.request.error == EIO);
        CHECK(hole.request.error == 0);
        CHECK(back.data == std::vector<uint8_t>(512));
    }
}

TEST_CASE("io_uring is used where the kernel has it") {
    auto loop = std::move(*Loop::create());
    Ring probe;
    const bool possible = probe.open(8);
    UringEngine engine(*loop, 4);
    TempDir dir;
    Fd file(::open((dir / "disk").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(file.get(), 65536) == 0);
    auto opened = store::open_store("rdwr", dir / "disk", {});
    REQUIRE(opened);
    Job job(Op::read, 0, 4096);
    engine.submit(*opened, job.request);
    run_until_done(*loop, engine);
    CHECK(engine.has_ring() == possible);
    CHECK(job.completions == 1);
}

TEST_CASE("a hung store does not hold up another") {
    for (bool uring : {false, true}) {
        auto loop = std::move(*Loop::create());
        EngineOptions options;
        options.allow_uring = uring;
        auto engine = make_engine(*loop, options);
        auto hung = test_store(), fine = test_store();
        hung->hang();
        std::deque<Job> stuck, quick;
        for (int i = 0; i < 50; i++) {
            stuck.emplace_back(Op::read, 0, 512);
            engine->submit(hung, stuck.back().request);
        }
        for (int i = 0; i < 50; i++) {
            quick.emplace_back(Op::read, 0, 512);
            engine->submit(fine, quick.back().request);
        }
        for (int i = 0; i < 1000 && engine->in_flight() > 50; i++) loop->run_once(10);
        CHECK(engine->in_flight() == 50);
        for (Job& j : quick) CHECK(j.completions == 1);
        for (Job& j : stuck) CHECK(j.completions == 0);
        CHECK(hung->stuck <= 4);
        hung->release();
        run_until_done(*loop, *engine);
        for (Job& j : stuck) CHECK(j.completions == 1);
    }
}

TEST_CASE("the engine passes errors, does work, and finishes what it has when it dies") {
    auto loop = std::move(*Loop::create());
    auto engine = make_engine(*loop, {});
    auto broken = test_store();
    broken->read_error = EIO;
    broken->flush_error = ENOSPC;
    Job read(Op::read, 0, 512), flush(Op::flush, 0, 0), work(Op::work, 0, 0);
    work.request.work = [](Request& r) { static_cast<Job*>(r.owner)->data.assign(3, 7); return EDOM; };
    engine->submit(broken, read.request);
    engine->submit(broken, flush.request);
    engine->submit(broken, work.request);
    run_until_done(*loop, *engine);
    CHECK(read.request.error == EIO);
    CHECK(flush.request.error == ENOSPC);
    CHECK(work.request.error == EDOM);
    CHECK(work.data.size() == 3);
    std::deque<Job> last;
    for (int i = 0; i < 20; i++) {
        last.emplace_back(Op::write, 0, 512);
        engine->submit(broken, last.back().request);
    }
    broken.reset();
    engine.reset();
    for (Job& j : last) CHECK(j.completions == 1);
}

TEST_CASE("requests in the arena go past the page cache as they are, registered or not") {
    TempDir dir;
    Fd file(::open((dir / "disk").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(file.get(), 1 << 20) == 0);
    store::OpenOptions direct;
    direct.direct = true;
    auto opened = store::open_store("rdwr", dir / "disk", direct);
    REQUIRE(opened);
    if (!(*opened)->direct()) return;           // this file system has no O_DIRECT
    for (bool told : {false, true}) {
        CAPTURE(told);
        auto loop = std::move(*Loop::create());
        UringEngine engine(*loop, 4);
        auto memory = TransferMemory::create();
        REQUIRE(memory);
        if (told) engine.use_memory(memory->arena());
        auto out = TransferMemory::take(memory, 64 << 10), in = TransferMemory::take(memory, 64 << 10);
        for (size_t i = 0; i < out->size(); i++) (*out)[i] = uint8_t(i + i / 256 + told);
        Request write, read;
        auto prepare = [](Request& r, Op op, MutableBytes data) {
            r.op = op;
            r.offset = 8192;
            r.data = data;
            r.length = data.size();
            r.done = [](Request&) {};
        };
        prepare(write, Op::write, *out);
        engine.submit(*opened, write);
        run_until_done(*loop, engine);
        CHECK(write.error == 0);
        prepare(read, Op::read, *in);
        engine.submit(*opened, read);
        run_until_done(*loop, engine);
        CHECK(read.error == 0);
        CHECK(std::equal(in->begin(), in->end(), out->begin()));
    }
}
