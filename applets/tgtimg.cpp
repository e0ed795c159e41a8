// tgtimg: makes image files for tgtd's devices, shows tape images.
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "applets/applet.h"
#include "applets/cli.h"
#include "core/base/bytes.h"
#include "core/base/fd.h"
#include "core/wire/digest.h"

namespace iscsi::applets {
namespace {

using cli::Arg;

constexpr cli::Option options[] = {
    {'o', "op", Arg::required, "OP", "new or show (tapes)"},
    {'Y', "device-type", Arg::required, "TYPE", "disk, cd or tape (default)"},
    {'t', "type", Arg::required, "MEDIUM", "disk; dvd+r; of tapes: data, clean or worm"},
    {'s', "size", Arg::required, "MB", "capacity"},
    {'b', "barcode", Arg::required, "CODE", "of a tape"},
    {'f', "file", Arg::required, "PATH", "the image file"},
    {0, "thin-provisioning", Arg::none, nullptr, "a sparse file"},
    {'h', "help", Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "tgtimg", "make image files", "tgtimg --op new --device-type TYPE --type MEDIUM --size MB --file PATH", options, nullptr,
    "  tgtimg --op new --device-type disk --type disk --size 1024 --file /srv/disk.img\n"
    "  tgtimg --op new --device-type tape --barcode A00001 --type data --size 1000 --file /srv/tape.img\n"
    "  tgtimg --op show --device-type tape --file /srv/tape.img", 8};

int refuse(const std::string& why, bool try_help = true, int code = EINVAL) {
    std::fprintf(stderr, "tgtimg: %s\n", why.c_str());
    if (try_help) std::fputs("Try `tgtimg --help' for more information.\n", stderr);
    return code;
}

// A file that is not there yet, or is emptied; mode as the umask leaves of 0660.
Fd create(const std::string& path) { return Fd(::open(path.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0660)); }

int failed(const char* what) {
    std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
    return 2;
}

// 0 if the text is no number; the caller refuses that too.
uint64_t megabytes(const std::string& text) {
    char* end;
    errno = 0;
    const unsigned long long n = std::strtoull(text.c_str(), &end, 0);
    return errno || *end || text.empty() || text[0] == '-' || n > (1ull << 40) ? 0 : n;
}

int new_disk(const std::string& path, uint64_t mb, bool thin) {
    Fd fd = create(path);
    if (!fd) return failed("Failed creating file");
    const off_t size = off_t(mb << 20);
    if (::ftruncate(fd.get(), size) != 0) return failed("Failed setting the file's size");
    if (!thin)
        if (int error = ::posix_fallocate(fd.get(), 0, size)) {
            errno = error;
            int code = failed("Failed allocating the file");
            ::unlink(path.c_str());
            return code;
        }
    std::printf("Created blank DISK image file : %s\n", path.c_str());
    return 0;
}

int new_cd(const std::string& path) {
    if (!create(path)) return failed("Failed creating file");
    std::printf("Created blank DVD+R image file : %s\n", path.c_str());
    return 0;
}

// tgt's tape file: blocks in a chain, each behind a header; the first holds the medium's attributes instead of data.
struct BlockHeader {
    uint8_t crc[4]{};           // CRC32C of what follows, least significant byte first
    be32 unused;
    be32 size;                  // of the data; of the first block: capacity in MB
    be32 type;                  // 16 beginning of tape, 32 end of data
    be64 number, previous, current, next;       // the last three: offsets of headers
};
static_assert(sizeof(BlockHeader) == 48);
constexpr uint32_t beginning_of_tape = 16, end_of_data = 32;

struct MediumAttributes {
    be32 version{2};
    be32 unused;
    be64 remaining, capacity, alerts, loads;
    be64 space{256};
    uint8_t load_history[0xb0 + 0x20]{};
    char manufacturer[8], serial[32];
    be32 length{384}, width{127};
    uint8_t densities[32]{};
    uint8_t type = 0;           // 1 data, 2 cleaning, 4 write once
    uint8_t unused2[7]{};
    char application[8];
    uint8_t unused3[216]{};
    char barcode[32];
    uint8_t rest[504]{};
};
static_assert(sizeof(MediumAttributes) == 1104 && offsetof(MediumAttributes, manufacturer) == 0x100 &&
              offsetof(MediumAttributes, type) == 0x150 && offsetof(MediumAttributes, barcode) == 0x238);

void seal(BlockHeader& h) {
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(&h);
    wire::put_digest(h.crc, wire::crc32c(0, {bytes + 4, sizeof h - 4}));
}

template <size_t N>
void pad(char (&field)[N], const std::string& text, char with) {
    std::memset(field, with, N);
    std::memcpy(field, text.data(), std::min(N, text.size()));
}

int new_tape(const std::string& path, const std::string& barcode, uint64_t mb, uint8_t type) {
    struct { BlockHeader first; MediumAttributes mam; BlockHeader last; } image{};
    constexpr uint64_t data_at = sizeof(BlockHeader) + sizeof(MediumAttributes);
    image.first.size = uint32_t(mb);
    image.first.type = beginning_of_tape;
    image.first.next = data_at;
    image.mam.remaining = image.mam.capacity = mb << 20;
    image.mam.type = type;
    pad(image.mam.manufacturer, "iscsi", ' ');
    pad(image.mam.application, "iscsi", ' ');
    pad(image.mam.barcode, barcode, ' ');
    image.mam.barcode[31] = 0;
    pad(image.mam.serial, barcode + "_" + std::to_string(std::time(nullptr)), '\0');
    image.last.type = end_of_data;
    image.last.number = 1;
    image.last.current = image.last.next = data_at;
    seal(image.first);
    seal(image.last);
    Fd fd = create(path);
    if (!fd) return failed("Failed creating file");
    if (::write(fd.get(), &image, sizeof image) != ssize_t(sizeof image)) return failed("Failed writing the file");
    std::printf("Created blank tape image file : %s\n", path.c_str());
    return 0;
}

bool read_header(int fd, uint64_t at, BlockHeader& h) {
    if (at > uint64_t(INT64_MAX) || ::pread(fd, &h, sizeof h, off_t(at)) != ssize_t(sizeof h)) return false;
    BlockHeader copy = h;
    seal(copy);
    return std::memcmp(copy.crc, h.crc, sizeof h.crc) == 0;
}

int show_tape(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return refuse("can't open " + path + ", " + std::strerror(errno), false, 1);
    BlockHeader h;
    MediumAttributes mam{};
    if (!read_header(fd.get(), 0, h) || h.type != beginning_of_tape || ::pread(fd.get(), &mam, sizeof mam, sizeof h) != ssize_t(sizeof mam))
        return refuse(path + " is no tape image", false, 1);
    const char* type = mam.type == 1 ? "Data" : mam.type == 2 ? "Cleaning" : mam.type == 4 ? "WORM" : "unknown";
    const std::string serial(mam.serial, ::strnlen(mam.serial, sizeof mam.serial));
    const size_t epoch = serial.rfind('_');
    const time_t made = epoch == std::string::npos ? 0 : time_t(std::atoll(serial.c_str() + epoch + 1));
    char when[32] = "";
    ::ctime_r(&made, when);
    when[std::strcspn(when, "\n")] = 0;
    std::printf("Media     : %.*s\n type     : %s\nMedia serial number : %s, created %s\n\n", int(::strnlen(mam.barcode, sizeof mam.barcode)), mam.barcode,
                type, serial.c_str(), when);
    std::printf("Beginning of Tape(16): Capacity %u MB, Blk No.: 0, prev 0, curr 0, next %llu\n", unsigned(h.size), static_cast<unsigned long long>(h.next));
    using ull = unsigned long long;
    for (uint64_t at = h.next, before = 0; at > before;) {
        if (!read_header(fd.get(), at, h)) return refuse(path + ": damaged block at " + std::to_string(at), false, 1);
        const bool end = h.type == end_of_data;
        std::printf("%17s(%2u): Blk No. %llu, prev %llu, curr %llu,  next %llu, sz %u\n", end ? "End of Data" : "Block", unsigned(h.type), ull(h.number),
                    ull(h.previous), ull(h.current), ull(h.next), unsigned(h.size));
        if (end) return 0;
        before = at;
        at = h.next;
    }
    return refuse(path + ": the chain of blocks does not end", false, 1);
}

struct Kind { const char* device; const char* media; };     // how the media of a device are told
constexpr Kind kinds[] = {{"disk", "DISK"}, {"cd", "DVD+R"}, {"tape", "WORM, CLEAN or DATA"}};

// 0: not a medium of this device. Of tapes: the type's number.
uint8_t medium(const std::string& device, const std::string& type) {
    auto is = [&](const char* word) { return ::strcasecmp(type.c_str(), word) == 0; };
    if (device == "disk") return is("disk");
    if (device == "cd") return is("dvd+r");
    return is("data") ? 1 : is("clean") ? 2 : is("worm") ? 4 : 0;
}

}  // namespace

int tgtimg_main(int argc, char** argv) {
    const cli::Parsed line = cli::parse(interface, argc, argv);
    if (line.has("help")) {
        std::fputs(cli::help(interface).c_str(), stdout);
        return 0;
    }
    std::string device = "tape";
    const Kind* kind = &kinds[2];
    for (const cli::Item& item : line.items) {
        if (item.option->short_name == 'o' && item.value != "new" && item.value != "show") return refuse("unknown operation: " + item.value, false, 1);
        if (item.option->short_name != 'Y') continue;
        device = item.value;
        kind = nullptr;
        for (const Kind& k : kinds)
            if (device == k.device) kind = &k;
        if (!kind) return refuse("unknown target type: " + device, false);
    }
    if (line.error) return refuse(*line.error);
    if (!line.words.empty()) return refuse("unrecognized option '" + line.words[0] + "'");
    const auto op = line.get("op"), file = line.get("file"), size = line.get("size"), type = line.get("type"), barcode = line.get("barcode");
    if (!op) return refuse("specify the operation type");
    if (*op == "show") {
        if (device != "tape") return refuse("unknown the operation type");
        if (!file) return refuse("specify the image file");
        return show_tape(*file);
    }
    if (!file) return refuse("specify a newly created file");
    if (device == "tape" && !barcode) return refuse("Missing the barcode param");
    if (device != "cd" && !size) return refuse("Missing the capacity param");
    if (!type) return refuse(std::string("Missing media type: ") + kind->media);
    const uint8_t media = medium(device, *type);
    if (!media) return refuse(std::string("Media type must be ") + kind->media + " for " + device + " devices");
    if (device == "cd") return new_cd(*file);
    const uint64_t mb = megabytes(*size);
    if (mb == 0 || (device == "tape" && mb > UINT32_MAX)) {
        std::puts("Capacity must be > 0");
        return 3;
    }
    return device == "disk" ? new_disk(*file, mb, line.has("thin-provisioning")) : new_tape(*file, *barcode, mb, media);
}

}  // namespace iscsi::applets
