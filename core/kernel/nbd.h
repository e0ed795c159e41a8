// The kernel's nbd driver by generic netlink (linux/nbd-netlink.h; kernel 4.12 and later): a socket becomes /dev/nbdN. And
// the messages that then come over that socket (linux/nbd.h), all big-endian.
#pragma once
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace iscsi::kernel {

struct NbdDevice {
    uint64_t bytes = 0;
    uint32_t block_size = 512;          // logical, 512..4096 (the page size is the kernel's limit)
    bool read_only = false, can_trim = false, rotational = false;
    std::optional<uint32_t> index;      // which /dev/nbdN; nothing: the first that is free
    uint64_t dead_timeout_s = 0;        // NBD_ATTR_DEAD_CONN_TIMEOUT
};

// Hands `socket` (one end of a socket pair) to the kernel; the number of the device.
Result<uint32_t> nbd_connect(const NbdDevice& device, int socket);
Result<void> nbd_disconnect(uint32_t index);
Result<void> nbd_resize(uint32_t index, uint64_t bytes);

inline constexpr uint32_t nbd_request_magic = 0x25609513, nbd_reply_magic = 0x67446698;
enum class NbdCommand : uint16_t { read = 0, write = 1, disconnect = 2, flush = 3, trim = 4, write_zeroes = 6 };
inline constexpr uint16_t nbd_flag_fua = 1;

struct NbdRequest {
    be32 magic;
    be16 flags, command;
    uint8_t handle[8]{};
    be64 from;
    be32 length;
};
struct NbdReply {
    be32 magic = nbd_reply_magic, error;        // error: errno as Linux on x86 numbers it
    uint8_t handle[8]{};
};
static_assert(sizeof(NbdRequest) == 28 && sizeof(NbdReply) == 16);

// For tests: the CONNECT message's attributes.
std::string nbd_connect_attributes(const NbdDevice& device, int socket);

}  // namespace iscsi::kernel
