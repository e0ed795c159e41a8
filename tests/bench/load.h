// The parts of the benchmark's client: what a session must do, whatever it speaks.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace bench {

struct Options {
    std::string host, target;
    uint16_t port = 3260;
    unsigned lun = 1, sessions = 1, depth = 1, read_percent = 100;
    uint32_t bs = 4096;
    double seconds = 2, warm = 0;
    uint64_t count = 0;
    uint64_t size = 0;            // of the roof's file; a logical unit says its own
    bool roof = false, sequential = false, digests = false, hold = false, tur = false, by_reference = false;
};

// Latencies in buckets of about 3 %.
struct Histogram {
    std::array<uint64_t, 2048> counts{};
    uint64_t total = 0;
    void add(uint64_t ns);
    double percentile(double p) const;    // microseconds
};

struct Totals {
    Histogram latency;
    uint64_t errors = 0;
};

uint64_t now_ns();

class Session {
public:
    virtual ~Session() = default;
    virtual int fd() const = 0;
    virtual void fill(Totals&) = 0;       // start commands until the depth is reached
    virtual bool flush() = 0;             // send what can be sent
    virtual bool receive(Totals&) = 0;    // take what has come; false: lost
    virtual const char* trouble() const { return ""; }
    uint64_t done = 0;                    // commands answered
};

std::unique_ptr<Session> make_roof_session(const Options&);
std::unique_ptr<Session> make_iscsi_session(const Options&, unsigned number);

constexpr size_t long_data = 32 << 10;        // not copied when read; sent by sendfile when written, if asked

// What both share: a connected socket, gathered output, random offsets.
int connect_to(const Options&);

class Output {
public:
    struct Chunk {
        std::array<char, 64> head;
        size_t head_length = 0;
        const char* data = nullptr;
        size_t length = 0;
        std::array<char, 8> tail;         // padding and digest
        size_t tail_length = 0;
    };
    explicit Output(const Options& o) : by_reference_(o.by_reference ? long_data : SIZE_MAX) {}
    Chunk& add() { return chunks_.emplace_back(); }
    bool flush(int fd);
private:
    ssize_t send_gathered(int fd);
    std::vector<Chunk> chunks_;
    size_t by_reference_;                 // a payload this long is sent by sendfile: no copy of the client's in the figure
    size_t first_ = 0, sent_ = 0;         // chunk at the front and bytes of it that went out
};

class Offsets {
public:
    Offsets(const Options& o, uint64_t size, unsigned number);
    uint64_t next();
    bool reads();
private:
    uint64_t random();
    uint64_t state_, slots_, at_ = 0;
    uint32_t bs_;
    unsigned read_percent_;
    bool sequential_;
};

constexpr size_t payload_size = 8 << 20;      // noise to write from, in memory and as a file
const char* payload();
int payload_fd();

}  // namespace bench
