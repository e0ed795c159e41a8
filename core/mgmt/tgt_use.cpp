#include "core/mgmt/tgt_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/fd.h"

namespace iscsi::mgmt {
namespace {

// Calls `use` with the path of every descriptor of every process, until it returns true.
template <class F>
bool any_descriptor(F use) {
    DIR* processes = ::opendir("/proc");
    if (!processes) return false;
    bool found = false;
    while (const dirent* process = found ? nullptr : ::readdir(processes)) {
        if (process->d_name[0] < '0' || process->d_name[0] > '9') continue;
        const std::string directory = std::string("/proc/") + process->d_name + "/fd";
        DIR* descriptors = ::opendir(directory.c_str());
        if (!descriptors) continue;
        while (const dirent* descriptor = found ? nullptr : ::readdir(descriptors))
            if (descriptor->d_name[0] != '.') found = use(directory + "/" + descriptor->d_name);
        ::closedir(descriptors);
    }
    ::closedir(processes);
    return found;
}

// One SCSI command that reads; the bytes that came, 0 if it failed.
size_t scsi_read(int fd, std::span<const uint8_t> cdb, MutableBytes into) {
    uint8_t sense[32]{};
    sg_io_hdr_t io{};
    io.interface_id = 'S';
    io.dxfer_direction = SG_DXFER_FROM_DEV;
    io.cmd_len = static_cast<unsigned char>(cdb.size());
    io.cmdp = const_cast<uint8_t*>(cdb.data());
    io.dxfer_len = unsigned(into.size());
    io.dxferp = into.data();
    io.sbp = sense;
    io.mx_sb_len = sizeof sense;
    io.timeout = 10'000;
    if (::ioctl(fd, SG_IO, &io) != 0 || io.status != 0 || io.host_status != 0 || io.resid < 0 || size_t(io.resid) > into.size()) return 0;
    return into.size() - size_t(io.resid);
}

std::string text(Bytes bytes, bool keep_padding) {
    std::string s(as_text(bytes));
    while (!s.empty() && (s.back() == '\0' || (!keep_padding && s.back() == ' '))) s.pop_back();
    if (!keep_padding) s.erase(0, std::min(s.find_first_not_of(' '), s.size()));
    std::replace(s.begin(), s.end(), ',', ' ');     // --params cannot carry one
    return s;
}

}  // namespace

bool is_file_or_device(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
}

Use use_of(const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return Use::none;
    const bool device = S_ISBLK(info.st_mode);
    if (device) {
        Fd fd(::open(path.c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC));
        if (!fd && errno == EBUSY) return Use::system;
    }
    const bool open = any_descriptor([&](const std::string& link) {
        struct stat other{};
        if (::stat(link.c_str(), &other) != 0) return false;
        return device ? S_ISBLK(other.st_mode) && other.st_rdev == info.st_rdev : other.st_dev == info.st_dev && other.st_ino == info.st_ino;
    });
    return open ? Use::process : Use::none;
}

std::map<std::string, std::string> scsi_identity(const std::string& path) {
    std::map<std::string, std::string> out;
    Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!fd) return out;
    uint8_t data[255]{};
    auto inquiry = [&](uint8_t page) {              // SPC-4 6.6
        std::fill(std::begin(data), std::end(data), uint8_t(0));
        const uint8_t cdb[6] = {0x12, uint8_t(page ? 1 : 0), page, 0, sizeof data, 0};
        return scsi_read(fd.get(), cdb, data);
    };
    if (inquiry(0) < 36) return out;
    out["vendor_id"] = text({data + 8, 8}, true);
    out["product_id"] = text({data + 16, 16}, true);
    out["product_rev"] = text({data + 32, 4}, false);
    if (size_t n = inquiry(0x80); n > 4) out["scsi_sn"] = text({data + 4, std::min<size_t>(get16(data + 2), n - 4)}, false);
    if (inquiry(0xb0) >= 16) {                      // SBC-3 6.6.4
        out["optimal_xfer_gran"] = std::to_string(get16(data + 6));
        out["optimal_xfer_len"] = std::to_string(get32(data + 12));
    }
    const uint8_t capacity[16] = {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0};
    uint8_t answer[32]{};
    if (scsi_read(fd.get(), capacity, answer) >= 16) {
        out["lbppbe"] = std::to_string(answer[13] & 0x0f);
        out["la_lba"] = std::to_string(get16(answer + 14) & 0x3fff);
        out["block-size"] = std::to_string(get32(answer + 8));
    }
    return out;
}

}  // namespace iscsi::mgmt
